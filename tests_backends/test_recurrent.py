"""A unit over a whole sequence is the layer of Keras on the same backend, and the equations in NumPy."""

import keras
import numpy as np
import pytest
import reference
from keras import ops
from measuring import (
    KINDS,
    MASK,
    PADDED_ROW,
    B,
    D,
    H,
    T,
    array,
    assert_close,
    assert_same,
    evaluate,
    every_kind,
    measure,
    normal,
    ours,
    packed_weights,
    pair,
    randomize,
    states_of,
    weighted_sum,
)

from seq_models.layers import GRU, LSTM, Bidirectional, SimpleRNN, from_torch, to_torch

WHOLE = {"return_sequences": True, "return_state": True}
ON_JAX = keras.backend.backend() == "jax"

# The layers of Keras


@pytest.mark.parametrize(
    "mask, zeros, go_backwards, training",
    [
        (None, False, False, True),
        (MASK, False, False, True),
        (MASK, False, True, False),
        (MASK, True, False, False),
        (MASK, True, True, True),
    ],
    ids=["no-mask", "mask", "mask-backwards", "mask-zero-output", "mask-zero-output-backwards"],
)
@every_kind
def test_a_layer_and_its_gradients_are_those_of_keras(kind, mask, zeros, go_backwards, training):
    layer, keras_layer = pair(kind, go_backwards=go_backwards, zero_output_for_mask=zeros, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    expected = measure(keras_layer, x, states, mask, training=training)
    assert_same(measure(layer, x, states, mask, training=training), expected)


@pytest.mark.parametrize(
    "options", [{"use_bias": False}, {"return_sequences": False}, {"return_state": False}], ids=str
)
@every_kind
def test_other_outputs_and_no_bias_are_as_in_keras(kind, options):
    layer, keras_layer = pair(kind, **{**WHOLE, **options})
    x, states = normal(B, T, D), states_of(layer)
    assert_same(measure(layer, x, states, MASK), measure(keras_layer, x, states, MASK))


@pytest.mark.parametrize("activation", ["relu", "elu"])
@every_kind
def test_other_activations_give_what_they_give_in_keras(kind, activation):
    layer, keras_layer = pair(kind, activation=activation, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    assert_same(measure(layer, x, states, MASK), measure(keras_layer, x, states, MASK))


@every_kind
def test_an_unrolled_layer_gives_what_the_loop_gives(kind):
    unrolled, looped = (ours(kind, unroll=unroll, **WHOLE) for unroll in (True, False))
    looped.set_weights(unrolled.get_weights())
    x, states = normal(B, T, D), states_of(looped)
    assert_same(measure(unrolled, x, states, MASK), measure(looped, x, states, MASK))


@pytest.mark.skipif(not ON_JAX, reason="torch has nothing to compile")
@every_kind
def test_what_jax_compiles_is_what_it_does_step_by_step(kind):
    layer = ours(kind, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    assert_same(measure(layer, x, states, MASK), measure(layer, x, states, MASK, compiled=False))


@every_kind
def test_a_mask_may_be_computed_from_the_inputs(kind):
    layer = ours(kind, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)

    def run(mask):
        call = lambda x, *states: layer(x, mask=mask(x), initial_state=list(states))  # noqa: E731
        return evaluate(call, [x, *states], layer.trainable_variables)

    assert_same(run(lambda x: x[:, :, 0] > -0.5), run(lambda _: x[:, :, 0] > -0.5))


@pytest.mark.parametrize("mask, training", [(None, False), (MASK, True)], ids=["inference", "mask-training"])
@every_kind
def test_second_derivatives_are_those_of_keras(kind, mask, training):
    layer, keras_layer = pair(kind, **WHOLE)
    x = normal(B, T, D)

    def slopes(layer):
        loss = lambda x: weighted_sum(keras.tree.flatten(layer(x, mask=mask, training=training)))  # noqa: E731
        return evaluate(gradient_of(loss), [x], layer.trainable_variables)

    assert_same(slopes(layer), slopes(keras_layer))


def gradient_of(loss):
    """The gradient of a function of one tensor, which can be derived once more."""
    if ON_JAX:
        import jax

        return jax.grad(loss)
    import torch

    return lambda x: torch.autograd.grad(loss(x), x, create_graph=True)


@every_kind
def test_both_directions_are_read_as_keras_reads_its_own(kind):
    layer, keras_layer = pair(kind, **WHOLE)
    layer, keras_layer = Bidirectional(layer), keras.layers.Bidirectional(keras_layer)
    for each in (layer, keras_layer):
        each.build((B, T, D))
    keras_layer.set_weights(randomize(layer).get_weights())
    x, states = normal(B, T, D), 2 * states_of(layer.forward_layer)
    expected = measure(keras_layer, x, states, MASK, training=True)
    assert_same(measure(layer, x, states, MASK, training=True), expected)


@every_kind
def test_a_stateful_layer_keeps_and_forgets_its_states_as_in_keras(kind):
    layer, keras_layer = pair(kind, stateful=True, **WHOLE)
    first, second = normal(B, T, D), normal(B, T, D)
    for x in (first, second):
        (h, *states), (keras_h, *keras_states) = layer(x, mask=MASK), keras_layer(x, mask=MASK)
        assert_close([array(h)[MASK], *states], [array(keras_h)[MASK], *keras_states])
    for each in (layer, keras_layer):
        each.reset_state()
        assert not any(np.any(array(state)) for state in each.states)
    assert_close(layer(second, mask=MASK), keras_layer(second, mask=MASK))


@every_kind
def test_a_stateful_layer_predicts_several_batches_as_in_keras(kind):
    layer, keras_layer = pair(kind, stateful=True)
    x = normal(2 * B, T, D)
    models = [keras.Sequential([keras.Input(batch_shape=(B, T, D)), each]) for each in (layer, keras_layer)]
    assert_close(*(model.predict(x, batch_size=B, verbose=0) for model in models))


# The equations of the papers


@pytest.mark.parametrize("mask, go_backwards", [(None, False), (MASK, True)], ids=["no-mask", "mask-backwards"])
@every_kind
def test_a_layer_and_its_gradients_are_the_equations_of_the_papers(kind, mask, go_backwards):
    layer = ours(kind, go_backwards=go_backwards, **WHOLE)
    step, states = KINDS[kind][3], states_of(layer)
    arguments = [a.astype("float64") for a in (normal(B, T, D), *states, *packed_weights(layer))]

    def outputs_in_numpy(x, *rest):
        first, weights = rest[: len(states)], rest[len(states) :]
        outputs, last = reference.run(step, x, first, weights, mask, go_backwards)
        return [outputs, *last]

    def loss_in_numpy(*arguments):
        return sum(np.cos(np.arange(output.size)) @ output.ravel() for output in outputs_in_numpy(*arguments))

    call = lambda x, *states: layer(x, initial_state=list(states), mask=mask)  # noqa: E731
    measured = evaluate(call, [a.astype("float32") for a in arguments[: 1 + len(states)]], layer.trainable_variables)
    gradients = [value for name, value in measured.items() if name.startswith("gradient")]
    outputs = [value for name, value in measured.items() if name.startswith("output")]
    assert_close(outputs, outputs_in_numpy(*arguments))
    assert_close(gradients, reference.finite_differences(loss_in_numpy, arguments))


@every_kind
def test_a_row_of_padding_alone_gives_zeros_and_keeps_its_states(kind):
    layer = ours(kind, **WHOLE)
    states = states_of(layer)
    outputs, *last = layer(normal(B, T, D), initial_state=states, mask=MASK)
    np.testing.assert_array_equal(array(outputs)[PADDED_ROW], 0)
    for state, first in zip(last, states, strict=True):
        np.testing.assert_array_equal(array(state)[PADDED_ROW], first[PADDED_ROW])


@every_kind
def test_one_step_of_one_row_is_one_step_of_the_cell(kind):
    layer = ours(kind, **WHOLE)
    x, states = normal(1, 1, D), states_of(layer, rows=1)
    output, after = layer.cell(x[:, 0], states)
    assert_close(layer(x, initial_state=states), [output[:, None], *after])


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


def test_dropout_drops_the_same_inputs_at_every_step_and_others_in_every_row_and_call():
    layer = transparent(dropout=0.5, seed=1)
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
def test_dropout_is_off_outside_training_and_keeps_the_mean_in_training(dropped, name):
    np.testing.assert_array_equal(dropped(transparent(**{name: 0.5}), training=False), 1)
    layer = transparent(**{name: 0.25, "seed": 1})
    assert abs(np.mean([dropped(layer)[:, 0] for _ in range(10)]) - 1) < 0.15  # of 180 numbers


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}], ids=["dropout", "recurrent"])
@every_kind
def test_with_dropout_the_gradients_are_those_of_what_was_computed(kind, options):
    """Unrolled, the backend derives every step by itself; with one seed, both draw the same."""
    layer, unrolled = (ours(kind, seed=3, unroll=unroll, **options, **WHOLE) for unroll in (False, True))
    unrolled.set_weights(layer.get_weights())
    x, states = normal(B, T, D), states_of(layer)
    expected = measure(unrolled, x, states, MASK, training=True)
    measured = measure(layer, x, states, MASK, training=True)
    assert_same(measured, expected)
    assert np.abs(measured["output 0"] - array(layer(x, initial_state=states, mask=MASK)[0])).max() > 1e-3


