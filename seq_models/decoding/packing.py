"""The states of a network as one tensor, for whoever carries them from one call to the next."""

import math
from typing import Any

import keras
from keras import ops

from seq_models.layers.tensors import Tensor


def packed(states: Any) -> Tensor:
    """States, a nest of tensors (B, …) of one kind -> (B, D), in the order of the nest; floats have 32 bits."""
    parts = [ops.reshape(state, (-1, _size(state))) for state in keras.tree.flatten(states)]
    together = ops.concatenate(parts, axis=1)
    is_float = keras.backend.is_float_dtype(together.dtype)
    return ops.cast(together, keras.backend.result_type(together.dtype, "float32")) if is_float else together


def unpacked(together: Tensor, like: Any) -> Any:
    """The inverse of `packed`: (B, D) -> states, of the structure, sizes and types of others."""
    found, start = [], 0
    for state in keras.tree.flatten(like):
        part = together[:, start : start + _size(state)]
        found.append(ops.cast(ops.reshape(part, (-1, *state.shape[1:])), state.dtype))
        start += _size(state)
    return keras.tree.pack_sequence_as(like, found)


def _size(state):
    return math.prod(state.shape[1:])
