"""Windows: long sequences as several rows of a fixed number of steps, and back."""

from typing import Any

import keras
from keras import ops

from seq_models.errors import positive
from seq_models.layers.tensors import Tensor


@keras.saving.register_keras_serializable(package="seq_models")
class CutWindows(keras.layers.Layer):
    """(B, T, …) -> (B n, W, …), n = ⌈T / W⌉: the windows of a row one after the other, the last one padded with zeros.

    Args:
        window: W, a positive integer.
    Call arguments:
        inputs: Numbers or booleans (B, T, …).
    Raises:
        ValueError: If `window` is not a positive integer.
    """

    def __init__(self, window: int, **kwargs: Any):
        super().__init__(**kwargs)
        positive(window=window)
        self.window = window

    def call(self, inputs: Tensor) -> Tensor:
        W, rest = self.window, tuple(inputs.shape[2:])
        missing = -ops.shape(inputs)[1] % W
        padded = ops.pad(inputs, [[0, 0], [0, missing], *[[0, 0] for _ in rest]])
        return ops.reshape(padded, (-1, W, *rest))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((None, self.window, *inputs.shape[2:]), inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "window": self.window}


@keras.saving.register_keras_serializable(package="seq_models")
class JoinWindows(keras.layers.Layer):
    """The inverse of `CutWindows`: (B n, W, D) -> (B, T, D).

    Call arguments:
        inputs: Floats (B n, W, D).
        like: What was cut (B, T, …).
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True  # that of the windows, which is not handed on

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def call(self, inputs: Tensor, like: Tensor) -> Tensor:
        B, T = ops.shape(like)[:2]
        return ops.reshape(inputs, (B, -1, inputs.shape[-1]))[:, :T]

    def compute_output_spec(self, inputs, like):
        return keras.KerasTensor((*like.shape[:2], inputs.shape[-1]), inputs.dtype)
