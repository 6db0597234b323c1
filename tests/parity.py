"""The pieces of a parity test: pairs to compare, random examples, and all that can be measured of a layer."""

import functools
import inspect
import json
from typing import NamedTuple

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf

from seq_models import layers

B, T, D, H = 6, 5, 2, 3


class Kind(NamedTuple):
    """One of our units: its layer and cell, those of Keras, options that both take, and its step in NumPy."""

    layer: type
    keras_layer: type
    cell: type
    keras_cell: type
    options: dict
    step: callable


KINDS = {
    "simple-rnn": Kind(
        layers.SimpleRNN,
        keras.layers.SimpleRNN,
        layers.SimpleRNNCell,
        keras.layers.SimpleRNNCell,
        {},
        reference.simple_rnn_step,
    ),
    "lstm": Kind(
        layers.LSTM,
        keras.layers.LSTM,
        layers.LSTMCell,
        keras.layers.LSTMCell,
        {},
        reference.lstm_step,
    ),
    "gru": Kind(
        layers.GRU,
        keras.layers.GRU,
        layers.GRUCell,
        keras.layers.GRUCell,
        {"reset_after": True},
        functools.partial(reference.gru_step, reset_after=True),
    ),
    "gru-reset-before": Kind(
        layers.GRU,
        keras.layers.GRU,
        layers.GRUCell,
        keras.layers.GRUCell,
        {"reset_after": False},
        functools.partial(reference.gru_step, reset_after=False),
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS)

# Padding at the end, at the start, in the middle, at both ends, nowhere, everywhere.
MASK = np.array(
    [
        [1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1],
        [1, 0, 0, 1, 1],
        [0, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0],
    ],
    bool,
)
PADDED_ROW = 5
# A value that is not the default one for every constructor argument of a cell or layer of Keras.
OPTIONS = {
    "name": "encoder",
    "trainable": False,
    "dtype": "float64",
    "units": H,
    "activation": "relu",
    "recurrent_activation": "hard_sigmoid",
    "use_bias": False,
    "kernel_initializer": keras.initializers.HeNormal(seed=1),
    "recurrent_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=2),
    "bias_initializer": keras.initializers.Constant(0.5),
    "unit_forget_bias": False,
    "kernel_regularizer": keras.regularizers.L1(0.01),
    "recurrent_regularizer": keras.regularizers.L2(0.02),
    "bias_regularizer": keras.regularizers.L1L2(0.03, 0.04),
    "activity_regularizer": keras.regularizers.L2(0.05),
    "kernel_constraint": keras.constraints.MaxNorm(0.6),
    "recurrent_constraint": keras.constraints.UnitNorm(),
    "bias_constraint": keras.constraints.NonNeg(),
    "dropout": 0.1,
    "recurrent_dropout": 0.2,
    "seed": 3,
    "reset_after": False,
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "stateful": True,
    "unroll": True,
    "zero_output_for_mask": True,
    "use_cudnn": False,
}


def options_of(keras_class, *more):
    """OPTIONS for every argument that the constructor of a class of Keras names, and those hidden in its **kwargs."""
    named = [name for name in inspect.signature(keras_class).parameters if name != "kwargs"]
    return {name: OPTIONS[name] for name in [*named, "name", "trainable", "dtype", *more]}


def as_json(layer):
    """The whole configuration of a layer, as a file would keep it."""
    return json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))


def normal(*shape, scale=1.0):
    return scale * np.random.normal(size=shape).astype("float32")


def states_of(layer, rows=B):
    """Random states before the first step, as many as the layer or cell has."""
    return [normal(rows, H) for _ in layer.get_initial_state(1)]


def randomize(layer):
    """Gives a built layer unequal random weights, biases too; they are small, so that float32 stays exact to 1e-6."""
    layer.set_weights([normal(*w.shape, scale=0.4) for w in layer.get_weights()])
    return layer


def same_weights(layer, other, shape=(B, T, D)):
    """Builds two layers for inputs of this shape and gives both the same random weights."""
    for each in (layer, other):
        each.build(shape)
    other.set_weights(randomize(layer).get_weights())
    return layer, other


def keras_layer_of(kind, **options):
    """The layer of Keras, where `keras.layers.SimpleRNN` also gets the activity regularizer that it takes and drops."""
    layer = KINDS[kind].keras_layer(**{"units": H, **KINDS[kind].options, **options})
    layer.activity_regularizer = options.get("activity_regularizer")
    return layer


def pair(kind, **options):
    """Our layer and that of Keras, built, with the same random weights."""
    options = {**KINDS[kind].options, **options}
    return same_weights(KINDS[kind].layer(H, **options), keras_layer_of(kind, **options))


def ours(kind, **options):
    """Our layer, built, with random weights."""
    layer = KINDS[kind].layer(H, **KINDS[kind].options, **options)
    layer.build((B, T, D))
    return randomize(layer)


def packed_weights(layer):
    """[kernel, recurrent kernel, bias] in float64; a bias of zeros where the layer has none."""
    weights = [np.array(w, "float64") for w in layer.get_weights()]
    if len(weights) == 2:
        width = weights[0].shape[1]
        weights.append(np.zeros((2, width) if getattr(layer, "reset_after", False) else width))
    return weights


def weighted_sum(outputs):
    """A loss that every number of the outputs enters with a weight of its own: cos 0, cos 1, cos 2, ..."""
    flat = [tf.reshape(output, [-1]) for output in outputs]
    return tf.add_n(
        [tf.reduce_sum(numbers * tf.cos(tf.range(tf.size(numbers), dtype=numbers.dtype))) for numbers in flat]
    )


def evaluate(call, inputs, variables, compiled=None):
    """Calls a function of tensors and derives a weighted sum of all its outputs.

    Args:
        call: Function of the inputs that returns a tensor or several.
        inputs: A list of arrays.
        variables: The Keras variables to derive by, besides the inputs.
        compiled: None for eager execution, else the options of `tf.function`.
    Returns:
        A dict from "output 0", ..., "gradient of input 0", ..., "gradient of kernel 0", ... to arrays.
    """

    def outputs_and_gradients(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = tf.nest.flatten(call(*inputs))
            loss = weighted_sum(outputs)
        return outputs, tape.gradient(loss, [*inputs, *(v.value for v in variables)])

    if compiled is not None:
        outputs_and_gradients = tf.function(outputs_and_gradients, **compiled)
    outputs, gradients = outputs_and_gradients(*map(tf.convert_to_tensor, inputs))
    sources = [f"input {k}" for k in range(len(inputs))] + [f"{v.name} {k}" for k, v in enumerate(variables)]
    measured = {f"output {k}": output for k, output in enumerate(outputs)}
    measured |= {f"gradient of {source}": gradient for source, gradient in zip(sources, gradients, strict=True)}
    return {name: value if value is None else keras.ops.convert_to_numpy(value) for name, value in measured.items()}


def measure(layer, x, states, mask=None, compiled=None, **options):
    """Outputs, states and all gradients of a recurrent layer: by its inputs, first states and weights."""

    def call(x, *states):
        return layer(x, initial_state=list(states), mask=mask, **options)

    return evaluate(call, [x, *states], layer.trainable_variables, compiled)


def assert_same(measured, expected, tolerance=1e-5):
    assert measured.keys() == expected.keys()
    for name, value in expected.items():
        assert (value is None) == (measured[name] is None), name
        if value is not None:
            np.testing.assert_allclose(measured[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
