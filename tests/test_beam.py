"""Beam search, held against greedy search and against all texts that there are, by a small random recurrence."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq_models.decoding import (
    LENGTH_PENALTIES,
    Attention,
    average,
    beam_search,
    generate,
    gnmt,
    greedy,
    min_length,
    no_repeat_ngram,
)
from seq_models.decoding.beam import largest

V, END, L, S, H = 5, 3, 4, 6, 4
FORBIDDEN = (0, 2)  # <unk> can be chosen
WIDE = 200  # more than there are texts of 4 tokens
PENALTIES = [gnmt(0.0), gnmt(0.6), gnmt(1.3), average(0.5), average(1.0)]
every_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=["none", "0.6", "1.3", "root", "mean"])
every_mode = pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])


class Recurrence:
    """h' = tanh(h U + E y), logits h W, attention softmax(h A) over the real source steps; in NumPy and as a step.

    What no step changes is `keys`, random numbers of each row that have a part in the logits, and `mask`.
    """

    def __init__(self, rows, seed=1, vocabulary=V, scale=1.5):
        random = np.random.default_rng(seed)
        sizes = [(H, H), (vocabulary, H), (H, vocabulary), (H, S), (2, vocabulary)]
        self.U, self.E, self.W, self.A, self.Q = (scale * random.normal(size=size) for size in sizes)
        self.h = random.normal(size=(rows, H))
        self.keys = random.normal(size=(rows, 1, 2))
        self.mask = np.arange(S) < 2 + np.arange(rows)[:, None] % (S - 1)

    def states(self, rows=slice(None)):
        float32 = {"h": self.h[rows], "attention": self.attend(self.h, self.mask)[rows], "keys": self.keys[rows]}
        states = {name: tf.constant(array, tf.float32) for name, array in float32.items()}
        return {**states, "mask": tf.constant(self.mask[rows])}

    def first(self, rows=slice(None)):
        return tf.constant(self.logits(self.h, self.keys)[rows], tf.float32)

    def step(self, tokens, states):
        U, E, W, A, Q = (tf.constant(each, tf.float32) for each in (self.U, self.E, self.W, self.A, self.Q))
        h = tf.tanh(states["h"] @ U + tf.gather(E, tokens))
        alpha = tf.where(states["mask"], tf.exp(h @ A), 0)
        alpha = alpha / tf.reduce_sum(alpha, axis=1, keepdims=True)
        return h @ W + states["keys"][:, 0] @ Q, {**states, "h": h, "attention": alpha}

    def logits(self, h, keys):
        return h @ self.W + keys[:, 0] @ self.Q

    def attend(self, h, mask):
        alpha = np.where(mask, np.exp(h @ self.A), 0)
        return alpha / alpha.sum(axis=1, keepdims=True)

    def log_p(self, row, tokens, forced=()):
        """log P of each token, the attention (T, S) as it was chosen."""
        h, keys, mask = self.h[row : row + 1], self.keys[row : row + 1], self.mask[row : row + 1]
        found, attention = [], []
        for t, token in enumerate(tokens):
            logits = self.logits(h, keys)[0]
            out = [f for f in FORBIDDEN if t >= len(forced) or f != forced[t]]
            logits[out] = -np.inf
            found.append(logits[token] - np.log(np.exp(logits).sum()))
            attention.append(self.attend(h, mask)[0])
            h = np.tanh(h @ self.U + self.E[token])
        return np.array(found), np.array(attention)


def repeats(text, n):
    grams = [text[i : i + n] for i in range(len(text) - n + 1)]
    return len(set(grams)) < len(grams)


def all_texts(net, row, penalty, longest=L, shortest=0, prefix=(), ngram=0, beta=0.0):
    """Every text of a row with score, log probability and most attended steps, the best one first."""
    inner = [token for token in range(V) if token != END]
    texts = [(*text, END) for n in range(longest) for text in itertools.product(inner, repeat=n)]
    texts += list(itertools.product(inner, repeat=longest))
    found = []
    for text in texts:
        free = text[len(prefix) :]
        if len(text) < shortest or text[: len(prefix)] != prefix or set(free) & set(FORBIDDEN):
            continue
        if ngram and repeats(text, ngram):
            continue
        log_p, attention = net.log_p(row, text, prefix)
        covered = np.minimum(attention.sum(axis=0), 1)[net.mask[row]]
        score = log_p.sum() / float(penalty(float(len(text)))) + beta * np.log(covered).sum()
        found.append((score, log_p.sum(), text, attention.argmax(axis=1).tolist()))
    return sorted(found, key=lambda each: -each[0])


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def texts_of(found, row):
    """The texts of a row as tuples, without what is marked as none."""
    rows = zip(array(found.tokens)[row], array(found.lengths)[row], array(found.scores)[row], strict=True)
    return [tuple(tokens[:length].tolist()) for tokens, length, score in rows if score > -np.inf]


def search(net, width, rows=slice(None), best=1, max_length=L, compiled=False, **options):
    run = tf.function(beam_search, autograph=False) if compiled else beam_search
    options = {"forbidden": FORBIDDEN, **options}
    return run(net.step, net.first(rows), net.states(rows), END, max_length, width, best, **options)


def attention_of(net, coverage=0.0):
    return Attention(lambda states: states["attention"], tf.constant(net.mask), coverage)


# One beam


@every_penalty
@every_mode
def test_one_beam_is_greedy(compiled, penalty):
    net, longest = Recurrence(9), tf.constant([9, 1, 2, 9, 9, 5, 9, 7, 9])
    found = search(net, 1, max_length=longest, compiled=compiled, length_penalty=penalty)
    tokens, lengths, scores = generate(net.step, greedy, net.first(), net.states(), END, longest, FORBIDDEN)
    np.testing.assert_array_equal(array(found.tokens)[:, 0], array(tokens))
    np.testing.assert_array_equal(array(found.lengths)[:, 0], array(lengths))
    np.testing.assert_allclose(array(found.log_p)[:, 0], array(scores), rtol=1e-5)
    expected = array(scores) / array(penalty(tf.cast(lengths, tf.float32)))
    np.testing.assert_allclose(array(found.scores)[:, 0], expected, rtol=1e-5)


# As many beams as there are texts


def check_all(net, found, **rules):
    """The best texts of all rows are the first ones of all texts, with their scores."""
    for row in range(len(net.h)):
        own = {name: rule[row] if isinstance(rule, list) else rule for name, rule in rules.items()}
        expected = all_texts(net, row, **own)[: found.tokens.shape[1]]
        assert texts_of(found, row) == [text for _, _, text, _ in expected]
        count = len(expected)
        np.testing.assert_allclose(array(found.scores)[row, :count], [score for score, *_ in expected], rtol=1e-4)
        np.testing.assert_allclose(array(found.log_p)[row, :count], [log_p for _, log_p, *_ in expected], rtol=1e-4)
        if found.attended is not None:
            steps = [
                row[: len(each[3])].tolist() for row, each in zip(array(found.attended)[row], expected, strict=False)
            ]
            assert steps == [each[3] for each in expected]


@every_penalty
def test_a_beam_as_wide_as_the_space_finds_the_best_of_all_texts(penalty):
    net = Recurrence(3)
    check_all(net, search(net, WIDE, best=40, length_penalty=penalty), penalty=penalty)


@pytest.mark.parametrize("beta", [0.2, 5.0])
def test_coverage_counts_as_it_is_defined(beta):
    net = Recurrence(5)
    found = search(net, WIDE, best=30, length_penalty=gnmt(0.6), attention=attention_of(net, beta))
    check_all(net, found, penalty=gnmt(0.6), beta=beta)


def test_each_row_has_a_least_and_a_largest_length_of_its_own():
    net, shortest, longest = Recurrence(5), [0, 2, 4, 3, 1], [4, 4, 4, 3, 1]
    changes = lambda of: [min_length(of(tf.constant(shortest)), END)]  # noqa: E731
    found = search(net, WIDE, best=30, max_length=tf.constant(longest), changes=changes, length_penalty=average(1.0))
    check_all(net, found, penalty=average(1.0), shortest=shortest, longest=longest)


def test_a_forced_prefix_is_a_part_of_every_text_and_its_score_whatever_is_forbidden():
    net, prefix = Recurrence(5), [(), (4,), (4, 4, 1), (0, 2, 1), (1, 1, 1, 1)]
    ids = tf.constant([[*each, *[0] * (4 - len(each))] for each in prefix])
    ids = tf.tensor_scatter_nd_update(ids, [[3, 0]], [2])  # 0 is padding
    prefix[3] = (2, 2, 1)
    found = search(net, WIDE, best=30, prefix=ids, length_penalty=gnmt(0.6))
    check_all(net, found, penalty=gnmt(0.6), prefix=prefix)


@pytest.mark.parametrize("ngram", [1, 2, 3])
def test_no_ngram_comes_twice(ngram):
    net = Recurrence(3)
    changes = lambda of: [no_repeat_ngram(ngram)]  # noqa: E731, ARG005
    check_all(net, search(net, WIDE, best=40, changes=changes), penalty=gnmt(0.0), ngram=ngram)


# Fewer beams than texts


def by_hand(net, row, width, longest):
    """Beam search as a Python loop over lists: the texts that K beams find."""
    live, finished = [((), 0.0)], []
    for t in range(longest):
        candidates = [
            ((*text, token), net.log_p(row, (*text, token))[0].sum())
            for text, _ in live
            for token in range(V)
            if token not in FORBIDDEN
        ]
        candidates = sorted(candidates, key=lambda each: -each[1])[: width - len(finished)]
        finished += [each for each in candidates if each[0][-1] == END or t + 1 == longest]
        live = [each for each in candidates if each not in finished]
    return finished


@pytest.mark.parametrize("best", [1, 2, 4])
@pytest.mark.parametrize("penalty", [gnmt(0.0), gnmt(1.0), average(1.0)], ids=["none", "gnmt", "mean"])
def test_few_beams_find_what_they_are_defined_to_find(penalty, best):
    net, K, longest = Recurrence(12, scale=1.0), 4, 7
    found = search(net, K, best=best, max_length=longest, length_penalty=penalty)
    for row in range(12):
        texts = by_hand(net, row, K, longest)
        texts.sort(key=lambda each: -each[1] / float(penalty(float(len(each[0])))))
        assert texts_of(found, row) == [text for text, _ in texts[:best]]


def test_the_best_are_sorted_and_differ_and_have_the_probability_of_teacher_forcing():
    net = Recurrence(8, scale=1.0)
    found = search(net, 6, best=6, max_length=9, length_penalty=gnmt(0.6))
    scores = array(found.scores)
    assert (np.diff(scores, axis=1) <= 0).all()
    for row in range(8):
        texts = texts_of(found, row)
        assert len(set(texts)) == len(texts) == 6
        expected = [net.log_p(row, text)[0].sum() for text in texts]
        np.testing.assert_allclose(array(found.log_p)[row], expected, rtol=1e-4)
        np.testing.assert_allclose(
            scores[row], expected / ((5 + np.vectorize(len)(np.array(texts, object))) / 6) ** 0.6, rtol=1e-4
        )


# Rows, shapes, limits


def numbers(found):
    return [array(each) for each in found if each is not None]


def test_a_row_does_not_depend_on_the_rows_beside_it_nor_on_padding():
    net, longest = Recurrence(6, scale=1.0), tf.constant([9, 3, 9, 1, 6, 9])
    options = {"best": 3, "length_penalty": average(1.0)}
    together = numbers(search(net, 4, max_length=longest, attention=attention_of(net, 0.3), **options))
    for row in range(6):
        rows, real = slice(row, row + 1), int(net.mask[row].sum())
        states = net.states(rows)
        narrow = {**states, "attention": states["attention"][:, :real], "mask": states["mask"][:, :real]}
        step = lambda tokens, states, real=real: narrow_step(net, tokens, states, real)  # noqa: E731
        look = Attention(lambda states: states["attention"], narrow["mask"], 0.3)
        alone = beam_search(
            step, net.first(rows), narrow, END, longest[rows], 4, forbidden=FORBIDDEN, attention=look, **options
        )
        for one, all_of_them in zip(numbers(alone), together, strict=True):
            expected = all_of_them[rows][..., : one.shape[2]] if one.ndim == 3 else all_of_them[rows]
            np.testing.assert_allclose(one, expected, rtol=1e-5)


def narrow_step(net, tokens, states, real):
    """A step of rows with fewer source steps."""
    pad = lambda each: tf.pad(each, [[0, 0], [0, S - real]])  # noqa: E731
    wide = {**states, "mask": pad(states["mask"]), "attention": pad(states["attention"])}
    logits, after = net.step(tokens, wide)
    return logits, {**states, "h": after["h"], "attention": after["attention"][:, :real]}


@pytest.mark.slow
def test_one_graph_takes_any_number_of_rows_and_source_steps_and_none():
    net = Recurrence(7)
    shapes = {"h": [None, H], "attention": [None, None], "keys": [None, 1, 2], "mask": [None, None]}
    specs = {name: tf.TensorSpec(shape, tf.bool if name == "mask" else tf.float32) for name, shape in shapes.items()}
    options = {"forbidden": FORBIDDEN, "length_penalty": gnmt(0.6)}

    def run(first, states, longest):
        look = Attention(lambda states: states["attention"], states["mask"], 0.2)
        changes = lambda of: [min_length(of(longest) // 2, END), no_repeat_ngram(2)]  # noqa: E731
        return beam_search(net.step, first, states, END, longest, 3, 2, attention=look, changes=changes, **options)

    graph = tf.function(
        run,
        input_signature=[tf.TensorSpec([None, V]), specs, tf.TensorSpec([None], tf.int32)],
        autograph=False,
    )
    for rows in (slice(0, 7), slice(2, 3), slice(0, 0)):
        longest = tf.constant([6, 1, 4, 2, 6, 3, 5])[rows]
        inputs = net.first(rows), net.states(rows), longest
        count = rows.stop - rows.start
        found = graph(*inputs)
        assert found.tokens.shape[:2] == (count, 2) and found.scores.shape == (count, 2)
        if count:
            for one, other in zip(numbers(found), numbers(run(*inputs)), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5)


def test_rows_of_which_there_are_no_more_texts_are_marked_and_empty():
    net = Recurrence(2)
    found = search(net, 8, best=8, max_length=1)
    count = V - len(FORBIDDEN)
    assert np.isfinite(array(found.scores)).sum(axis=1).tolist() == [count, count]
    for row in range(2):
        assert texts_of(found, row) == [text for *_, text, _ in all_texts(net, row, gnmt(0.0), longest=1)]
    assert not array(found.tokens)[:, count:].any() and not array(found.lengths)[:, count:].any()
    assert not array(found.log_p)[:, count:].any()


def test_where_every_token_is_taken_away_there_is_no_text():
    net = Recurrence(2)
    changes = lambda of: [min_length(tf.constant([9]), END), no_repeat_ngram(1)]  # noqa: E731, ARG005
    found = search(net, 3, best=2, max_length=9, changes=changes)
    assert (array(found.scores) == -np.inf).all() and not array(found.tokens).any()


def test_a_search_stops_when_nothing_can_be_better_and_no_sooner():
    """The end has probability 0.6 at the first step, and all other texts 0.4 together."""
    logits, steps = np.log(np.float32([[0.1, 0.1, 0.1, 0.6, 0.1]])), tf.Variable(0)

    def step(tokens, states):
        steps.assign_add(1)
        return tf.repeat(tf.constant(logits), tf.shape(tokens)[0], axis=0), states

    def count(penalty, best=1):
        steps.assign(0)
        states = {"h": tf.zeros([1, 1])}
        beam_search(step, tf.constant(logits), states, END, 8, 3, best, penalty, forbidden=())
        return steps.numpy()

    # log 0.4 / lp(8) of a live beam must be above log 0.6 for it to go on: its own log P is log 0.1 here.
    assert count(gnmt(0.0)) == 0
    assert np.log(0.1) / 8**0.5 < np.log(0.6) < np.log(0.1) / 8**1.0  # so it stops at once, and goes on
    assert count(average(0.5)) == 0
    assert count(average(1.0)) > 0
    assert count(gnmt(0.0), best=2) > 0  # the second one may still come


def test_what_no_step_changes_is_that_of_its_row():
    net, seen = Recurrence(5), []

    def step(tokens, states):
        seen.append((array(states["keys"])[:, 0, 0], array(states["mask"])))
        return net.step(tokens, states)

    beam_search(step, net.first(), net.states(), END, tf.constant([9, 4, 2, 7, 9]), 3, forbidden=FORBIDDEN)
    rows = {float(np.float32(key[0, 0])): row for row, key in enumerate(net.keys)}
    for keys, masks in seen:
        found = [rows[float(key)] for key in keys]
        assert found == sorted(found)
        np.testing.assert_array_equal(masks, net.mask[found])


@pytest.mark.parametrize("width", [3, 64, 65, 700, 704])
def test_the_largest_are_those_of_a_whole_sort_with_equal_ones_in_order(width):
    random = np.random.default_rng(width)
    for x in (random.normal(size=(9, width)), random.integers(0, 4, (9, width))):
        x = tf.constant(x, tf.float32)
        for k in (1, 3):
            values, places = largest(x, k)
            np.testing.assert_array_equal(array(places), np.argsort(-array(x), axis=1, kind="stable")[:, :k])
            np.testing.assert_array_equal(array(values), np.take_along_axis(array(x), array(places), axis=1))


def test_a_vocabulary_of_many_blocks_is_searched_as_a_small_one_is():
    net = Recurrence(4, vocabulary=300, scale=1.0)
    found = search(net, 4, best=4, max_length=5)
    assert array(found.tokens).max() > 64
    for row in range(4):
        for text, log_p in zip(texts_of(found, row), array(found.log_p)[row], strict=True):
            assert net.log_p(row, text)[0].sum() == pytest.approx(log_p, rel=1e-4)


def test_of_equal_ones_the_first_is_taken_though_its_block_has_no_larger_one():
    x = np.zeros((1, 700), "float32")
    x[0, [5, 70, 100]] = 1, 2, 1
    assert array(largest(tf.constant(x), 2)[1]).tolist() == [[70, 5]]


@pytest.mark.parametrize("name", LENGTH_PENALTIES)
def test_length_penalties_do_not_fall_and_are_those_of_the_papers(name):
    lengths = np.arange(1.0, 600.0)
    for alpha in (0.0, 0.6, 1.0, 2.0):
        found = LENGTH_PENALTIES[name](alpha)(lengths)
        assert (np.diff(found) >= 0).all()
        np.testing.assert_allclose(found, {"gnmt": (5 + lengths) ** alpha / 6**alpha, "average": lengths**alpha}[name])
