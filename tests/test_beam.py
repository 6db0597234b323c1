"""Beam search, against greedy search and against all texts that there are, by a small recurrence with random weights."""

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
    """h' = tanh(h U + E y), logits h W, attention softmax(h A) over the real source steps of a row; in NumPy and as a step.

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
            steps = [row[: len(each[3])].tolist() for row, each in zip(array(found.attended)[row], expected, strict=False)]
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
        np.testing.assert_allclose(scores[row], expected / ((5 + np.vectorize(len)(np.array(texts, object))) / 6) ** 0.6, rtol=1e-4)
