"""A unit over a whole sequence is the equations of the papers, and the layer of that name in `keras.layers`.

Where a test compares two layers with `measure`, it compares outputs, last states and the gradients of the inputs, of
the first states and of every weight.
"""

import copy

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from parity import (
    KINDS,
    MASK,
    OPTIONS,
    PADDED_ROW,
    B,
    D,
    H,
    T,
    as_json,
    assert_same,
    evaluate,
    every_kind,
    keras_layer_of,
    measure,
    normal,
    options_of,
    ours,
    packed_weights,
    pair,
    randomize,
    same_weights,
    states_of,
    weighted_sum,
)

from seq_models.layers import GRU, LSTM, Bidirectional, SimpleRNN, engines
from seq_models.layers.engines import loop
from seq_models.layers.engines.fused import engine as fused

WHOLE = {"return_sequences": True, "return_state": True}
every_mask = pytest.mark.parametrize(
    "mask, zeros", [(None, False), (MASK, False), (MASK, True)], ids=["no-mask", "mask", "mask-zero-output"]
)
mask_or_none = pytest.mark.parametrize("mask", [None, MASK], ids=["no-mask", "mask"])
every_direction = pytest.mark.parametrize("go_backwards", [False, True], ids=["forwards", "backwards"])
a_mask_in_each_order = pytest.mark.parametrize(
    "mask, zeros, go_backwards",
    [(None, False, False), (MASK, False, True), (MASK, True, False)],
    ids=["no-mask", "mask-backwards", "mask-zero-output"],
)
every_layer = pytest.mark.parametrize("kind", ["simple-rnn", "lstm", "gru"])


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def assert_close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(array(actual), array(expected), rtol=tolerance, atol=tolerance)


def assert_all_close(actual, expected, tolerance=1e-5):
    for a, e in zip(actual, expected, strict=True):
        assert_close(a, e, tolerance)


# The layers of Keras


