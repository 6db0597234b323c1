"""One step of a unit is the equations of the papers, and the cell of that name in `keras.layers`."""

import functools

import keras
import numpy as np
import pytest
import reference
from parity import (
    KINDS,
    MASK,
    B,
    D,
    H,
    T,
    as_json,
    assert_same,
    evaluate,
    every_kind,
    measure,
    normal,
    options_of,
    packed_weights,
    randomize,
    same_weights,
    states_of,
)

from seq_models.layers import GRUCell, LSTMCell, SimpleRNNCell

# Our name of an activation of the candidate and of the gates -> the function in NumPy.
ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": reference.sigmoid,
    "relu": reference.relu,
    "linear": reference.linear,
    "hard_sigmoid": reference.hard_sigmoid,
}


def cell_of(kind, **options):
    cell = KINDS[kind].cell(H, **KINDS[kind].options, **options)
    cell.build((B, D))
    return randomize(cell)


def one_step_in_numpy(step, x, states, weights):
    rows = [step(x[row], [state[row] for state in states], weights) for row in range(len(x))]
    return [np.stack(state) for state in zip(*rows, strict=True)]


def assert_close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(keras.ops.convert_to_numpy(actual), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("use_bias", [True, False], ids=["bias", "no-bias"])
@every_kind
def test_a_cell_and_its_gradients_are_those_of_the_keras_cell(kind, use_bias):
    options = {**KINDS[kind].options, "use_bias": use_bias}
    cell, keras_cell = same_weights(KINDS[kind].cell(H, **options), KINDS[kind].keras_cell(H, **options), (B, D))
    inputs = [normal(B, D), *states_of(cell)]

    def one_step(cell):
        return evaluate(lambda x, *states: cell(x, list(states)), inputs, cell.trainable_variables)

    assert_same(one_step(cell), one_step(keras_cell))


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 1e-12)], ids=["float32", "float64"])
@pytest.mark.parametrize("use_bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize(
    "activation, gate", [("tanh", "sigmoid"), ("relu", "hard_sigmoid"), ("linear", "sigmoid")], ids="-".join
)
@every_kind
def test_a_cell_is_the_equations_of_the_papers(kind, activation, gate, use_bias, dtype, tolerance):
    functions = {"g": ACTIVATIONS[activation]}
    options = {"activation": activation, "use_bias": use_bias, "dtype": dtype}
    if kind != "simple-rnn":
        functions["gate"] = ACTIVATIONS[gate]
        options["recurrent_activation"] = gate
    cell = cell_of(kind, **options)
    x, states = normal(B, D), states_of(cell)
    step = functools.partial(KINDS[kind].step, **functions)
    expected = one_step_in_numpy(step, x, states, packed_weights(cell))

    output, after = cell(x, states)

    assert_close(output, expected[0], tolerance)
    for state, value in zip(after, expected, strict=True):
        assert_close(state, value, tolerance)


@pytest.mark.parametrize("reset_after", [True, False], ids=["reset-after", "reset-before"])
def test_the_two_update_gates_of_the_literature_are_one_model_with_the_sign_of_z_turned(reset_after):
    cell = GRUCell(H, reset_after=reset_after)
    cell.build((B, D))
    randomize(cell)
    x, states = normal(B, D), states_of(cell)
    mirrored = functools.partial(reference.gru_step, reset_after=reset_after, update_takes_candidate=True)
    sign = np.ones(3 * H)
    sign[:H] = -1  # z is packed first

    unturned = one_step_in_numpy(mirrored, x, states, packed_weights(cell))
    turned = one_step_in_numpy(mirrored, x, states, [w * sign for w in packed_weights(cell)])

    assert_close(cell(x, states)[0], turned[0])
    assert np.abs(cell(x, states)[0] - unturned[0]).max() > 0.1


def test_the_reset_gate_acts_alike_before_and_after_a_diagonal_matrix_without_bias_and_only_there():
    after, before = cell_of("gru", use_bias=False), cell_of("gru-reset-before", use_bias=False)
    kernel, recurrent_kernel = after.get_weights()
    x, states = normal(B, D), states_of(after)

    before.set_weights([kernel, recurrent_kernel])
    assert np.abs(after(x, states)[0] - before(x, states)[0]).max() > 0.01

    recurrent_kernel[:, 2 * H :] = np.diag([0.5, -0.3, 0.8])
    for cell in (after, before):
        cell.set_weights([kernel, recurrent_kernel])
    assert_close(after(x, states)[0], before(x, states)[0])


@pytest.mark.parametrize("kind", ["simple-rnn", "gru", "gru-reset-before"])
def test_a_cell_with_one_state_takes_it_bare_too_and_gives_it_back_as_it_came(kind):
    cell = cell_of(kind)
    x, [h] = normal(B, D), states_of(cell)
    output, [listed] = cell(x, [h])
    bare_output, bare = cell(x, keras.ops.convert_to_tensor(h))
    for each in (listed, bare_output, bare):
        assert_close(each, output)


@every_kind
def test_the_first_states_are_zeros_and_the_sizes_are_those_of_the_keras_cell(kind):
    cell, keras_cell = KINDS[kind].cell(H), KINDS[kind].keras_cell(H)
    states = cell.get_initial_state(B)
    assert [tuple(state.shape) for state in states] == [tuple(s.shape) for s in keras_cell.get_initial_state(B)]
    assert not np.any(states)
    assert cell.state_size == keras_cell.state_size
    assert cell.output_size == keras_cell.output_size


