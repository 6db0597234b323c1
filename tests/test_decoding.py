"""Generation and sampling, by a step that is a table: what is spelled is known beforehand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq_models.decoding import generate, greedy, sampler, temperature

V, END, L = 7, 3, 6
WORDS = [[4, 5, 6, END], [6, END], [5, 5, 4, 6, 5, 4, 5], [END]]  # the third never ends within L
SPELLED = [[4, 5, 6, END, 0, 0], [6, END, 0, 0, 0, 0], [5, 5, 4, 6, 5, 4], [END, 0, 0, 0, 0, 0]]
LENGTHS = [4, 2, 6, 1]
B = len(WORDS)


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def speller(words, noise=1.0):
    """(step, first logits, states, all logits): random logits (B, T, V) whose highest ones spell the words."""
    longest = max(len(word) for word in words) + 9
    logits = noise * np.random.normal(size=(len(words), longest, V)).astype("float32")
    for row, word in enumerate(words):
        for t, token in enumerate(word):
            logits[row, t, token] = logits[row, t].max() + 1 + row

    def step(tokens, states):
        t = states[0] + 1
        return tf.gather(logits, t[0], axis=1), [t]

    return step, tf.constant(logits[:, 0]), [tf.zeros([len(words)], tf.int32)], logits


def random_walk(rows):
    """A step whose logits depend on all tokens so far: a small recurrence with random weights."""
    U, E, W = (np.random.normal(size=size).astype("float32") for size in [(4, 4), (V, 4), (4, V)])

    def step(tokens, states):
        h = tf.tanh(states[0] @ U + tf.gather(E, tokens))
        return h @ W, [h]

    h = tf.constant(np.random.normal(size=(rows, 4)).astype("float32"))
    return step, h @ W, [h]


def by_hand(step, choose, first, states, max_length):
    """`generate` as a Python loop over rows and steps."""
    logits, tokens, scores, done = array(first), [], np.zeros(len(first)), np.zeros(len(first), bool)
    for t in range(max_length):
        chosen = np.where(done, 0, choose(logits, t))
        scores += np.where(done, 0, log_softmax(logits.astype("float64"))[np.arange(len(chosen)), chosen])
        tokens.append(chosen)
        done |= chosen == END
        logits, states = step(chosen.astype("int32"), states)
        logits = array(logits)
    return np.stack(tokens, axis=1), scores


# Generation


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_generation_spells_each_word_up_to_its_end_and_no_further(compiled):
    step, first, states, logits = speller(WORDS)
    run = tf.function(generate) if compiled else generate
    tokens, lengths, scores = run(step, greedy, first, states, END, L)
    np.testing.assert_array_equal(array(tokens), SPELLED)
    np.testing.assert_array_equal(array(lengths), LENGTHS)
    log_p = log_softmax(logits.astype("float64"))
    expected = [sum(log_p[row, t, word[t]] for t in range(LENGTHS[row])) for row, word in enumerate(WORDS)]
    np.testing.assert_allclose(array(scores), expected, rtol=1e-5)


@pytest.mark.parametrize("max_length", [1, 2, 5])
def test_max_length_is_respected(max_length):
    step, first, states, _ = speller(WORDS)
    tokens, lengths, _ = generate(step, greedy, first, states, END, max_length)
    np.testing.assert_array_equal(array(tokens), np.array(SPELLED)[:, :max_length])
    np.testing.assert_array_equal(array(lengths), np.minimum(LENGTHS, max_length))


def test_a_finished_row_scores_no_more_however_long_the_others_go_on():
    words = [WORDS[0], WORDS[2]]
    step, first, states, _ = speller(words)
    score_at = [array(generate(step, greedy, first, states, END, length)[2]) for length in (4, 5, 6)]
    assert score_at[0][0] == score_at[1][0] == score_at[2][0]
    assert score_at[0][1] > score_at[1][1] > score_at[2][1]


def test_a_finished_row_stays_at_zero_even_where_padding_has_no_probability():
    step, first, states, _ = speller(WORDS)
    no_padding = tf.one_hot(0, V, on_value=np.float32("-inf"), off_value=0.0)
    masked = lambda tokens, states: (step(tokens, states)[0] + no_padding, step(tokens, states)[1])  # noqa: E731
    tokens, _, scores = generate(masked, greedy, first + no_padding, states, END, L)
    np.testing.assert_array_equal(array(tokens), SPELLED)
    assert np.isfinite(array(scores)).all()


def test_each_chosen_token_is_fed_back_and_zero_after_the_end():
    fed = []
    step, first, states, _ = speller(WORDS)

    def watched(tokens, states):
        fed.append(array(tokens))
        return step(tokens, states)

    tokens, _, _ = generate(watched, greedy, first, states, END, L)
    np.testing.assert_array_equal(np.stack(fed, axis=1), array(tokens))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_generation_stops_when_every_row_has_ended(compiled):
    calls = tf.Variable(0)
    step, first, states, _ = speller([WORDS[0], WORDS[1], WORDS[3]])

    def counted(tokens, states):
        calls.assign_add(1)
        return step(tokens, states)

    run = tf.function(generate) if compiled else generate
    tokens, lengths, _ = run(counted, greedy, first, states, END, 50)
    assert calls.numpy() == 4
    assert tokens.shape == (3, 50) and array(lengths).tolist() == [4, 2, 1]
    assert (array(tokens)[:, 4:] == 0).all()


def test_greedy_is_argmax_step_by_step():
    step, first, states = random_walk(rows=9)
    tokens, lengths, scores = generate(step, greedy, first, states, END, L)
    expected, expected_scores = by_hand(step, lambda logits, _: logits.argmax(axis=-1), first, states, L)
    np.testing.assert_array_equal(array(tokens), expected)
    np.testing.assert_allclose(array(scores), expected_scores, rtol=1e-5)
    ends = [[*row, END].index(END) for row in expected.tolist()]
    np.testing.assert_array_equal(array(lengths), np.minimum(np.array(ends) + 1, L))


def test_a_row_is_generated_as_if_it_were_alone():
    step, first, states = random_walk(rows=5)
    tokens, lengths, scores = map(array, generate(step, greedy, first, states, END, L))
    for row in range(5):
        alone = generate(step, greedy, first[row : row + 1], [states[0][row : row + 1]], END, L)
        np.testing.assert_array_equal(array(alone[0])[0], tokens[row])
        assert array(alone[1])[0] == lengths[row]
        np.testing.assert_allclose(array(alone[2])[0], scores[row], rtol=1e-5)


def test_generation_takes_an_unknown_number_of_rows_in_a_graph():
    step, *_ = random_walk(rows=1)
    specs = [tf.TensorSpec([None, V]), tf.TensorSpec([None, 4])]
    graph = tf.function(lambda first, h: generate(step, greedy, first, [h], END, L), input_signature=specs)
    for rows in (2, 5):
        first, h = (np.random.normal(size=(rows, size)).astype("float32") for size in (V, 4))
        for output, expected in zip(graph(first, h), generate(step, greedy, first, [h], END, L), strict=True):
            np.testing.assert_allclose(array(output), array(expected), rtol=1e-5)


# Sampling


def heated(tau, rows):
    """The change of one temperature for all rows."""
    return temperature(tf.fill([rows], np.float32(tau)))


def drawn(uniform, tau, logits, t):
    return array(sampler(uniform)(heated(tau, len(uniform))(tf.constant(logits), t, None), t))


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_samples_have_the_frequencies_of_the_scaled_softmax(tau):
    rows, logits = 20_000, np.random.normal(size=V).astype("float32")
    uniform = np.random.random((rows, 2)).astype("float32")
    expected = rows * np.exp(log_softmax(logits / tau))
    for t in range(2):
        tokens = drawn(uniform, tau, np.repeat(logits[None], rows, axis=0), t)
        chi_square = ((np.bincount(tokens, minlength=V) - expected) ** 2 / expected).sum()
        assert chi_square < 27.9  # 6 degrees of freedom: once in ten thousand


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_a_sample_is_the_token_whose_share_holds_the_uniform_number(tau):
    logits = np.random.normal(size=(50, V)).astype("float32")
    uniform = np.random.random((50, 3)).astype("float32")
    bounds = np.exp(log_softmax(logits.astype("float64") / tau)).cumsum(axis=1)
    for t in range(3):
        expected = [np.searchsorted(bounds[row], uniform[row, t], side="right") for row in range(50)]
        np.testing.assert_array_equal(drawn(uniform, tau, logits, t), expected)


@pytest.mark.parametrize("tau", [1e-3, 1e-30])
def test_a_low_temperature_is_greedy(tau):
    step, first, states = random_walk(rows=9)
    choose = sampler(np.random.random((9, L)).astype("float32"))
    sampled = generate(step, choose, first, states, END, L, changes=[heated(tau, 9)])
    argmax = generate(step, greedy, first, states, END, L)
    np.testing.assert_array_equal(array(sampled[0]), array(argmax[0]))
    np.testing.assert_allclose(array(sampled[2]), array(argmax[2]), rtol=1e-6)


def test_the_same_numbers_give_the_same_text_eagerly_and_in_a_graph():
    step, first, states = random_walk(rows=8)
    uniform, other = (np.random.random((8, L)).astype("float32") for _ in range(2))
    tokens = [array(generate(step, sampler(u), first, states, END, L)[0]) for u in (uniform, uniform, other)]
    in_graph = tf.function(lambda u: generate(step, sampler(u), first, states, END, L))(uniform)
    np.testing.assert_array_equal(tokens[0], tokens[1])
    np.testing.assert_array_equal(tokens[0], array(in_graph[0]))
    assert (tokens[0] != tokens[2]).any()


def test_the_score_of_a_sample_is_the_log_probability_at_temperature_one():
    step, first, states = random_walk(rows=6)
    uniform = np.random.random((6, L)).astype("float32")
    tokens, _, scores = generate(step, sampler(uniform), first, states, END, L, changes=[heated(0.7, 6)])
    by_row, expected = by_hand(step, lambda logits, t: drawn(uniform, 0.7, logits, t), first, states, L)
    np.testing.assert_array_equal(array(tokens), by_row)
    np.testing.assert_allclose(array(scores), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("edge", ["0", "next to 1"])
def test_a_number_at_the_edge_never_picks_a_token_without_probability(edge, dtype):
    rows = 400
    logits = np.random.normal(size=(rows, V)).astype("float32")
    logits[:, [0, 2, V - 2, V - 1]] = -np.inf
    number = 0 if edge == "0" else np.nextafter(np.ones((), dtype), np.zeros((), dtype))
    tokens = array(sampler(np.full((rows, 1), number, dtype))(tf.constant(logits), 0))
    assert (tokens == (1 if edge == "0" else V - 3)).all()