@pytest.mark.parametrize(
    "return_sequences, use_bias", [(True, True), (False, True), (True, False)], ids=["sequences", "last", "no-bias"]
)
@every_direction
@every_mask
@every_kind
def test_a_layer_and_its_gradients_are_those_of_keras(kind, mask, zeros, go_backwards, return_sequences, use_bias):
    layer, keras_layer = pair(
        kind,
        return_state=True,
        return_sequences=return_sequences,
        go_backwards=go_backwards,
        use_bias=use_bias,
        zero_output_for_mask=zeros,
    )
    x, states = normal(B, T, D), states_of(layer)
    assert_same(measure(layer, x, states, mask), measure(keras_layer, x, states, mask))


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@a_mask_in_each_order
@every_kind
def test_a_layer_and_its_gradients_are_those_of_keras_in_a_graph(kind, mask, zeros, go_backwards, training):
    layer, keras_layer = pair(kind, go_backwards=go_backwards, zero_output_for_mask=zeros, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    measured = measure(layer, x, states, mask, compiled={}, training=training)
    assert_same(measured, measure(keras_layer, x, states, mask))


@pytest.mark.parametrize("whole", [False, True], ids=["last", "sequences"])
@mask_or_none
@every_kind
def test_a_layer_whose_last_states_nobody_wants_has_the_gradients_of_keras(kind, mask, whole):
    layer, keras_layer = pair(kind, return_sequences=whole)
    x, states = normal(B, T, D), states_of(layer)
    assert_same(measure(layer, x, states, mask, training=True), measure(keras_layer, x, states, mask))


@every_kind
def test_a_layer_and_its_gradients_are_those_of_keras_in_a_graph_without_static_batch_and_length(kind):
    layer, keras_layer = pair(kind, **WHOLE)
    inputs = [normal(B, T, D), *states_of(layer)]
    shapes = [[None, None, D], *([None, H] for _ in inputs[1:])]

    def run(layer, compiled=None):
        call = lambda x, *states: layer(x, mask=x[:, :, 0] > -0.5, initial_state=list(states))  # noqa: E731
        return evaluate(call, inputs, layer.trainable_variables, compiled)

    assert_same(run(layer, {"input_signature": [tf.TensorSpec(shape) for shape in shapes]}), run(keras_layer))


@pytest.mark.parametrize("rows", [1, 2, 9, 16])
@every_kind
def test_the_halves_of_any_number_of_rows_are_the_whole(kind, rows):
    """Of one row one half is empty."""
    layer = ours(kind, engine="halves", **WHOLE)
    inputs = [normal(rows, T, D), *states_of(layer, rows)]
    mask = np.random.uniform(size=(rows, T)) > 0.3
    call = lambda x, *states: layer(x, mask=mask, initial_state=list(states), training=True)  # noqa: E731
    shapes = [tf.TensorSpec([None, *array.shape[1:]]) for array in inputs]
    in_halves = evaluate(call, inputs, layer.trainable_variables, {"input_signature": shapes})
    with engines.using(engines.Loop()):
        whole = evaluate(call, inputs, layer.trainable_variables, {"input_signature": shapes})
    assert_same(in_halves, whole)


@every_kind
def test_without_a_compiler_a_graph_has_two_loops_but_for_little_work_or_both_directions(kind, monkeypatch):
    monkeypatch.setattr(fused, "problem", lambda: "a C++ compiler")
    monkeypatch.setattr(loop, "ENOUGH", 8 * H)

    def loops(layer, rows):
        concrete = tf.function(layer).get_concrete_function(tf.TensorSpec([rows, T, D]))
        return sum(operation.type in ("While", "StatelessWhile") for operation in concrete.graph.get_operations())

    layer = ours(kind)
    assert [loops(layer, rows) for rows in (None, 8, 7, 1)] == [2, 2, 1, 1]
    assert loops(Bidirectional(layer), None) == 2
    assert loops(keras.layers.Bidirectional(layer), None) == 4


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@every_kind
def test_a_layer_and_its_gradients_are_those_of_keras_under_xla(kind, training):
    layer, keras_layer = pair(kind, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    under_xla = measure(layer, x, states, MASK, compiled={"jit_compile": True}, training=training)
    assert_same(under_xla, measure(keras_layer, x, states, MASK))


@pytest.mark.parametrize(
    "activation, gate",
    [("relu", "sigmoid"), ("linear", "relu"), ("sigmoid", "linear"), ("hard_sigmoid", "hard_sigmoid")],
    ids="{}".format,
)
@every_kind
def test_other_activations_give_what_they_give_in_keras(kind, activation, gate):
    gates = {} if kind == "simple-rnn" else {"recurrent_activation": gate}
    layer, keras_layer = pair(kind, activation=activation, **gates, dtype="float64", **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    assert_same(measure(layer, x, states, MASK), measure(keras_layer, x, states, MASK), 1e-10)


# Forwards only: unrolled, backwards and with zero_output_for_mask, Keras 3.15 forgets to turn the mask of the outputs.
@every_mask
@every_kind
def test_an_unrolled_layer_gives_what_it_gives_in_keras_and_what_the_loop_gives(kind, mask, zeros):
    options = {"zero_output_for_mask": zeros, **WHOLE}
    layer, keras_layer = pair(kind, unroll=True, **options)
    looped = ours(kind, **options)
    looped.set_weights(layer.get_weights())
    x, states = normal(B, T, D), states_of(layer)
    unrolled = measure(layer, x, states, mask)
    assert_same(unrolled, measure(keras_layer, x, states, mask))
    assert_same(unrolled, measure(looped, x, states, mask))


@mask_or_none
@every_kind
def test_an_unrolled_layer_goes_backwards_as_the_loop_does(kind, mask):
    unrolled, looped = (ours(kind, go_backwards=True, unroll=unroll, **WHOLE) for unroll in (True, False))
    looped.set_weights(unrolled.get_weights())
    x, states = normal(B, T, D), states_of(looped)
    assert_same(measure(unrolled, x, states, mask), measure(looped, x, states, mask))


@mask_or_none
@every_kind
def test_second_derivatives_are_those_of_keras(kind, mask):
    layer, keras_layer = pair(kind, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)

    def slopes(layer):
        def gradient(x, *states):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = weighted_sum(tf.nest.flatten(layer(x, initial_state=list(states), mask=mask)))
            return tape.gradient(loss, x)

        return evaluate(gradient, [x, *states], layer.trainable_variables)

    assert_same(slopes(layer), slopes(keras_layer))


@pytest.mark.parametrize(
    "kind, merge_mode, return_sequences",
    [(kind, "concat", whole) for kind in KINDS for whole in (True, False)]
    + [("lstm", merge_mode, True) for merge_mode in ("sum", "mul", "ave", None)],
    ids="{}".format,
)
@pytest.mark.parametrize("our_class", [Bidirectional, keras.layers.Bidirectional], ids=["ours", "keras"])
def test_a_layer_in_both_directions_is_that_of_keras(kind, merge_mode, return_sequences, our_class):
    options = {"return_state": True, "return_sequences": return_sequences}
    layer, keras_layer = same_weights(
        *(
            each_class(each, merge_mode=merge_mode)
            for each_class, each in zip((our_class, keras.layers.Bidirectional), pair(kind, **options), strict=True)
        )
    )
    x, states = normal(B, T, D), states_of(layer.forward_layer) + states_of(layer.backward_layer)
    assert_same(measure(layer, x, states, MASK), measure(keras_layer, x, states, MASK))


@mask_or_none
@every_kind
def test_a_stateful_layer_keeps_and_forgets_its_states_as_in_keras(kind, mask):
    layer, keras_layer = pair(kind, stateful=True, **WHOLE)
    first, second = normal(B, T, D), normal(B, T, D)
    for x in (first, second):
        assert_all_close(layer(x, mask=mask), keras_layer(x, mask=mask))
    for each in (layer, keras_layer):
        each.reset_state()
        assert not any(np.any(state) for state in each.states)
    assert_all_close(layer(second, mask=mask), keras_layer(second, mask=mask))


def training_model(layer):
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(keras.layers.Masking(0.0)(inputs))))
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse", run_eagerly=True)
    return model


@every_kind
def test_regularizers_and_constraints_act_in_training_as_in_keras(kind):
    names = [name for name in OPTIONS if name.endswith(("regularizer", "constraint"))]
    layer, keras_layer = pair(kind, **{name: OPTIONS[name] for name in names})
    model, keras_model = same_weights(training_model(layer), training_model(keras_layer), (None, T, D))
    x, y = normal(B, T, D) * MASK[:, :, None], normal(B, 1)
    before = model.get_weights()
    for _ in range(2):
        assert_close(model.train_on_batch(x, y), keras_model.train_on_batch(x, y))
    assert_all_close(model.get_weights(), keras_model.get_weights())
    assert all(np.abs(weight - start).max() > 1e-3 for weight, start in zip(model.get_weights(), before, strict=True))
    kernel, recurrent_kernel, bias = layer.get_weights()
    assert np.linalg.norm(kernel, axis=0).max() <= 0.6 + 1e-5
    assert_close(np.linalg.norm(recurrent_kernel, axis=0), np.ones(recurrent_kernel.shape[1]))
    assert bias.min() >= 0


@mask_or_none
@every_kind
def test_dropout_of_the_inputs_is_that_of_keras_with_the_same_seed(kind, mask):
    layer, keras_layer = pair(kind, dropout=0.5, seed=7, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    assert_same(measure(layer, x, states, mask, training=True), measure(keras_layer, x, states, mask, training=True))


@mask_or_none
def test_dropout_of_the_recurrence_is_that_of_keras_with_the_same_seed(mask):
    """Of a network without gates: for the others Keras draws a mask for each gate, and ours is one for all."""
    layer, keras_layer = pair("simple-rnn", dropout=0.3, recurrent_dropout=0.5, seed=7, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    assert_same(measure(layer, x, states, mask, training=True), measure(keras_layer, x, states, mask, training=True))


# The equations of the papers


@a_mask_in_each_order
@every_kind
def test_a_layer_and_its_gradients_are_the_equations_of_the_papers(kind, mask, zeros, go_backwards):
    order = {"go_backwards": go_backwards, "zero_output_for_mask": zeros}
    layer = ours(kind, dtype="float64", **order, **WHOLE)
    states = states_of(layer)
    arguments = [a.astype("float64") for a in (normal(B, T, D), *states, *packed_weights(layer))]

    def outputs_in_numpy(x, *rest):
        outputs, last = reference.run(KINDS[kind].step, x, rest[: len(states)], rest[len(states) :], mask, **order)
        return [outputs, *last]

    def loss_in_numpy(*arguments):
        return sum(np.cos(np.arange(output.size)) @ output.ravel() for output in outputs_in_numpy(*arguments))

    measured = measure(layer, arguments[0], arguments[1 : 1 + len(states)], mask)
    gradients = [value for name, value in measured.items() if name.startswith("gradient")]
    outputs = [value for name, value in measured.items() if name.startswith("output")]
    assert_all_close(outputs, outputs_in_numpy(*arguments), 1e-12)
    assert_all_close(gradients, reference.finite_differences(loss_in_numpy, arguments), 1e-7)


@pytest.mark.parametrize("reset_after", [True, False], ids=["reset-after", "reset-before"])
def test_a_gru_whose_update_gate_takes_the_candidate_is_ours_with_the_sign_of_z_turned(reset_after):
    layer = GRU(H, reset_after=reset_after, dtype="float64", **WHOLE)
    layer.build((B, T, D))
    randomize(layer)
    x, states = normal(B, T, D), states_of(layer)

    def mirrored(x, states, weights):
        return reference.gru_step(x, states, weights, reset_after=reset_after, update_takes_candidate=True)

    turned = [np.concatenate([-w[..., :H], w[..., H:]], axis=-1) for w in packed_weights(layer)]
    outputs, last = reference.run(mirrored, x, states, turned, MASK)
    assert_all_close(layer(x, initial_state=states, mask=MASK), [outputs, *last], 1e-12)


# Properties


@mask_or_none
@every_kind
def test_two_halves_with_the_states_carried_over_are_the_whole(kind, mask):
    layer = ours(kind, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    masks = (None, None) if mask is None else (mask[:, :3], mask[:, 3:])
    real = np.full((B, T), True) if mask is None else mask
    first, *carried = layer(x[:, :3], initial_state=states, mask=masks[0])
    second, *last = layer(x[:, 3:], initial_state=carried, mask=masks[1])
    whole, *expected = layer(x, initial_state=states, mask=mask)
    assert_close(np.concatenate([first, second], axis=1)[real], array(whole)[real])
    assert_all_close(last, expected)


@every_kind
def test_two_halves_of_a_stateful_layer_are_the_whole_until_its_states_are_reset(kind):
    stateful, layer = ours(kind, stateful=True, return_sequences=True), ours(kind, return_sequences=True)
    layer.set_weights(stateful.get_weights())
    x = normal(B, T, D)
    whole = layer(x)
    for _ in range(2):
        assert_close(np.concatenate([stateful(x[:, :3]), stateful(x[:, 3:])], axis=1), whole)
        stateful.reset_state()


def test_a_stateful_layer_keeps_its_states_between_batches_of_predict():
    layer = LSTM(H, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(B, T, D)), layer])
    x = normal(2 * B, T, D)
    predicted = model.predict(x, batch_size=B, verbose=0)
    layer.reset_state()
    assert_close(predicted, np.concatenate([layer(x[:B]), layer(x[B:])]))


@every_kind
def test_one_step_of_one_row_is_one_step_of_the_cell(kind):
    layer = ours(kind, **WHOLE)
    x, states = normal(1, 1, D), states_of(layer, rows=1)
    output, after = layer.cell(x[:, 0], states)
    assert_all_close(layer(x, initial_state=states), [output[:, None], *after])
    assert_all_close(layer(x, initial_state=states, mask=[[False]]), [np.zeros((1, 1, H)), *states])


@mask_or_none
@every_kind
def test_a_sequence_turned_round_is_a_layer_that_goes_backwards(kind, mask):
    layer, backwards = ours(kind, **WHOLE), ours(kind, go_backwards=True, **WHOLE)
    backwards.set_weights(layer.get_weights())
    x, states = normal(B, T, D), states_of(layer)
    turned = layer(x[:, ::-1], initial_state=states, mask=None if mask is None else mask[:, ::-1])
    assert_all_close(backwards(x, initial_state=states, mask=mask), turned)


@pytest.mark.parametrize("side", ["start", "end"])
@every_kind
def test_more_padding_whatever_it_holds_changes_nothing_and_gets_no_gradient(kind, side):
    layer = ours(kind, return_sequences=False, return_state=True)
    x, states = normal(B, T, D), states_of(layer)
    more = ((0, 0), (2, 0) if side == "start" else (0, 2))
    padded = np.pad(x, (*more, (0, 0)), constant_values=1000)
    mask = np.pad(MASK, more)
    padded[:, slice(2, None) if side == "start" else slice(0, T)][~MASK] = -1000
    expected, measured = measure(layer, x, states, MASK), measure(layer, padded, states, mask)
    dx, shorter_dx = measured.pop("gradient of input 0"), expected.pop("gradient of input 0")
    assert_same(measured, expected)
    np.testing.assert_array_equal(dx[~mask], 0)
    assert_close(dx[mask], shorter_dx[MASK])


@pytest.mark.parametrize("rows", [[3, 0, 5, 1, 2, 4], [2]], ids=["permuted", "alone"])
@every_kind
def test_rows_in_another_order_or_alone_give_what_they_give_together(kind, rows):
    layer = ours(kind, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    taken = layer(x[rows], initial_state=[state[rows] for state in states], mask=MASK[rows])
    assert_all_close(taken, [array(each)[rows] for each in layer(x, initial_state=states, mask=MASK)])


@every_kind
def test_a_row_of_padding_alone_gives_zeros_and_keeps_its_states(kind):
    layer = ours(kind, **WHOLE)
    states = states_of(layer)
    outputs, *last = layer(normal(B, T, D), initial_state=states, mask=MASK)
    np.testing.assert_array_equal(outputs[PADDED_ROW], 0)
    for state, first in zip(last, states, strict=True):
        np.testing.assert_array_equal(state[PADDED_ROW], first[PADDED_ROW])


@pytest.mark.parametrize(
    "form",
    [np.asarray, tf.constant, np.ndarray.tolist, np.float32, lambda mask: 2 * mask],
    ids=["array", "tensor", "list", "floats", "not-only-ones"],
)
@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "step-by-step"])
def test_a_mask_is_understood_in_any_form(unroll, form):
    layer = ours("lstm", unroll=unroll, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    expected = reference.run(reference.lstm_step, x, states, packed_weights(layer), MASK)
    outputs, *last = layer(x, initial_state=states, mask=form(MASK))
    assert_all_close([outputs, *last], [expected[0], *expected[1]])


@every_kind
def test_a_mask_that_comes_with_the_inputs_is_used_and_handed_on(kind):
    layer = ours(kind, return_sequences=True)
    tokens = np.where(MASK, np.arange(1, B * T + 1).reshape(B, T), 0)
    embedding = keras.layers.Embedding(B * T + 1, D, mask_zero=True)
    outputs = layer(embedding(tokens))
    assert_close(outputs, layer(array(embedding(tokens)), mask=MASK))
    np.testing.assert_array_equal(keras.layers.Activation("linear")(outputs)._keras_mask, MASK)


@pytest.mark.parametrize("kind", ["simple-rnn", "gru", "gru-reset-before"])
def test_a_layer_with_one_state_takes_it_bare_too(kind):
    layer = ours(kind)
    x, [h] = normal(B, T, D), states_of(layer)
    expected = layer(x, initial_state=[h])
    assert np.abs(expected - layer(x)).max() > 1e-3
    for bare in (h, tf.constant(h), (h,)):
        assert_close(layer(x, initial_state=bare), expected)


# Dropout


def transparent(**options):
    """A simple recurrent network without bias and activation: its outputs show what was dropped."""
    return SimpleRNN(H, "linear", use_bias=False, return_sequences=True, **options)


def dropped_inputs(layer, training=True):
    """What a layer makes of ones (B, T, H) when it returns its inputs."""
    layer.build((B, T, H))
    layer.set_weights([np.eye(H), np.zeros((H, H))])
    return array(layer(np.ones((B, T, H)), training=training))


def dropped_states(layer, training=True):
    """What a layer makes of a first state of ones (B, H) when it returns the state before."""
    layer.build((B, T, H))
    layer.set_weights([np.zeros((H, H)), np.eye(H)])
    return array(layer(np.zeros((B, T, H)), initial_state=[np.ones((B, H))], training=training))


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "step-by-step"])
def test_dropout_drops_the_same_inputs_at_every_step_and_others_in_every_row_and_call(unroll):
    layer = transparent(dropout=0.5, unroll=unroll, seed=1)
    kept = dropped_inputs(layer)
    assert set(np.unique(kept)) == {0, 2}
    np.testing.assert_array_equal(kept, np.repeat(kept[:, :1], T, axis=1))
    assert len(np.unique(kept[:, 0], axis=0)) > 1
    assert np.any(dropped_inputs(layer) != kept)


