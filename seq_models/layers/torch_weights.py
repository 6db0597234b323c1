"""Weights of recurrent layers, to and from the names and the packing of `torch.nn.RNN`, `LSTM` and `GRU`.

`torch.nn` holds every matrix transposed, (gates * H, D); packs a GRU r, z, n where Keras packs z, r, n; and adds two
biases, one of the inputs and one of the recurrence, of which only a GRU needs both. So a pair of biases of an LSTM or
an RNN comes back from here as their sum, and goes there as that sum and zeros. Nothing of PyTorch is imported.

Source: the documentation of `torch.nn.LSTM` and `torch.nn.GRU`.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from seq_models.layers.gru import GRU
from seq_models.layers.lstm import LSTM
from seq_models.layers.simple_rnn import SimpleRNN

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def to_torch(*stack: keras.layers.Layer) -> dict[str, np.ndarray]:
    """The weights of a stack of layers as `torch.nn` names and packs them.

    Args:
        stack: `SimpleRNN`, `LSTM`, `GRU` (with `reset_after`) or `keras.layers.Bidirectional` of one, lowest first;
            all built, and all of one kind and size, as one module of `torch.nn` is.
    Returns:
        A dict from "weight_ih_l0", … to arrays, what `load_state_dict` takes once they are made tensors.
    Raises:
        ValueError: If the stack is none that one module of `torch.nn` computes: a GRU that resets before the product,
            other activations than tanh (relu too in a SimpleRNN) and sigmoid, layers of several kinds or sizes, other
            layers; or if one is not built.
    Example:
        >>> layer = LSTM(3)
        >>> layer.build((None, None, 2))
        >>> to_torch(layer)["weight_ih_l0"].shape
        (12, 2)
    """
    state = {}
    for suffix, layer in _named(stack):
        kernel, recurrent_kernel, bias = _packed(layer)
        bias_ih, bias_hh = bias if _is_gru(layer) else (bias, np.zeros_like(bias))
        for name, array in zip(WEIGHTS, (kernel, recurrent_kernel, bias_ih, bias_hh), strict=True):
            if layer.use_bias or name.startswith("weight"):
                state[f"{name}_{suffix}"] = _swap_z_and_r(layer, array).T.copy()
    return state


def from_torch(state: Mapping[str, Any], *stack: keras.layers.Layer) -> None:
    """Puts the weights of a module of `torch.nn` into a stack of layers.

    Args:
        state: The `state_dict()` of the module, a dict from "weight_ih_l0", … to tensors or arrays.
        stack: As in `to_torch`, built.
    Raises:
        ValueError: If a weight is missing, left over, of another shape, NaN or infinite, or for the stack as in
            `to_torch`. The layers then keep the weights that they had.
    """
    state = {name: np.asarray(tensor) for name, tensor in state.items()}
    expected = {name: array.shape for name, array in to_torch(*stack).items()}
    received = {name: array.shape for name, array in state.items()}
    if received != expected:
        raise ValueError(f"The weights of the stack must be {expected}. Received: {received}")
    for name, array in state.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite. Received: {array[~np.isfinite(array)][0]} in it")
    for suffix, layer in _named(stack):
        arrays = [_swap_z_and_r(layer, state[f"{name}_{suffix}"].T) for name in WEIGHTS if f"{name}_{suffix}" in state]
        kernels, biases = arrays[:2], arrays[2:]
        if biases:
            biases = [np.stack(biases) if _is_gru(layer) else biases[0] + biases[1]]
        layer.set_weights(kernels + biases)


def _named(stack):
    """Pairs of the ending of the names in `torch.nn` and a layer of one direction, all of which `_check` passes."""
    named = []
    for depth, layer in enumerate(stack):
        if isinstance(layer, keras.layers.Bidirectional):
            named += [(f"l{depth}", layer.forward_layer), (f"l{depth}_reverse", layer.backward_layer)]
        else:
            named += [(f"l{depth}", layer)]
    for _, layer in named:
        _check(layer)
    kinds = [
        f"{type(layer).__name__} of {layer.units} units, use_bias={layer.use_bias}, {layer.activation.__name__}"
        for _, layer in named
    ]
    if len(set(kinds)) > 1 or len(named) not in (len(stack), 2 * len(stack)):
        raise ValueError(f"All layers and directions of a stack must be of one kind. Received: {kinds}")
    return named


def _check(layer):
    """Raises a ValueError for a layer that no module of `torch.nn` computes, or that has no weights yet."""
    if not isinstance(layer, SimpleRNN | LSTM | GRU):
        expected = "A stack must hold the SimpleRNN, LSTM or GRU of this package, or Bidirectional of one."
        raise ValueError(f"{expected} Received: {layer!r}")
    if not layer.built:
        raise ValueError(f"A layer must be built before it has weights. Received: {layer!r}")
    if _is_gru(layer) and not layer.reset_after:
        raise ValueError("torch.nn.GRU resets after the product. Received: a GRU with reset_after=False")
    allowed = [keras.activations.tanh, *([keras.activations.relu] if isinstance(layer, SimpleRNN) else [])]
    gate = getattr(layer, "recurrent_activation", keras.activations.sigmoid)
    if layer.activation not in allowed or gate is not keras.activations.sigmoid:
        received = ", ".join(getattr(function, "__name__", str(function)) for function in (layer.activation, gate))
        expected = f"torch.nn has only {' or '.join(f.__name__ for f in allowed)}, and sigmoid gates."
        raise ValueError(f"{expected} Received: {received}")


def _packed(layer):
    """[kernel, recurrent kernel, bias] of a layer; zeros for the bias where it has none."""
    arrays = layer.get_weights()
    kernel, recurrent_kernel = arrays[:2]
    return kernel, recurrent_kernel, arrays[2] if layer.use_bias else np.zeros((2, kernel.shape[1]))


def _is_gru(layer):
    return isinstance(layer, GRU)


def _swap_z_and_r(layer, array):
    """z, r, n <-> r, z, n along the last axis, for a GRU."""
    if not _is_gru(layer):
        return array
    first, second, n = np.split(array, 3, axis=-1)
    return np.concatenate([second, first, n], axis=-1)
