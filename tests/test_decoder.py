"""The attention decoder is a loop over its own step, and its step is the textbook's."""

import functools

import keras
import numpy as np
import pytest
import reference
import reference_attention
import tensorflow as tf
from parity import as_json, evaluate, packed_weights

from seq_models.layers import (
    AdditiveAttention,
    AttentionDecoder,
    BilinearAttention,
    CoverageDecoder,
    DotAttention,
    GRUCell,
    InputFeedingDecoder,
    LSTMCell,
    ScaledDotAttention,
    SimpleRNNCell,
)

B, T, S, D, M, H, A, E = 4, 3, 5, 2, 6, 7, 8, 3  # dot attention has M = H
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
    "scaled-dot": (ScaledDotAttention, reference_attention.scaled_dot_score),
}
every_cell = pytest.mark.parametrize("cell", CELLS)
every_attention = pytest.mark.parametrize("attention", ATTENTIONS)
every_depth = pytest.mark.parametrize("depth", [1, 2])
mask_or_none = pytest.mark.parametrize("mask", [None, MASK], ids=["no-mask", "mask"])


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def assert_close(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(array(actual), array(expected), rtol=tolerance, atol=tolerance)


def units_of(depth):
    """Every cell has a size of its own; the last one has H units."""
    return [H + 2 * k for k in reversed(range(depth))]


def memory_units(attention):
    return H if "dot" in attention else M


def make(cell="lstm", attention="additive", depth=1, dtype="float64", kind="plain", **options):
    """A built decoder with random weights."""
    feeding = functools.partial(InputFeedingDecoder, units=E)
    decoder_class = {"plain": AttentionDecoder, "feeding": feeding, "coverage": CoverageDecoder}[kind]
    cells = [CELLS[cell][0](units, dtype=dtype, **options) for units in units_of(depth)]
    decoder = decoder_class(cells, ATTENTIONS[attention][0](dtype=dtype), dtype=dtype)
    decoder.build((B, T, D), (B, S, memory_units(attention)))
    decoder.set_weights([np.random.normal(size=w.shape, scale=0.6) for w in decoder.get_weights()])
    return decoder


def example(decoder, attention="additive", rows=B, steps=T, source_steps=S):
    """[inputs, memory, *states], random."""
    shapes = [(rows, steps, D), (rows, source_steps, memory_units(attention))]
    return [np.random.normal(size=shape) for shape in shapes + [(rows, size) for size in decoder.state_sizes()]]


def run(decoder, inputs, memory, *states, mask=None, **options):
    options = options if mask is None else {"memory_mask": mask, **options}
    return decoder(inputs, memory, list(states), **options)


def loop(decoder, inputs, memory, *states, mask=None):
    """Teacher forcing by `step`."""
    source = decoder.prepare(keras.ops.convert_to_tensor(memory), mask)
    states, outputs, weights = decoder.begin(states, source), [], []
    for t in range(inputs.shape[1]):
        output, states, alpha = decoder.step(inputs[:, t], states, source)
        outputs.append(array(output))
        weights.append(array(alpha))
    return np.stack(outputs, axis=1), np.stack(weights, axis=1)


def in_numpy(cell, attention, decoder, inputs, memory, *states, mask=None):
    states = list(states)
    by_cell = [[states.pop(0) for _ in np.atleast_1d(layer.state_size)] for layer in decoder.cells]
    cells = [(CELLS[cell][1], packed_weights(layer)) for layer in decoder.cells]
    score, weights = ATTENTIONS[attention][1], decoder.attention.get_weights()
    feeding = array(decoder.readout.kernel) if isinstance(decoder, InputFeedingDecoder) else None
    covering = array(decoder.coverage_kernel) if isinstance(decoder, CoverageDecoder) else None
    return reference_attention.decode(cells, score, inputs, memory, by_cell, weights, mask, feeding, covering)


# The equations


@mask_or_none
@every_depth
@every_attention
@every_cell
def test_teacher_forcing_is_a_loop_over_step_and_the_equations(cell, attention, depth, mask):
    decoder = make(cell, attention, depth)
    inputs = example(decoder, attention)
    forced = run(decoder, *inputs, mask=mask)
    assert [tuple(output.shape) for output in forced] == [(B, T, H + memory_units(attention)), (B, T, S)]
    stepped = loop(decoder, *inputs, mask=mask)
    expected = in_numpy(cell, attention, decoder, *inputs, mask=mask)
    for output, by_step, by_hand in zip(forced, stepped, expected, strict=True):
        assert_close(output, by_step)
        assert_close(output, by_hand)


@pytest.mark.parametrize("attention, depth, mask", [("additive", 1, None), ("bilinear", 2, MASK)])
@every_cell
def test_input_feeding_is_a_loop_over_step_and_the_equations(cell, attention, depth, mask):
    decoder = make(cell, attention, depth, kind="feeding")
    inputs = example(decoder, attention)
    forced = run(decoder, *inputs, mask=mask)
    assert [tuple(output.shape) for output in forced] == [(B, T, E), (B, T, S)]
    stepped = loop(decoder, *inputs, mask=mask)
    expected = in_numpy(cell, attention, decoder, *inputs, mask=mask)
    for output, by_step, by_hand in zip(forced, stepped, expected, strict=True):
        assert_close(output, by_step)
        assert_close(output, by_hand)


@pytest.mark.parametrize("mask, cell, depth", [(None, "lstm", 2), (MASK, "gru", 1)])
@every_attention
def test_coverage_is_a_loop_over_step_and_the_equations(cell, attention, depth, mask):
    decoder = make(cell, attention, depth, kind="coverage")
    inputs = example(decoder, attention)
    expected = in_numpy(cell, attention, decoder, *inputs, mask=mask)
    for forced in (run(decoder, *inputs, mask=mask), run(decoder, *inputs, mask=mask, training=True)):
        for output, by_step, by_hand in zip(forced, loop(decoder, *inputs, mask=mask), expected, strict=True):
            assert_close(output, by_step)
            assert_close(output, by_hand)


def test_coverage_begins_as_no_coverage_and_its_last_state_is_the_attention_that_was_given():
    decoder = make(kind="coverage")
    inputs, memory, *states = example(decoder)
    plain = AttentionDecoder(decoder.cells, decoder.attention, dtype="float64")
    decoder.coverage_kernel.assign(np.zeros(A))
    source = decoder.prepare(keras.ops.convert_to_tensor(memory), MASK)
    outputs, last, weights = decoder.run(inputs, decoder.begin(states, source), source)
    for output, expected in zip((outputs, weights), run(plain, inputs, memory, *states, mask=MASK), strict=True):
        assert_close(output, expected)
    assert_close(last[-1], array(weights).sum(axis=1))
    fresh = CoverageDecoder(decoder.cells, decoder.attention)
    fresh.build((B, T, D), (B, S, M))
    assert not array(fresh.coverage_kernel).any()


@pytest.mark.parametrize("kind", ["plain", "coverage"])
def test_gradients_are_the_finite_differences_of_the_equations(kind):
    decoder = make("lstm", "additive", kind=kind)
    mask = MASK[:1]
    inputs = example(decoder, rows=1)
    covering = [decoder.coverage_kernel] if kind == "coverage" else []

    def loss(inputs, memory, h, c, *weights):
        W, U, b, *rest = weights
        cells = [(reference.lstm_step, [W, U, b])]
        attention, score = rest[:4], reference_attention.additive_score
        given = [inputs, memory, [[h, c]], attention, mask, None, *rest[4:]]
        outputs = reference_attention.decode(cells, score, *given)
        return sum(flat @ np.cos(np.arange(flat.size)) for flat in map(np.ravel, outputs))

    variables = [*decoder.cells[0].trainable_variables, *decoder.attention.trainable_variables, *covering]
    measured = evaluate(functools.partial(run, decoder, mask=mask, training=True), inputs, variables)
    gradients = [value for name, value in measured.items() if name.startswith("gradient")]
    expected = reference.finite_differences(loss, [*inputs, *(array(v) for v in variables)])
    assert len(gradients) == len(expected)
    for gradient, difference in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, difference, rtol=1e-6, atol=1e-8)


