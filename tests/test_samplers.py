"""What changes logits before a token is chosen: top-k, top-p, the repetition penalty, the least length."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq_models.decoding import greedy, min_length, repetition_penalty, sampler, temperature, top_k, top_p

V, ROWS, END = 7, 20_000, 3
LOGITS = np.float32([0.3, -0.2, 1.5, 0.9, -1.0, 2.0, 0.1])
NO_TOKENS = tf.zeros([1, 4], tf.int32)


def softmax(logits):
    weights = np.exp(np.float64(logits))
    return weights / weights.sum()


def changed(change, logits, t=0, tokens=NO_TOKENS):
    return keras.ops.convert_to_numpy(change(tf.constant(np.atleast_2d(np.float32(logits))), tf.constant(t), tokens))


def kept(change, logits=LOGITS):
    """Which tokens are left of one row."""
    return np.flatnonzero(np.isfinite(changed(change, logits)[0])).tolist()


def floats(*values):
    return tf.constant(values, tf.float32)


@pytest.mark.parametrize(
    "change",
    [top_k(tf.constant([0])), top_p(floats(1)), repetition_penalty(floats(1), tf.constant([[2, 5]])),
     min_length(tf.constant([0]), END), min_length(tf.constant([1]), END), temperature(floats(1))],
)  # fmt: skip
def test_a_default_changes_no_bit(change):
    np.testing.assert_array_equal(changed(change, LOGITS)[0], LOGITS)


@pytest.mark.parametrize("k", [1, 3, V, 100])
def test_top_k_leaves_the_k_most_probable_tokens(k):
    assert kept(top_k(tf.constant([k]))) == sorted(np.argsort(-LOGITS)[:k].tolist())


@pytest.mark.parametrize("p", [1e-30, 0.1, 0.4, 0.6, 0.9, 0.999, 1.0])
def test_top_p_leaves_the_smallest_set_of_so_much_probability(p):
    order = np.argsort(-LOGITS)
    count = 1 + int((softmax(LOGITS)[order].cumsum()[:-1] < p).sum())
    assert kept(top_p(floats(p))) == sorted(order[:count].tolist())


def test_what_is_as_probable_as_the_last_one_stays():
    assert kept(top_k(tf.constant([2])), [0, 1, 2, 1, 0, 0, 0]) == [1, 2, 3]
    assert kept(top_p(floats(0.4)), [0, 1, 2, 1, 0, 0, 0]) == [2]


def test_each_row_has_options_of_its_own():
    both = np.stack([LOGITS] * 3)
    of_k = changed(top_k(tf.constant([0, 1, 2])), both)
    assert np.isfinite(of_k).sum(axis=1).tolist() == [V, 1, 2]
    np.testing.assert_array_equal(of_k[0], LOGITS)
    of_p = changed(top_p(floats(1, 1e-9, 0.5)), both)
    assert np.isfinite(of_p).sum(axis=1).tolist() == [V, 1, 2]


@pytest.mark.parametrize("change", [top_k(tf.constant([3])), top_p(floats(0.8)), temperature(floats(0.5))])
def test_samples_have_the_frequencies_of_what_is_left(change):
    left = changed(change, LOGITS)[0]
    expected = ROWS * softmax(left)
    uniform = np.random.default_rng(3).random((ROWS, 1)).astype("float32")
    tokens = sampler(uniform)(tf.repeat(tf.constant(left)[None], ROWS, axis=0), 0)
    counts = np.bincount(tokens, minlength=V)
    assert (counts[expected == 0] == 0).all()
    seen = expected > 0
    chi_square = ((counts - expected)[seen] ** 2 / expected[seen]).sum()
    assert chi_square < 27.9  # 6 degrees of freedom at most: once in ten thousand


@pytest.mark.parametrize("change", [top_k(tf.ones([50], tf.int32)), top_p(tf.fill([50], 1e-6))])
def test_one_token_alone_is_greedy(change):
    logits = np.random.normal(size=(50, V)).astype("float32")
    uniform = np.random.random((50, 1)).astype("float32")
    tokens = sampler(uniform)(change(tf.constant(logits), 0, None), 0)
    np.testing.assert_array_equal(tokens, greedy(tf.constant(logits), 0))


def test_rows_that_are_not_sampled_are_greedy():
    logits = tf.constant(np.random.normal(size=(4, V)).astype("float32"))
    uniform = np.full((4, 1), 0.999, "float32")
    tokens = sampler(uniform, tf.constant([True, False, True, False]))(logits, 0).numpy()
    np.testing.assert_array_equal(tokens[1::2], greedy(logits, 0)[1::2])
    np.testing.assert_array_equal(tokens[::2], sampler(uniform)(logits, 0)[::2])


def test_the_penalty_lowers_what_is_there_whatever_its_sign():
    tokens = tf.constant([[5, 0, 0, 0]])
    found = changed(repetition_penalty(floats(1.5), tf.constant([[2, 1, 1, 0]])), LOGITS, 1, tokens)[0]
    expected = LOGITS.copy()
    expected[[2, 5]] /= 1.5
    expected[1] *= 1.5
    np.testing.assert_allclose(found[1:], expected[1:])  # padding is no token
    assert (found[[1, 2, 5]] < LOGITS[[1, 2, 5]]).all()


def test_no_end_before_the_least_length():
    change = min_length(tf.constant([3]), END)
    assert [bool(np.isfinite(changed(change, LOGITS, t)[0, END])) for t in range(4)] == [False, False, True, True]
    np.testing.assert_array_equal(np.delete(changed(change, LOGITS, 0)[0], END), np.delete(LOGITS, END))


@pytest.mark.parametrize("tau", [1e-38, 1e38])
def test_what_is_forbidden_stays_so_at_any_temperature(tau):
    logits = LOGITS.copy()
    logits[5] = -np.inf
    left = changed(temperature(floats(tau)), logits)[0]
    assert left[5] == -np.inf and not np.isnan(left).any()
