"""The CRF equals the enumeration of all ways to tag a row: log-likelihood, gradient, marginals, Viterbi, n-best."""

import keras
import numpy as np
import pytest
import reference_crf
import tensorflow as tf

from seq_models.layers.crf import Chain
from seq_models.layers.heads.pieces import NEVER

T, L = 5, 3
# Padding at the end, at the start, in the middle, nowhere, but for one token, everywhere.
MASK = np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1] * 5, [0, 0, 1, 0, 0], [0] * 5], bool)
B = len(MASK)
# Tag 1 does not come after tag 0, 2 is not the first one, 0 is not the last one.
ILLEGAL = ([0, L, 0], [1, 2, L])
rows = pytest.mark.parametrize("row", range(B))


def scores(scale=1.5, illegal=True):
    """Logits (B, T, L) and transitions (L + 1, L + 1), in float64."""
    logits, transitions = scale * np.random.normal(size=(B, T, L)), scale * np.random.normal(size=(L + 1, L + 1))
    if illegal:
        transitions[ILLEGAL] = NEVER
    return logits, transitions


def chain(logits, transitions, mask=MASK, dtype="float32"):
    mask = None if mask is None else tf.constant(mask)
    return Chain(tf.constant(logits, dtype), tf.constant(transitions, dtype), mask)


def on_tokens(mask, y):
    """Tags of the real tokens of a row -> (T,), 0 on padding."""
    tags = np.zeros(len(mask), int)
    tags[np.flatnonzero(mask)] = y
    return tags


@rows
def test_the_log_likelihood_of_every_way_is_that_of_the_enumeration(row):
    logits, transitions = scores()
    mask = MASK[row]
    ways, log_p = reference_crf.ways(logits[row], transitions, mask)
    tags = np.array([on_tokens(mask, y) for y in ways])  # all ways as the rows of one batch
    ours = chain(np.tile(logits[row], (len(tags), 1, 1)), transitions, np.tile(mask, (len(tags), 1)))
    found = ours.log_likelihood(tags).numpy()
    np.testing.assert_array_equal(found[:, ~mask], 0)
    legal = np.array(log_p) > NEVER / 2
    expected = [reference_crf.log_likelihood(logits[row], transitions, mask, y) for y in np.array(ways)[legal]]
    np.testing.assert_allclose(found[legal][:, mask], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[legal].sum(axis=1), np.array(log_p)[legal], atol=1e-5)
    assert (found[~legal].sum(axis=1) < NEVER / 2).all()


@rows
def test_marginals_viterbi_and_n_best_are_those_of_the_enumeration(row):
    logits, transitions = scores()
    mask, n = MASK[row], 10
    all_ways, log_p = reference_crf.ways(logits[row], transitions, mask)
    ours = chain(logits, transitions)
    expected = reference_crf.marginals(logits[row], transitions, mask)
    np.testing.assert_allclose(ours.marginals()[row], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ours.viterbi()[row], on_tokens(mask, all_ways[0]))
    tags, found = (tensor[row].numpy() for tensor in ours.n_best(n))
    legal = min(n, np.count_nonzero(log_p > NEVER / 2))
    np.testing.assert_array_equal(tags[:legal], [on_tokens(mask, y) for y in all_ways[:legal]])
    np.testing.assert_allclose(found[:legal], log_p[:legal], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found[legal:], -np.inf)