def same_when_derived_step_by_step(decoder, inputs, mask=None, **tolerance):
    """Holds the gradient that is written out against that of the backend, of all that the loop gives."""

    def all_given(inputs, memory, *states):
        source = decoder.prepare(memory, mask)
        return keras.tree.flatten(decoder.run(inputs, decoder.begin(states, source), source, training))

    training = True
    written_out = evaluate(all_given, inputs, decoder.trainable_variables)
    training = False
    derived = evaluate(all_given, inputs, decoder.trainable_variables)
    assert written_out.keys() == derived.keys()
    for name, value in written_out.items():
        np.testing.assert_allclose(value, derived[name], err_msg=name, **tolerance)


@pytest.mark.parametrize(
    "cell, attention, depth, mask, kind",
    [
        ("simple-rnn", "additive", 2, MASK, "plain"),
        ("lstm", "additive", 1, None, "plain"),
        ("lstm", "bilinear", 2, MASK, "plain"),
        ("gru", "dot", 1, MASK, "plain"),
        ("gru", "bilinear", 2, None, "plain"),
        ("simple-rnn", "scaled-dot", 1, MASK, "plain"),
        ("lstm", "additive", 2, MASK, "feeding"),
        ("gru", "dot", 1, None, "feeding"),
    ],
)
def test_the_gradient_of_training_is_that_of_the_loop(cell, attention, depth, mask, kind):
    decoder = make(cell, attention, depth, kind=kind)
    same_when_derived_step_by_step(decoder, example(decoder, attention), mask, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [{"reset_after": False}, {"use_bias": False}, {"activation": "relu"}], ids=str)