# Precision


@pytest.mark.parametrize(
    "policy, tolerance, training", [("mixed_float16", 0.02, True), ("mixed_bfloat16", 0.15, False)], ids=str
)
@every_kind
def test_mixed_precision_gives_about_the_same_and_keeps_weights_in_float32(kind, policy, tolerance, training):
    exact, layer = ours(kind, **WHOLE), ours(kind, dtype=policy, **WHOLE)
    layer.set_weights(exact.get_weights())
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    x, states = normal(B, T, D), states_of(layer)
    assert {keras.backend.standardize_dtype(output.dtype) for output in layer(x)} == {policy.removeprefix("mixed_")}
    half = measure(layer, x, states, MASK, training=training)
    for name, value in measure(exact, x, states, MASK, training=training).items():
        error = np.abs(half[name].astype("float32") - value).max()
        assert error < tolerance * np.abs(value).max(), name  # false for NaN too


# Weights of torch.nn


@pytest.mark.parametrize("layer_class", [SimpleRNN, LSTM, GRU])
def test_weights_of_torch_come_go_and_stay_apart_from_the_layer(layer_class):
    torch = pytest.importorskip("torch")
    torch.manual_seed(20)
    layer = Bidirectional(layer_class(H, return_sequences=True))
    layer.build((B, T, D))
    module = {"SimpleRNN": torch.nn.RNN}.get(layer_class.__name__) or getattr(torch.nn, layer_class.__name__)
    module = module(D, H, bidirectional=True, batch_first=True)
    from_torch(module.state_dict(), layer)
    x = normal(B, T, D)
    expected, _ = module(torch.tensor(x))
    assert_close(layer(x), expected.detach().numpy())
    state = to_torch(layer)
    np.testing.assert_array_equal(state["weight_ih_l0"], module.weight_ih_l0.detach().numpy())
    randomize(layer)
    np.testing.assert_array_equal(state["weight_ih_l0"], module.weight_ih_l0.detach().numpy())
    layer.set_weights([ops.zeros(weight.shape) for weight in layer.weights])
    assert np.abs(state["bias_ih_l0"]).min() > 0