def test_recurrent_dropout_drops_the_same_units_at_every_step_and_others_in_every_row_and_call():
    layer = transparent(recurrent_dropout=0.5, seed=1)
    kept = dropped_states(layer)
    assert set(np.unique(kept[:, 0])) == {0, 2}
    np.testing.assert_array_equal(kept, kept[:, :1] ** np.arange(1, T + 1)[:, None])
    assert len(np.unique(kept[:, 0], axis=0)) > 1
    assert np.any(dropped_states(layer) != kept)


@pytest.mark.parametrize("dropped, name", [(dropped_inputs, "dropout"), (dropped_states, "recurrent_dropout")])
def test_dropout_is_off_outside_training_and_a_rate_of_one_drops_everything(dropped, name):
    np.testing.assert_array_equal(dropped(transparent(**{name: 0.5}), training=False), 1)
    np.testing.assert_array_equal(dropped(transparent(**{name: 1.0})), 0)


@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout"])
@every_kind
def test_a_seed_of_dropout_gives_the_same_twice_and_another_seed_something_else(kind, name):
    x = normal(B, T, D)
    layers = [ours(kind, seed=seed, **{name: 0.5}) for seed in (1, 1, 2)]
    for layer in layers[1:]:
        layer.set_weights(layers[0].get_weights())
    runs = [[array(layer(x, training=True)) for _ in range(2)] for layer in layers]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0][0] - runs[0][1]).max() > 1e-3
    assert np.abs(runs[0][0] - runs[2][0]).max() > 1e-3


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}], ids=["dropout", "recurrent"])
@every_kind
def test_with_dropout_the_gradients_are_those_of_what_was_computed(kind, options):
    """Central differences, with the same seed for every evaluation."""
    layer = ours(kind, dtype="float64", **options, **WHOLE)
    x, states = normal(B, T, D).astype("float64"), [state.astype("float64") for state in states_of(layer)]
    direction = normal(B, T, D)

    def run(x):
        layer.cell.seed_generator.state.assign([3, 0])
        return measure(layer, x, states, MASK, training=True)

    def loss(x):
        outputs = [value for name, value in run(x).items() if name.startswith("output")]
        return sum(np.cos(np.arange(output.size)) @ output.ravel() for output in outputs)

    slope = (loss(x + 1e-5 * direction) - loss(x - 1e-5 * direction)) / 2e-5
    assert_close(np.sum(run(x)["gradient of input 0"] * direction), slope, 1e-7)