def test_the_gradient_of_training_is_that_of_the_loop_whatever_the_options_of_a_cell(options):
    decoder = make("gru", "additive", 2, **options)
    same_when_derived_step_by_step(decoder, example(decoder), MASK, rtol=1e-10, atol=1e-12)


def test_cells_of_different_kinds_and_one_step_alone():
    cells = [LSTMCell(5, dtype="float64"), GRUCell(4, dtype="float64"), SimpleRNNCell(H, dtype="float64")]
    decoder = AttentionDecoder(cells, BilinearAttention(dtype="float64"), dtype="float64")
    decoder.build((B, T, D), (B, S, M))
    same_when_derived_step_by_step(decoder, example(decoder, steps=1), MASK, rtol=1e-10, atol=1e-12)


def test_recurrent_dropout_has_the_gradient_of_the_masked_loop():
    decoder = make("lstm", "dot", recurrent_dropout=0.5)
    inputs = example(decoder, "dot")
    decoder.cells[0].keep = lambda h: keras.ops.cast(keras.ops.arange(H) % 2, h.dtype) * 2 + 0 * h
    U = decoder.cells[0].recurrent_kernel
    measured = evaluate(functools.partial(run, decoder, training=True), inputs, decoder.trainable_variables)
    decoder.cells[0].keep = lambda _: None
    U.assign(array(U) * (np.arange(H) % 2 * 2)[:, None])  # a row of U that meets only zeros
    expected = evaluate(functools.partial(run, decoder, training=True), inputs, decoder.trainable_variables)
    dropped = next(k for k, variable in enumerate(decoder.trainable_variables) if variable is U)
    for name, value in measured.items():
        scale = (np.arange(H) % 2 * 2)[:, None] if name == f"gradient of recurrent_kernel {dropped}" else 1
        np.testing.assert_allclose(value, expected[name] * scale, err_msg=name, atol=1e-12)


def test_a_cell_without_a_gradient_written_out_runs_step_by_step():
    decoder = make("lstm", activation="softplus")
    inputs = example(decoder)
    for output, by_step in zip(run(decoder, *inputs, training=True), loop(decoder, *inputs), strict=True):
        assert_close(output, by_step)


@every_depth
@every_attention
@every_cell
def test_every_weight_input_and_state_gets_a_finite_gradient_that_is_not_zero(cell, attention, depth):
    decoder = make(cell, attention, depth, dtype="float32")
    inputs = [x.astype("float32") for x in example(decoder, attention)]
    measured = evaluate(functools.partial(run, decoder, mask=MASK), inputs, decoder.trainable_variables)
    gradients = {name: value for name, value in measured.items() if name.startswith("gradient")}
    assert len(gradients) == len(inputs) + len(decoder.weights)
    for name, gradient in gradients.items():
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, name


# Time and padding


@every_cell
def test_a_future_input_cannot_change_the_past(cell):
    decoder = make(cell, depth=2)
    inputs, *rest = example(decoder)
    other = inputs.copy()
    other[:, 2] += 1
    for output, changed in zip(run(decoder, inputs, *rest), run(decoder, other, *rest), strict=True):
        np.testing.assert_array_equal(array(output)[:, :2], array(changed)[:, :2])
    assert (array(run(decoder, inputs, *rest)[0])[:, 2] != array(run(decoder, other, *rest)[0])[:, 2]).any(axis=1).all()


