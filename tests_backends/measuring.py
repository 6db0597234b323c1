"""Outputs and gradients of any function of Keras, on the JAX and on the torch backend."""

import functools

import keras
import numpy as np
import pytest
import reference
from keras import ops

from seq_models import layers

B, T, D, H = 6, 5, 2, 3
# For each unit: our layer, that of Keras, options that both take, its step in NumPy.
KINDS = {
    "simple-rnn": (layers.SimpleRNN, keras.layers.SimpleRNN, {}, reference.simple_rnn_step),
    "lstm": (layers.LSTM, keras.layers.LSTM, {}, reference.lstm_step),
    "gru": (
        layers.GRU,
        keras.layers.GRU,
        {"reset_after": True},
        functools.partial(reference.gru_step, reset_after=True),
    ),
    "gru-reset-before": (
        layers.GRU,
        keras.layers.GRU,
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


def array(tensor):
    return ops.convert_to_numpy(tensor)


def normal(*shape, scale=1.0):
    return scale * np.random.normal(size=shape).astype("float32")


def randomize(layer, scale=0.4):
    """Gives a built layer unequal random weights, biases too."""
    layer.set_weights([normal(*w.shape, scale=scale) for w in layer.get_weights()])
    return layer


def packed_weights(layer):
    """[kernel, recurrent kernel, bias] of a cell or layer, in float64."""
    return [np.array(w, "float64") for w in layer.get_weights()]


def assert_close(actual, expected, tolerance=1e-5):
    for a, e in zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(array(a), array(e), rtol=tolerance, atol=tolerance)


def assert_same(measured, expected, tolerance=1e-5):
    assert measured.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(measured[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


def weighted_sum(outputs):
    """A loss that every number of the outputs enters with a weight of its own: cos 0, cos 1, cos 2, ..."""
    flat = [
        ops.reshape(ops.cast(output, "float32" if output.dtype.itemsize < 4 else output.dtype), [-1])
        for output in outputs
    ]
    return sum(ops.sum(numbers * ops.cos(ops.arange(numbers.shape[0], dtype=numbers.dtype))) for numbers in flat)


def evaluate(call, inputs, variables, compiled=True):
    """Calls a function of tensors and derives a weighted sum of all its outputs.

    Args:
        call: Function of the inputs that returns a tensor or several.
        inputs: A list of arrays.
        variables: The Keras variables to derive by, besides the inputs.
        compiled: Whether `jax.jit` compiles it, on JAX.
    Returns:
        A dict from "output 0", ..., "gradient of input 0", ..., "gradient of kernel 0", ... to arrays.
    """
    variables = list(variables)
    outputs, gradients = DERIVE[keras.backend.backend()](call, inputs, variables, compiled)
    names = [f"input {k}" for k in range(len(inputs))] + [f"{v.name} {k}" for k, v in enumerate(variables)]
    measured = {f"output {k}": array(output) for k, output in enumerate(outputs)}
    return measured | {f"gradient of {n}": array(g) for n, g in zip(names, gradients, strict=True)}


def derive_in_jax(call, inputs, variables, compiled):
    import jax

    def loss(inputs, values):
        with keras.StatelessScope(zip(variables, values, strict=True)):
            outputs = keras.tree.flatten(call(*inputs))
        return weighted_sum(outputs), outputs

    derive = jax.grad(loss, argnums=(0, 1), has_aux=True)
    derive = jax.jit(derive) if compiled else derive
    values = [variable.value for variable in variables]
    (by_input, by_variable), outputs = derive([ops.convert_to_tensor(x) for x in inputs], values)
    return outputs, [*by_input, *by_variable]


def derive_in_torch(call, inputs, variables, compiled):
    import torch

    sources = [ops.convert_to_tensor(x).requires_grad_() for x in inputs]
    outputs = keras.tree.flatten(call(*sources))
    sources += [variable.value for variable in variables]
    gradients = torch.autograd.grad(weighted_sum(outputs), sources, allow_unused=True)
    nothing = [torch.zeros_like(source) for source in sources]  # JAX gives zeros too where nothing depends on a source
    return outputs, [n if g is None else g for g, n in zip(gradients, nothing, strict=True)]


DERIVE = {"jax": derive_in_jax, "torch": derive_in_torch}


def measure(layer, x, states, mask=None, compiled=True, **options):
    """Outputs, states and all gradients of a recurrent layer: by its inputs, first states and weights."""

    def call(x, *states):
        outputs = layer(x, initial_state=list(states), mask=mask, **options)
        return outputs if mask is None else after_the_first_token(layer, outputs, mask)

    return evaluate(call, [x, *states], layer.trainable_variables, compiled)


def after_the_first_token(layer, outputs, mask):
    """Leaves out what is given before a row's first real token: zeros, but the first state in Keras on JAX."""
    if isinstance(layer, keras.layers.Bidirectional):
        return outputs
    h, *states = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    seen = np.maximum.accumulate(mask[:, ::-1] if layer.go_backwards else mask, axis=1)
    seen = seen[:, :, None] if len(h.shape) == 3 else seen[:, -1:]
    return [ops.where(seen, h, ops.zeros_like(h)), *states]


def ours(kind, **options):
    """Our layer, built, with random weights."""
    layer_class, _, own, _ = KINDS[kind]
    layer = layer_class(H, **own, **options)
    layer.build((B, T, D))
    return randomize(layer)


def pair(kind, **options):
    """Our layer and that of Keras, built, with the same random weights."""
    _, keras_class, own, _ = KINDS[kind]
    layer, keras_layer = ours(kind, **options), keras_class(H, **own, **options)
    keras_layer.build((B, T, D))
    keras_layer.set_weights(layer.get_weights())
    return layer, keras_layer


def states_of(layer, rows=B):
    """Random states before the first step, as many as the layer has."""
    return [normal(rows, H) for _ in layer.cell.get_initial_state(1)]
