"""Beam search on every backend: one beam is greedy, and texts have the probability of teacher forcing."""

import keras
import numpy as np
from keras import ops
from measuring import array, assert_close, normal

from seq_models.decoding import Attention, beam_search, generate, gnmt, greedy, min_length, no_repeat_ngram
from seq_models.networks import EncoderDecoder

B, S, V, L, START, END, CONTROL = 4, 5, 9, 7, 2, 3, (0, 1, 2)


def begun():
    """A network with random weights, its first logits and states."""
    network = EncoderDecoder(V, V, cell="gru", units=6)
    network.set_weights([normal(*weight.shape, scale=0.9) for weight in network.get_weights()])
    real = np.arange(S) < np.array([S, 2, 1, 4])[:, None]
    source = np.where(real, np.random.randint(4, V, (B, S)), 0).astype("int32")
    return network, source, *network.step(ops.full((B,), START, dtype="int32"), network.start(source))


def test_one_beam_is_greedy():
    network, _, first, states = begun()
    tokens, lengths, scores = generate(network.step, greedy, first, states, END, L, CONTROL)
    found = beam_search(network.step, first, states, END, L, 1, forbidden=CONTROL)
    np.testing.assert_array_equal(array(found.tokens)[:, 0], array(tokens))
    np.testing.assert_array_equal(array(found.lengths)[:, 0], array(lengths))
    assert_close(array(found.log_p)[:, 0], scores)


def test_the_best_are_sorted_and_keep_to_the_rules_and_have_their_probability():
    network, source, first, states = begun()
    attention = Attention(lambda states: states["attention"], states["mask"], 0.2)
    prefix = np.int32([[0, 0], [5, 0], [6, 4], [0, 0]])
    found = beam_search(
        network.step,
        first,
        states,
        END,
        L,
        4,
        4,
        gnmt(0.6),
        CONTROL,
        lambda of: [min_length(of(ops.convert_to_tensor([1, 3, 4, 5], dtype="int32")), END), no_repeat_ngram(2)],
        ops.convert_to_tensor(prefix),
        attention,
    )
    tokens, lengths, log_p, scores = map(array, found[:4])
    assert (np.diff(scores, axis=1) <= 0).all() and np.isfinite(scores).all()
    for row in range(B):
        shifted = np.concatenate([np.full((4, 1), START), tokens[row][:, :-1]], axis=1).astype("int32")
        logits = array(network((np.repeat(source[row : row + 1], 4, axis=0), shifted))).astype("float64")
        logits[:, :, list(CONTROL)] = -np.inf
        all_log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        for text, length, found_log_p, by_step in zip(tokens[row], lengths[row], log_p[row], all_log_p, strict=True):
            assert length >= [1, 3, 4, 5][row] and not text[length:].any()
            forced = prefix[row][prefix[row] > 0]
            np.testing.assert_array_equal(text[: len(forced)], forced)
            grams = list(zip(text[: length - 1].tolist(), text[1:length].tolist(), strict=True))
            assert len(set(grams)) == len(grams)
            expected = by_step[np.arange(length), text[:length]].sum()
            np.testing.assert_allclose(found_log_p, expected, rtol=1e-4)


def test_it_compiles():
    network, _, first, states = begun()

    def search(first, states):
        return beam_search(network.step, first, states, END, L, 3, 2, gnmt(0.6), CONTROL)

    expected = search(first, states)
    if keras.backend.backend() == "jax":
        import jax

        search = jax.jit(search)
    for one, other in zip(search(first, states)[:4], expected[:4], strict=True):
        assert_close(one, other)