# Precision


@pytest.mark.parametrize("policy, tolerance", [("mixed_float16", 0.02), ("mixed_bfloat16", 0.15)])
@every_kind
def test_mixed_precision_gives_about_the_same_and_keeps_weights_in_float32(kind, policy, tolerance):
    exact = ours(kind, **WHOLE)
    keras.config.set_dtype_policy(policy)
    layer = ours(kind, **WHOLE)
    layer.set_weights(exact.get_weights())
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    x, states = normal(B, T, D), states_of(layer)
    half, expected = measure(layer, x, states, MASK), measure(exact, x, states, MASK)
    assert {value.dtype.name for name, value in half.items() if "output" in name} == {policy.removeprefix("mixed_")}
    assert half.keys() == expected.keys()
    for name, value in expected.items():
        error = np.abs(half[name].astype("float32") - value).max()
        assert error < tolerance * np.abs(value).max(), name  # false for NaN too


# Configuration


@every_layer
def test_a_layer_takes_every_argument_of_the_keras_layer_and_keeps_it(kind):
    options = options_of(KINDS[kind].keras_layer, "zero_output_for_mask")
    layer = KINDS[kind].layer(**options)
    config, expected = as_json(layer)["config"], as_json(keras_layer_of(kind, **options))["config"]
    assert {name: config[name] for name in expected} == expected
    assert config["seed"] == 3
    assert config.get("use_cudnn") == options.get("use_cudnn")
    assert as_json(keras.saving.deserialize_keras_object(as_json(layer))) == as_json(layer)
    assert as_json(type(layer).from_config(layer.get_config())) == as_json(layer)


