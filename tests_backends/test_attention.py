"""Attention, the attention decoder and pooling are the equations in NumPy, and their own steps one after the other."""

import functools

import keras
import numpy as np
import pytest
import reference
import reference_attention
from keras import ops
from measuring import array, assert_close, assert_same, evaluate, normal, packed_weights, randomize

from seq_models.layers import (
    AdditiveAttention,
    AttentionDecoder,
    AttentionPooling,
    BilinearAttention,
    CharacterEncoder,
    CoverageDecoder,
    DotAttention,
    GRUCell,
    InputFeedingDecoder,
    LastPooling,
    LSTMCell,
    MaxPooling,
    MeanPooling,
    SimpleRNNCell,
)

B, T, S, D, M, A = 4, 3, 5, 2, 6, 8
MASK = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
CELLS = {
    "simple-rnn": (SimpleRNNCell, reference.simple_rnn_step),
    "lstm": (LSTMCell, reference.lstm_step),
    "gru": (GRUCell, functools.partial(reference.gru_step, reset_after=True)),
}
ATTENTIONS = {
    "additive": (functools.partial(AdditiveAttention, A), reference_attention.additive_score),
    "bilinear": (BilinearAttention, reference_attention.bilinear_score),
    "dot": (DotAttention, reference_attention.dot_score),
}
POOLINGS = {
    LastPooling: lambda rows: rows[-1],
    MeanPooling: functools.partial(np.mean, axis=0),
    MaxPooling: functools.partial(np.max, axis=0),
}
CASES = list(zip(CELLS, ATTENTIONS, [None, MASK, MASK], [2, 1, 2], strict=True))
each_case = pytest.mark.parametrize("cell, attention, mask, depth", CASES, ids=list(CELLS))
mask_or_none = pytest.mark.parametrize("mask", [None, MASK], ids=["no-mask", "mask"])


def make(cell, attention, depth, **options):
    """A built decoder with random weights, and its inputs: [y, memory, *states]."""
    cells = [CELLS[cell][0](M, **options) for _ in range(depth)]
    decoder = AttentionDecoder(cells, ATTENTIONS[attention][0]())
    decoder.build((B, T, D), (B, S, M))
    return randomize(decoder), [normal(B, T, D), normal(B, S, M), *(normal(B, size) for size in decoder.state_sizes())]


def forced(decoder, mask, y, memory, *states):
    return decoder(y, memory, list(states), memory_mask=mask, training=True)  # with the gradient that is written out


def stepped(decoder, mask, y, memory, *states):
    """The same, a Python loop over `step`."""
    source, outputs = decoder.prepare(memory, mask), []
    states = decoder.begin(states, source)
    for t in range(T):
        output, states, weights = decoder.step(y[:, t], states, source)
        outputs.append((output, weights))
    return [ops.stack(each, axis=1) for each in zip(*outputs, strict=True)]


@each_case
def test_a_decoder_and_its_gradients_are_a_loop_over_its_steps_and_the_equations(cell, attention, mask, depth):
    decoder, inputs = make(cell, attention, depth)
    measured, by_step = (
        evaluate(functools.partial(run, decoder, mask), inputs, decoder.trainable_variables)
        for run in (forced, stepped)
    )
    assert_same(measured, by_step)
    y, memory, *states = inputs
    by_cell = [[states.pop(0) for _ in layer.get_initial_state(1)] for layer in decoder.cells]
    cells = [(CELLS[cell][1], packed_weights(layer)) for layer in decoder.cells]
    score, weights = ATTENTIONS[attention][1], decoder.attention.get_weights()
    expected = reference_attention.decode(cells, score, y, memory, by_cell, weights, mask)
    assert_close([measured["output 0"], measured["output 1"]], expected)