def test_the_gradient_is_that_of_the_enumeration_by_finite_differences():
    logits, transitions = scores(illegal=False)
    tags = np.random.randint(0, L, (B, T))
    weights = np.random.uniform(size=(B, T))  # each token counts by itself, as with weights of classes

    def loss(logits, transitions):
        of_rows = [
            weights[b, MASK[b]] @ reference_crf.log_likelihood(logits[b], transitions, MASK[b], tags[b, MASK[b]])
            for b in range(B)
        ]
        return sum(of_rows)

    ours = chain(logits, transitions, dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(ours[:2])
        total = tf.reduce_sum(ours.log_likelihood(tags) * weights)
    by_logits, by_transitions = (gradient.numpy() for gradient in tape.gradient(total, ours[:2]))
    assert float(total) == pytest.approx(loss(logits, transitions))
    np.testing.assert_array_equal(by_logits[~MASK], 0)
    step = 1e-5
    for place in [*zip(*np.nonzero(by_transitions), strict=True), (0, 0)]:
        change = np.zeros_like(transitions)
        change[place] = step
        slope = (loss(logits, transitions + change) - loss(logits, transitions - change)) / (2 * step)
        assert by_transitions[place] == pytest.approx(slope, abs=1e-7)
    assert np.count_nonzero(by_transitions) == (L + 1) ** 2 - 1  # all but the corner
    for place in [(0, 0, 1), (1, 4, 0), (2, 1, 2), (2, 3, 0), (3, 2, 2), (4, 2, 0)]:
        change = np.zeros_like(logits)
        change[place] = step
        slope = (loss(logits + change, transitions) - loss(logits - change, transitions)) / (2 * step)
        assert by_logits[place] == pytest.approx(slope, abs=1e-7)


def test_the_gradient_of_a_sentence_is_what_is_observed_less_the_marginals():
    logits, transitions = scores()
    ours = chain(logits, transitions)
    tags = ours.viterbi()  # legal ones
    with tf.GradientTape() as tape:
        tape.watch(ours.logits)
        total = tf.reduce_sum(ours.log_likelihood(tags))
    observed = np.eye(L)[tags] * MASK[..., None]
    np.testing.assert_allclose(tape.gradient(total, ours.logits), observed - ours.marginals(), atol=1e-6)


@pytest.mark.slow
def test_a_row_does_not_depend_on_the_rows_beside_it_nor_on_the_amount_of_padding():
    logits, transitions = scores()
    tags = np.random.randint(0, L, (B, T))
    wide = [np.concatenate([array, 9 * np.ones_like(array)], axis=1) for array in (logits, tags)]
    both = chain(wide[0], transitions, np.concatenate([MASK, 0 * MASK], axis=1).astype(bool))
    for row in range(B):
        alone = chain(logits[row : row + 1], transitions, MASK[row : row + 1])
        pairs = [
            (both.log_likelihood(wide[1])[row, :T], alone.log_likelihood(tags[row : row + 1])[0]),
            (both.marginals()[row, :T], alone.marginals()[0]),
            (both.viterbi()[row, :T], alone.viterbi()[0]),
            (both.n_best(4)[0][row, :, :T], alone.n_best(4)[0][0]),
            (both.n_best(4)[1][row], alone.n_best(4)[1][0]),
        ]
        for one, other in pairs:
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_without_a_mask_all_tokens_are_real():
    logits, transitions = scores()
    all_real = chain(logits, transitions, np.ones((B, T), bool))
    none = chain(logits, transitions, None)
    np.testing.assert_array_equal(none.viterbi(), all_real.viterbi())
    np.testing.assert_array_equal(none.marginals(), all_real.marginals())


@pytest.mark.parametrize("seed", range(20))
def test_no_illegal_step_is_ever_the_best_and_all_is_finite_however_large_the_scores(seed):
    random = np.random.default_rng(seed)
    B, T, L, scale = 4, int(random.integers(1, 30)), int(random.integers(2, 8)), 10.0 ** random.integers(0, 4)
    legal = random.random((L + 1, L + 1)) < 0.4
    legal[:, 0] = legal[0] = legal[L, 0] = legal[0, L] = True  # tag 0 is legal anywhere, as O is
    logits = scale * random.normal(size=(B, T, L))
    transitions = np.where(legal, scale * random.normal(size=(L + 1, L + 1)), NEVER)
    mask = np.arange(T) < random.integers(1, T + 1, B)[:, None]
    ours = chain(logits, transitions, mask)
    for tags in (ours.viterbi().numpy(), ours.n_best(2)[0][:, 0].numpy()):
        for row, real in zip(tags, mask, strict=True):
            steps = [L, *row[real], L]
            assert all(legal[before, tag] for before, tag in zip(steps, steps[1:], strict=False))
    targets = random.integers(0, L, (B, T))  # illegal ones too
    with tf.GradientTape() as tape:
        tape.watch(ours[:2])
        total = tf.reduce_sum(ours.log_likelihood(targets))
    for tensor in (total, *tape.gradient(total, ours[:2]), ours.marginals(), ours.n_best(3)[1][:, 0]):
        assert np.isfinite(tensor).all()


def test_what_is_legal_among_tags_is_said_of_each_step():
    _, transitions = scores()
    tags = np.array([[0, 1, 0, 0, 0], [0, 2, 1, 0, 0], [1, 1, 1, 2, 2], [1, 0, 2, 1, 0], [0, 0, 1, 0, 0], [0] * 5])
    expected = np.ones((B, T), bool)  # as ILLEGAL and MASK say
    for place in [(0, 1), (0, 2), (1, 1), (1, 4), (2, 3), (3, 4)]:
        expected[place] = False
    np.testing.assert_array_equal(chain(np.zeros((B, T, L)), transitions).is_legal(tags), expected)


def test_a_long_sentence_loses_no_precision():
    logits, transitions = 3 * np.random.normal(size=(1, 2000, 20)), np.random.normal(size=(21, 21))
    tags = np.random.randint(0, 20, (1, 2000))

    @tf.function
    def measured():
        ours = chain(logits, transitions, None)
        return ours.log_likelihood(tags), ours.marginals()

    log_likelihood, marginals = measured()
    expected = reference_crf.score(logits[0], transitions, np.ones(2000), tags[0])
    expected -= reference_crf.log_partition(logits[0], transitions)
    assert float(tf.reduce_sum(tf.cast(log_likelihood, "float64"))) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(tf.reduce_sum(marginals, axis=-1), 1, atol=1e-4)


def test_a_graph_that_knows_no_shape_gives_the_same():
    logits, transitions = scores()
    tags = np.random.randint(0, L, (B, T)).astype("int32")

    def all_of_it(logits, mask, tags):
        ours = Chain(logits, tf.constant(transitions, "float32"), mask)
        return ours.log_likelihood(tags), ours.marginals(), ours.viterbi(), *ours.n_best(3)

    shapes = [
        tf.TensorSpec([None, None, L]),
        tf.TensorSpec([None, None], tf.bool),
        tf.TensorSpec([None, None], tf.int32),
    ]
    compiled = tf.function(all_of_it, input_signature=shapes)
    for width in (T, 1):
        given = [tf.constant(array[:, :width]) for array in (logits.astype("float32"), MASK, tags)]
        for one, other in zip(compiled(*given), all_of_it(*given), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_the_dtype_is_that_of_the_scores():
    ours = chain(*scores(), dtype="float64")
    for tensor in (ours.log_likelihood(np.zeros((B, T), int)), ours.marginals(), ours.n_best(2)[1]):
        assert keras.backend.standardize_dtype(tensor.dtype) == "float64"