@every_layer
def test_a_layer_has_the_defaults_of_the_keras_layer(kind):
    config = as_json(KINDS[kind].layer(H, name="layer"))["config"]
    expected = as_json(keras_layer_of(kind, name="layer"))["config"]
    assert {name: config.get(name) for name in expected} == expected


@every_layer
def test_the_options_are_read_from_the_layer_as_in_keras(kind):
    options = options_of(KINDS[kind].keras_layer)
    layer, keras_layer = KINDS[kind].layer(**options), keras_layer_of(kind, **options)
    for name in options:
        value, expected = getattr(layer, name), getattr(keras_layer, name, options[name])
        assert type(value) is type(expected), name
        if hasattr(value, "get_config"):
            assert value.get_config() == expected.get_config(), name
        else:
            assert value == expected, name
    assert layer.state_size == keras_layer.state_size


@every_layer
def test_what_neither_layer_nor_cell_has_is_missed_in_the_name_of_the_layer(kind):
    layer = KINDS[kind].layer(H)
    with pytest.raises(AttributeError, match=rf"'{type(layer).__name__}' object has no attribute 'unit'"):
        layer.unit  # noqa: B018
    assert not hasattr(layer, "_units")
    assert copy.deepcopy(layer).units == H


@pytest.mark.parametrize("return_state", [False, True], ids=["output", "states"])
@pytest.mark.parametrize("return_sequences", [False, True], ids=["last", "sequences"])
@every_layer
def test_shapes_and_masks_of_the_outputs_are_those_of_keras_and_of_the_outputs(kind, return_sequences, return_state):
    layer, keras_layer = pair(kind, return_sequences=return_sequences, return_state=return_state)
    listed = list if return_state else lambda output: [output]
    for shape in ((B, T, D), (B, None, D), (None, None, D)):
        expected = listed(keras_layer.compute_output_shape(shape))
        assert listed(layer.compute_output_shape(shape)) == expected
        assert [output.shape for output in listed(layer(keras.Input(batch_shape=shape)))] == expected
    actual = [tuple(output.shape) for output in listed(layer(normal(B, T, D)))]
    assert actual == listed(layer.compute_output_shape((B, T, D)))
    for mask, expected in zip(
        listed(layer.compute_mask(None, MASK)), listed(keras_layer.compute_mask(None, MASK)), strict=True
    ):
        assert mask is expected


