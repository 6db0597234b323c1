"""Readouts: from what a step of a decoder gives, the state s_t and the context c_t, to what the head sees.

No step of the decoder waits for a readout, so it is computed for all steps at once. Each is of E numbers, as an
embedding is, so that the head may be tied to one.
"""

from typing import Any

import keras
from keras import ops

from seq_models.errors import positive


class Readout(keras.layers.Layer):
    """A readout with an equation that a subclass adds.

    Args:
        units: E, a positive integer.
    Call arguments:
        outputs: [s; c] of one step (B, H + M) or of many (B, T, H + M); s alone where a decoder has no context.
        y: The embedded tokens before, floats (B, D) or (B, T, D).
    Returns:
        Floats (B, E) or (B, T, E).
    Raises:
        ValueError: If `units` is not a positive integer.
    """

    widths = 1  # of E columns each, in the one product
    use_bias = True

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        positive(units=units)
        self.units = units

    def build(self, outputs_shape, y_shape):
        self._build(outputs_shape[-1])

    def _build(self, size):
        """The weights of a product with inputs of a size; their places in a file are those of a `Dense` layer."""
        columns = self.widths * self.units
        self.kernel = self.add_weight(name="kernel", shape=(size, columns), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(columns,), initializer="zeros") if self.use_bias else None

    def _affine(self, x):
        product = ops.matmul(x, self.kernel)
        return product if self.bias is None else product + self.bias

    def call(self, outputs, y):
        raise NotImplementedError

    def compute_output_shape(self, outputs_shape, y_shape):
        return *outputs_shape[:-1], self.units

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="seq_models")
class LinearReadout(Readout):
    """t = W [s; c] + b. Arguments, returns, errors: see `Readout`."""

    def call(self, outputs, y):
        return self._affine(outputs)


@keras.saving.register_keras_serializable(package="seq_models")
class LuongReadout(Readout):
    """t = tanh(W [c; s]), the attentional vector h~ of Luong, Pham and Manning 2015, equation 5.

    Arguments, returns, errors: see `Readout`.
    """

    use_bias = False

    def call(self, outputs, y):
        return ops.tanh(self._affine(outputs))


@keras.saving.register_keras_serializable(package="seq_models")
class MaxoutReadout(Readout):
    """The deep output of Bahdanau, Cho and Bengio 2015, appendix A.2.2, with the token before:

        t~ = U s_t + V y_{t-1} + C c_t + b      t_j = max(t~_{2j-1}, t~_{2j}), j = 1 … E

    s_t is the state after y_{t-1} was read, as in their equation 4; the appendix writes s_{t-1}.

    Arguments, returns, errors: see `Readout`.
    """

    widths = 2

    def build(self, outputs_shape, y_shape):
        self._build(outputs_shape[-1] + y_shape[-1])

    def call(self, outputs, y):
        pieces = self._affine(ops.concatenate([outputs, y], axis=-1))  # (..., 2E)
        return ops.max(ops.reshape(pieces, (*ops.shape(pieces)[:-1], self.units, 2)), axis=-1)


@keras.saving.register_keras_serializable(package="seq_models")
class GivenReadout(keras.layers.Layer):
    """t = what a decoder gives that reads out its steps itself. Call arguments: see `Readout`."""

    def call(self, outputs, y):
        return outputs

    def compute_output_shape(self, outputs_shape, y_shape):
        return outputs_shape