def test_the_weights_of_a_step_come_from_the_state_before_it():
    decoder = make()
    inputs, *rest = example(decoder)
    other = inputs.copy()
    other[:, 1] += 1
    weights, changed = array(run(decoder, inputs, *rest)[1]), array(run(decoder, other, *rest)[1])
    np.testing.assert_array_equal(weights[:, :2], changed[:, :2])
    assert (weights[:, 2] != changed[:, 2]).any(axis=1).all()


@every_attention
@every_cell
def test_more_source_padding_changes_nothing(cell, attention):
    decoder = make(cell, attention)
    inputs, memory, *states = example(decoder, attention)
    longer = np.concatenate([memory, 9 * np.random.normal(size=(B, 2, memory.shape[2]))], axis=1)
    padding = ((0, 0), (0, 2))
    outputs, weights = run(decoder, inputs, memory, *states, mask=MASK)
    padded_outputs, padded_weights = run(decoder, inputs, longer, *states, mask=np.pad(MASK, padding))
    assert_close(padded_outputs, outputs)
    assert_close(padded_weights, np.pad(array(weights), ((0, 0), *padding)))
    assert (array(padded_weights)[:, :, S:] == 0).all()


@every_attention
def test_permuting_rows_permutes_outputs(attention):
    decoder = make("gru", attention, depth=2)
    inputs, rows = example(decoder, attention), np.random.permutation(B)
    outputs = run(decoder, *inputs, mask=MASK)
    for turned, output in zip(run(decoder, *(x[rows] for x in inputs), mask=MASK[rows]), outputs, strict=True):
        assert_close(turned, array(output)[rows])


def test_a_mask_on_the_memory_is_the_memory_mask():
    decoder = make(dtype="float32")
    inputs, memory, *states = (x.astype("float32") for x in example(decoder))
    memory[~MASK] = 0
    masked = keras.layers.Masking()(memory)
    for carried, given in zip(
        run(decoder, inputs, masked, *states), run(decoder, inputs, memory, *states, mask=MASK), strict=True
    ):
        np.testing.assert_array_equal(array(carried), array(given))


# Dropout


def same_at_every_step(cell, **dropout):
    """A decoder whose output would be the same at every step, were it not for dropout: it has no recurrence."""
    decoder = make(cell, "bilinear", depth=2, seed=1, **dropout)
    for layer in decoder.cells:
        layer.recurrent_kernel.assign(0 * layer.recurrent_kernel)
    inputs, memory, *states = example(decoder)
    return decoder, [np.repeat(inputs[:, :1], T, axis=1), np.repeat(memory[:, :1], S, axis=1), *(0 * s for s in states)]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_all_steps_of_a_call_share_one_dropout_mask_and_the_next_call_has_another(compiled):
    decoder, inputs = same_at_every_step("simple-rnn", dropout=0.5)
    call = functools.partial(run, decoder, training=True)
    call = tf.function(call) if compiled else call
    first, second = (array(call(*inputs)[0]) for _ in range(2))
    for outputs in (first, second):
        assert_close(outputs, np.repeat(outputs[:, :1], T, axis=1))
    assert (first[:, 0] != second[:, 0]).any()
    assert (first[0, 0] != array(run(decoder, *inputs)[0])[0, 0]).any()


def test_recurrent_dropout_has_one_mask_for_all_steps_too():
    rows, steps = 3, 40
    decoder = make("simple-rnn", "bilinear", recurrent_dropout=0.5, activation="linear")
    cell = decoder.cells[0]
    # h_t = drop(h_{t-1}) + bias counts the steps where h is kept, and stays at the bias where it is dropped.
    cell.set_weights([0 * cell.kernel, np.eye(H) / 2, np.ones(H)])
    inputs = example(decoder, rows=rows, steps=steps)
    inputs[2] *= 0
    outputs = array(run(decoder, *inputs, training=True)[0])[:, :, :H]
    kept = outputs[:, 1] > 1
    assert kept.any() and not kept.all()
    np.testing.assert_allclose(outputs, np.where(kept[:, None], np.arange(1, steps + 1)[None, :, None], 1))