def test_a_functional_model_of_our_layers_is_the_same_after_saving(tmp_path):
    tokens = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, D, mask_zero=True)(tokens)
    x = Bidirectional(LSTM(H, return_sequences=True, dropout=0.1))(x)
    x, h = SimpleRNN(H, recurrent_dropout=0.1, **WHOLE)(x)
    x = GRU(H, reset_after=False, activation="relu")(x, initial_state=h)
    x = keras.layers.RNN(keras.layers.StackedRNNCells([KINDS["lstm"].cell(H)]))(x[:, None])
    model = keras.Model(tokens, x)
    randomize(model)
    inputs = np.where(MASK, np.arange(B * T).reshape(B, T) % 19 + 1, 0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(loaded(inputs), model(inputs), 1e-6)
    assert np.abs(model(inputs)).max() > 1e-3
    assert {SimpleRNN, GRU, Bidirectional} <= {type(layer) for layer in loaded.layers}


# What is refused


@every_layer
def test_arguments_of_the_cell_are_checked_through_the_layer(kind):
    layer = KINDS[kind].layer
    with pytest.raises(ValueError, match="units must be a positive integer. Received: units=0"):
        layer(0)
    with pytest.raises(ValueError, match=r"recurrent_dropout must be in \[0, 1\]. Received: recurrent_dropout=2"):
        layer(H, recurrent_dropout=2)


@pytest.mark.parametrize("wrong, close", [("activaton", "activation"), ("return_sequence", "return_sequences")])
@every_layer
def test_an_option_that_is_none_is_refused_in_the_name_of_the_layer_with_the_close_ones(kind, wrong, close):
    layer = KINDS[kind].layer
    message = rf"^{layer.__name__} must be given its own options, as .*\b{close}\b.*\. Received: {wrong}='tanh'$"
    with pytest.raises(ValueError, match=message):
        layer(H, **{wrong: "tanh"})


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "step-by-step"])
@every_layer
def test_inputs_states_and_masks_of_another_shape_are_refused(kind, unroll):
    layer = ours(kind, unroll=unroll)
    x, states = normal(B, T, D), states_of(layer)
    n = len(states)
    refused = {
        r"expected ndim=3, found ndim=2. Full shape received: \(5, 2\)": {"sequences": x[0]},
        rf"to have value {D}, but received input with shape \(6, 5, 3\)": {"sequences": normal(B, T, D + 1)},
        rf"a list of {n}, one for each state of the cell. Received: 3 of them": {"initial_state": [states[0]] * 3},
        r"initial_state must have shape \(6, 3\). Received: .*\(6, 2\)": {"initial_state": [s[:, :2] for s in states]},
        r"initial_state must have shape \(6, 3\). Received: .*\(1, 3\)": {"initial_state": [s[:1] for s in states]},
        r"mask must have shape \(6, 5\). Received: mask.shape=\(6, 4\)": {"mask": MASK[:, :4]},
        r"mask must have shape \(6, 5\). Received: mask.shape=\(1, 5\)": {"mask": MASK[:1]},
        r"mask must have shape \(6, 5\). Received: mask.shape=\(5,\)": {"mask": MASK[0]},
        r"mask must have shape \(6, 5\). Received: mask.shape=\(6, 5, 1\)": {"mask": MASK[:, :, None]},
    }
    for message, wrong in refused.items():
        with pytest.raises(ValueError, match=message):
            layer(**{"sequences": x, **wrong})


