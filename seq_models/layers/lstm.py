"""The long short-term memory."""

from typing import Any

import keras
from keras import ops

from seq_models.layers.derivatives import StepGradient, dropped
from seq_models.layers.places import places_of
from seq_models.layers.recurrent import GatedRecurrent
from seq_models.layers.recurrent_cell import GatedCell
from seq_models.layers.tensors import Tensor, Tensors


@keras.saving.register_keras_serializable(package="seq_models")
@places_of(keras.layers.LSTMCell)
class LSTMCell(GatedCell):
    """One step of a long short-term memory network with forget gate [1], [2, section 8.5].

        i = σ(x W_i + h U_i + b_i)        input gate
        f = σ(x W_f + h U_f + b_f)        forget gate
        g = tanh(x W_c + h U_c + b_c)     candidate
        o = σ(x W_o + h U_o + b_o)        output gate
        c' = f * c + i * g
        h' = o * tanh(c')

    Weights: kernel (D, 4H), recurrent_kernel (H, 4H), bias (4H,), packed i, f, c, o as in `keras.layers.LSTMCell`.

    Args, call arguments, returns: see `RecurrentCell`, and
        recurrent_activation: Of the gates, sigmoid by default.
        unit_forget_bias: Start b_f at one [3].
    Example:
        >>> from keras import ops
        >>> cell = LSTMCell(4)
        >>> h, (h, c) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(c.shape)
        (2, 4)

    References:
        [1] Gers, Schmidhuber and Cummins 2000, Learning to Forget. [2] Jurafsky and Martin, chapter 8 (their k, g, i, j
        are f * c, g, i, i * g here). [3] Jozefowicz, Zaremba and Sutskever 2015.
    """

    blocks = 4
    gate_names = ("input", "forget", "candidate", "output")

    def __init__(self, units: int, *arguments: Any, unit_forget_bias: bool = True, **options: Any):
        super().__init__(units, *arguments, **options)
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [units, units]

    def _start_bias(self, shape, dtype=None):
        if not self.unit_forget_bias:
            return super()._start_bias(shape, dtype)
        H = self.units
        i, c_and_o = self.bias_initializer((H,), dtype=dtype), self.bias_initializer((2 * H,), dtype=dtype)
        return ops.concatenate([i, ops.ones((H,), dtype=dtype), c_and_o])

    def step(self, x: Tensor, states: Tensors, weights: Tensors, keep: Tensor | None = None) -> tuple[Tensors, Tensors]:
        """x = W x_t + b, (B, 4H); [h, c]; [U] -> [h', c'], gates [i, f, g, o]."""
        (h, c), [U] = states, weights
        i, f, g, o = ops.split(x + ops.matmul(dropped(h, keep), U), 4, axis=-1)
        i, f, o = self.recurrent_activation(i), self.recurrent_activation(f), self.recurrent_activation(o)
        g = self.activation(g)
        c = f * c + i * g
        h = o * self.activation(c)
        return [h, c], [i, f, g, o]

    def gradient(self) -> "LSTMGradient":
        return LSTMGradient(self)

    def get_initial_state(self, batch_size=None):
        """[h_0, c_0] = [0, 0], each (B, H)."""
        return [ops.zeros((batch_size, self.units), dtype=self.compute_dtype) for _ in "hc"]

    def get_config(self):
        return {**super().get_config(), "unit_forget_bias": self.unit_forget_bias}


class LSTMGradient(StepGradient):
    """i, f, g, o = split(x + h U); c' = σ(f) c + σ(i) tanh(g); h' = σ(o) tanh(c'); weights [U]; gates: i, f, g, o."""

    gates = 4

    def back(
        self, gradients: Tensors, gates: Tensors, before: Tensors, after: Tensors, weights: Tensors, keep: Tensor | None
    ) -> tuple[Tensors, Tensor]:
        (dh, dc), (i, f, g, o), [U] = gradients, gates, weights
        squashed = self.g(after[1])
        dc = dc + dh * o * self.dg(squashed)
        di, df, do = dc * g * self.dgate(i), dc * before[1] * self.dgate(f), dh * squashed * self.dgate(o)
        dx = ops.concatenate([di, df, dc * i * self.dg(g), do], axis=-1)
        return [dropped(ops.matmul(dx, U), keep), dc * f], dx


@keras.saving.register_keras_serializable(package="seq_models")
@places_of(keras.layers.LSTM)
class LSTM(GatedRecurrent):
    """A long short-term memory network over a sequence. Equations: `LSTMCell`; arguments: `GatedRecurrent`."""

    cell_class = LSTMCell