@pytest.mark.parametrize("make", [functools.partial(InputFeedingDecoder, units=3), CoverageDecoder])
def test_what_a_step_hands_on_and_its_gradients_are_those_of_a_loop_over_its_steps(make):
    decoder = make([GRUCell(5), LSTMCell(M)], AdditiveAttention(A))
    decoder.build((B, T, D), (B, S, M))
    sizes = decoder.state_sizes()
    inputs = [normal(B, T, D), normal(B, S, M), *(normal(B, size) for size in sizes)]
    randomize(decoder)
    runs = (functools.partial(run, decoder, None) for run in (forced, stepped))
    assert_same(*(evaluate(run, inputs, decoder.trainable_variables) for run in runs))


def test_a_decoder_draws_one_dropout_mask_for_all_steps_and_none_outside_training():
    decoder, inputs = make("gru", "additive", 1, dropout=0.5, recurrent_dropout=0.5, seed=1)
    y, memory, states = inputs[0], inputs[1], inputs[2:]
    run = lambda training: array(decoder(y, memory, list(states), training=training)[0])  # noqa: E731
    assert_close(run(False), run(False))
    first, second = run(True), run(True)
    assert np.abs(first - second).max() > 1e-3
    assert np.abs(first - run(False)).max() > 1e-3


@mask_or_none
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_attention_is_its_equation_and_a_row_of_padding_alone_gets_zeros(attention, mask):
    layer, score = ATTENTIONS[attention][0](), ATTENTIONS[attention][1]
    layer.build((B, M), (B, S, M))
    randomize(layer)
    query, values = normal(B, M), normal(B, S, M)
    run = lambda query, values: layer(query, values, mask=mask)  # noqa: E731
    measured = evaluate(run, [query, values], layer.trainable_variables)
    rows = range(B)
    real = [None] * B if mask is None else mask
    expected = [reference_attention.attend(score, query[b], values[b], layer.get_weights(), real[b]) for b in rows]
    for k in range(2):
        assert_close(measured[f"output {k}"], np.stack([pair[k] for pair in expected]))
    assert all(np.isfinite(value).all() for value in measured.values())


@mask_or_none
def test_a_pooling_that_attends_is_its_equation(mask):
    layer, h = AttentionPooling(), normal(B, S, M)
    layer.build((B, S, M))
    W, b, u = randomize(layer).get_weights()
    expected = np.zeros((B, M))
    for row, real in enumerate(np.full((B, S), True) if mask is None else mask):
        scores = np.exp(np.tanh(h[row][real] @ W + b) @ u)  # (real, 1)
        expected[row] = (scores * h[row][real]).sum(axis=0) / max(scores.sum(), 1e-30)
    measured = evaluate(lambda h: layer(h, mask=mask), [h], layer.trainable_variables)
    assert_close(measured["output 0"], expected)
    assert all(np.isfinite(value).all() for value in measured.values())


@mask_or_none
@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_takes_the_real_tokens_and_gives_zeros_where_there_is_none(pooling, mask):
    h = normal(B, S, M)
    real = np.full((B, S), True) if mask is None else mask
    expected = [POOLINGS[pooling](h[b][real[b]]) if real[b].any() else np.zeros(M) for b in range(B)]
    measured = evaluate(lambda h: pooling()(h, mask=mask), [h], [])
    assert_close(measured["output 0"], np.stack(expected))
    np.testing.assert_array_equal(measured["gradient of input 0"][~real], 0)


def test_the_last_states_of_both_directions_are_those_at_the_last_and_the_first_real_token():
    h = normal(B, S, M)
    pooled = array(LastPooling(bidirectional=True)(h, mask=MASK))
    assert_close(pooled[1], np.concatenate([h[1, 3, : M // 2], h[1, 0, M // 2 :]]))


def test_a_word_is_its_characters_whatever_the_padding():
    layer = CharacterEncoder(9, embedding_units=4, units=3)
    characters = np.random.randint(1, 9, (B, T, 4)).astype("int32")
    words = layer(characters)
    assert tuple(words.shape) == (B, T, 6)
    assert_close(layer(np.pad(characters, ((0, 0), (0, 0), (0, 3)))), words)
    assert keras.backend.standardize_dtype(words.dtype) == "float32"