def test_an_lstm_with_one_state_of_two_is_refused():
    layer = ours("lstm")
    with pytest.raises(ValueError, match="a list of 2, one for each state of the cell. Received: 1 of them"):
        layer(normal(B, T, D), initial_state=normal(B, H))


@every_layer
def test_a_stateful_layer_refuses_another_batch_size_and_an_unknown_one(kind):
    with pytest.raises(ValueError, match="batch size must be static. Found dynamic batch size"):
        KINDS[kind].layer(H, stateful=True)(keras.Input((T, D)))
    with pytest.raises(ValueError, match=r"Expected batch size: 6(.|\n)*Received batch size: 2"):
        ours(kind, stateful=True)(normal(2, T, D))


@every_layer
def test_an_unrolled_layer_refuses_an_unknown_length(kind):
    model = keras.Sequential([keras.Input((None, D)), KINDS[kind].layer(H, unroll=True)])
    with pytest.raises(ValueError, match="Cannot unroll a RNN if the time dimension is undefined"):
        tf.function(model).get_concrete_function(tf.TensorSpec((B, None, D)))


@pytest.mark.parametrize("engine", ["auto", "loop", "halves", "steps"])
@every_kind
def test_the_gradients_of_a_stateful_layer_are_those_of_keras_also_without_a_graph(kind, engine):
    layer, keras_layer = pair(kind, stateful=True)
    layer.engine = engine

    def gradients(layer, x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(x)))
        return tape.gradient(loss, layer.trainable_variables)

    for x in (tf.constant(normal(B, T, D)), tf.constant(normal(B, T, D))):
        for one, other in zip(gradients(layer, x), gradients(keras_layer, x), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool", "float64"])
@every_layer
def test_inputs_of_any_dtype_are_numbers_as_in_keras(kind, dtype):
    ours_, theirs = pair(kind)
    x = np.random.default_rng(1).integers(0, 2, (B, T, D)).astype(dtype)
    assert_close(ours_(x), theirs(x))
    model = keras.Sequential([keras.Input((T, D), dtype=dtype), ours_])
    assert_close(model.predict(x, verbose=0), theirs(x))