@pytest.mark.parametrize("unit_forget_bias", [True, False])
@pytest.mark.parametrize("bias_initializer", ["zeros", "ones"])
def test_an_lstm_starts_with_the_biases_of_the_keras_cell(unit_forget_bias, bias_initializer):
    options = {"unit_forget_bias": unit_forget_bias, "bias_initializer": bias_initializer}
    biases = []
    for cell in (LSTMCell(H, **options), keras.layers.LSTMCell(H, **options)):
        cell.build((B, D))
        biases.append(cell.get_weights()[2])
    np.testing.assert_array_equal(*biases)


@pytest.mark.parametrize("mask", [None, MASK], ids=["no-mask", "mask"])
@every_kind
def test_keras_runs_a_cell_over_time_as_it_runs_its_own(kind, mask):
    options = KINDS[kind].options
    layer, keras_layer = (
        keras.layers.RNN(cell(H, **options), return_sequences=True, return_state=True)
        for cell in (KINDS[kind].cell, KINDS[kind].keras_cell)
    )
    same_weights(layer, keras_layer)
    x, states = normal(B, T, D), states_of(layer)
    assert_same(measure(layer, x, states, mask), measure(keras_layer, x, states, mask))


def stack(*cells):
    cells = keras.layers.StackedRNNCells([cell(H + k) for k, cell in enumerate(cells)])
    return keras.layers.RNN(cells, return_sequences=True, return_state=True)


def test_keras_stacks_cells_as_it_stacks_its_own():
    keras_cells = keras.layers.SimpleRNNCell, keras.layers.LSTMCell, keras.layers.GRUCell
    layer, keras_layer = same_weights(stack(SimpleRNNCell, LSTMCell, GRUCell), stack(*keras_cells))
    x = normal(B, T, D)

    def whole_stack(layer):
        return evaluate(lambda x: layer(x, mask=MASK), [x], layer.trainable_variables)

    assert_same(whole_stack(layer), whole_stack(keras_layer))


@every_kind
def test_dropout_of_a_cell_keeps_its_masks_until_they_are_reset(kind):
    cell = cell_of(kind, dropout=0.5, recurrent_dropout=0.5, seed=4)
    x, states = normal(B, D), states_of(cell)
    first = np.array(cell(x, states, training=True)[0])
    assert_close(cell(x, states, training=True)[0], first)
    cell.reset_dropout_mask()
    cell.reset_recurrent_dropout_mask()
    assert np.abs(cell(x, states, training=True)[0] - first).max() > 1e-3


@every_kind
def test_dropout_of_a_cell_takes_rows_out_of_its_matrices_for_one_example_and_doubles_the_others(kind):
    cell = cell_of(kind, dropout=0.5, recurrent_dropout=0.5, seed=5)
    x, states = normal(1, D), states_of(cell, rows=1)
    output, _ = cell(x, states, training=True)
    kept_inputs, kept_units = cell.get_dropout_mask(x)[0], cell.get_recurrent_dropout_mask(states[0])[0]
    assert set(np.array(kept_inputs)) == set(np.array(kept_units)) == {0, 2}
    W, U, b = packed_weights(cell)
    dropped = [W * np.array(kept_inputs)[:, None], U * np.array(kept_units)[:, None], b]
    assert_close(output, one_step_in_numpy(KINDS[kind].step, x, states, dropped)[0])


@every_kind
def test_dropout_of_a_cell_is_off_outside_training(kind):
    cell, dropping = cell_of(kind), cell_of(kind, dropout=0.5, recurrent_dropout=0.5)
    dropping.set_weights(cell.get_weights())
    x, states = normal(B, D), states_of(cell)
    for options in ({}, {"training": False}):
        assert_close(dropping(x, states, **options)[0], cell(x, states)[0])


@every_kind
def test_a_cell_takes_every_argument_of_the_keras_cell_and_keeps_it(kind):
    options = options_of(KINDS[kind].keras_cell)
    cell = KINDS[kind].cell(**options)
    config, expected = as_json(cell)["config"], as_json(KINDS[kind].keras_cell(**options))["config"]
    assert {name: config[name] for name in expected} == expected
    assert as_json(keras.saving.deserialize_keras_object(as_json(cell))) == as_json(cell)


@every_kind
def test_a_cell_has_the_defaults_of_the_keras_cell(kind):
    config = as_json(KINDS[kind].cell(H, name="cell"))["config"]
    expected = as_json(KINDS[kind].keras_cell(H, name="cell"))["config"]
    assert {name: config[name] for name in expected} == expected


@pytest.mark.parametrize("units", [0, -3, 2.0, True, "4", None])
@every_kind
def test_units_must_be_a_positive_integer(kind, units):
    with pytest.raises(ValueError, match=r"units must be a positive integer. Received: units="):
        KINDS[kind].cell(units)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "0.5", None])
@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout"])
@every_kind
def test_rates_outside_0_to_1_are_refused(kind, name, rate):
    with pytest.raises(ValueError, match=rf"^{name} must be in \[0, 1\]. Received: {name}="):
        KINDS[kind].cell(H, **{name: rate})


@pytest.mark.parametrize(
    "shape, message",
    [((B, D + 1), rf"value {D}, but received input with shape \({B}, {D + 1}\)"), ((B, T, D), r"Full shape received")],
    ids=["features", "rank"],
)
@every_kind
def test_inputs_of_another_shape_are_refused(kind, shape, message):
    cell = cell_of(kind)
    with pytest.raises(ValueError, match=message):
        cell(normal(*shape), states_of(cell))