@every_cell
def test_a_call_leaves_no_dropout_mask_to_a_call_with_another_number_of_rows(cell):
    decoder = make(cell, depth=2, dropout=0.5, recurrent_dropout=0.25)
    for rows in (B, B - 1):
        outputs, _ = run(decoder, *example(decoder, rows=rows), training=True)
        assert outputs.shape[0] == rows and np.isfinite(array(outputs)).all()


def test_the_same_seed_gives_the_same_dropout():
    outputs = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        decoder = make("gru", dropout=0.5, recurrent_dropout=0.5, seed=8)
        outputs.append(run(decoder, *example(decoder), training=True)[0])
    np.testing.assert_array_equal(array(outputs[0]), array(outputs[1]))


@every_cell
def test_dropout_is_off_unless_training(cell):
    decoder = make(cell, dropout=0.5, recurrent_dropout=0.5)
    inputs = example(decoder)
    np.testing.assert_array_equal(array(run(decoder, *inputs)[0]), array(run(decoder, *inputs, training=False)[0]))
    assert_close(run(decoder, *inputs)[0], loop(decoder, *inputs)[0])


# Graphs and files


@pytest.mark.parametrize(
    "cell, attention, depth", [("lstm", "additive", 2), ("gru", "bilinear", 1), ("lstm", "dot", 1)]
)
def test_a_graph_with_unknown_sizes_gives_what_eager_gives(cell, attention, depth):
    decoder = make(cell, attention, depth)
    inputs = example(decoder, attention)
    specs = [tf.TensorSpec([None] * (x.ndim - 1) + [x.shape[-1]], tf.float64) for x in inputs]
    graph = tf.function(
        lambda mask, *inputs: run(decoder, *inputs, mask=mask),
        input_signature=[tf.TensorSpec([None, None], tf.bool), *specs],
    )
    for sizes in ({}, {"rows": B - 1, "steps": T + 1, "source_steps": S - 1}):
        inputs = example(decoder, attention, **sizes)
        mask = MASK[: len(inputs[0]), : inputs[1].shape[1]]
        for output, expected in zip(graph(mask, *inputs), run(decoder, *inputs, mask=mask), strict=True):
            assert_close(output, expected)


@pytest.mark.parametrize(
    "cell, attention, kind",
    [
        ("simple-rnn", "additive", "plain"),
        ("lstm", "bilinear", "feeding"),
        ("gru", "dot", "plain"),
        ("gru", "scaled-dot", "coverage"),
    ],
)
def test_a_decoder_in_a_functional_model_survives_its_file(cell, attention, kind, tmp_path):
    decoder = make(cell, attention, depth=2, dtype="float32", dropout=0.1, kind=kind)
    inputs = [keras.Input((None, D)), keras.Input((None, memory_units(attention)))]
    inputs += [keras.Input((size,)) for size in decoder.state_sizes()]
    mask = keras.Input((None,), dtype="bool")
    outputs = run(decoder, *inputs, mask=mask)
    assert [tuple(output.shape) for output in outputs] == [
        (None, None, E if kind == "feeding" else H + memory_units(attention)),
        (None, None, None),
    ]
    model = keras.Model([*inputs, mask], outputs)
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    [again] = [layer for layer in reloaded.layers if isinstance(layer, AttentionDecoder)]
    assert as_json(again) == as_json(decoder)
    numbers = [x.astype("float32") for x in example(decoder, attention)] + [MASK]
    for output, expected in zip(reloaded(numbers), model(numbers), strict=True):
        np.testing.assert_array_equal(array(output), array(expected))


def test_state_sizes_are_those_of_all_cells_in_order():
    decoder = AttentionDecoder([LSTMCell(5), GRUCell(4), SimpleRNNCell(3)], DotAttention())
    assert decoder.state_sizes() == [5, 5, 4, 3]


@every_attention
def test_half_precision_stays_finite_and_near_float32(attention):
    half, whole = (make("lstm", attention, dtype=dtype) for dtype in ("mixed_float16", "float32"))
    whole.set_weights(half.get_weights())
    inputs = [x.astype("float32") for x in example(half, attention)]
    for output, expected in zip(run(half, *inputs, mask=MASK), run(whole, *inputs, mask=MASK), strict=True):
        assert keras.backend.standardize_dtype(output.dtype) == "float16"
        assert_close(output, expected, 0.02)
