"""The simple recurrent unit."""

import keras
import numpy as np
from keras import ops

from seq_models.layers.derivatives import STEEPEST, StepGradient, dropped
from seq_models.layers.places import places_of
from seq_models.layers.recurrent import Recurrent
from seq_models.layers.recurrent_cell import RecurrentCell
from seq_models.layers.tensors import Tensor, Tensors


@keras.saving.register_keras_serializable(package="seq_models")
@places_of(keras.layers.SimpleRNNCell)
class SimpleRNNCell(RecurrentCell):
    """One step of a simple recurrent (Elman) network [1, section 8.1].

        h' = g(x W + h U + b)

    with g the `activation`, tanh by default. Weights: kernel W (D, H), recurrent_kernel U (H, H), bias b (H,).

    Args, call arguments, returns: see `RecurrentCell`.
    Example:
        >>> from keras import ops
        >>> cell = SimpleRNNCell(4)
        >>> h, states = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(h.shape)
        (2, 4)

    References:
        [1] Jurafsky and Martin, Speech and Language Processing, 3rd edition draft, chapter 8.
        Elman 1990, Finding Structure in Time.
    """

    def step(self, x: Tensor, states: Tensors, weights: Tensors, keep: Tensor | None = None) -> tuple[Tensors, Tensors]:
        """x = W x_t + b, (B, H); [h]; [U] -> [h'], and no gates."""
        [h], [U] = states, weights
        return [self.activation(x + ops.matmul(dropped(h, keep), U))], []

    def gradient(self) -> "SimpleRNNGradient":
        return SimpleRNNGradient(self)

    def steepest(self) -> float:
        """‖∂h'/∂h‖₂ ≤ ‖U‖₂ max|g'|."""
        U = ops.convert_to_numpy(self.recurrent_kernel).astype("float64")
        return float(np.linalg.norm(U, ord=2)) * STEEPEST[self.activation]


class SimpleRNNGradient(StepGradient):
    """h' = g(x + h U); weights [U]; no gates."""

    def back(
        self, gradients: Tensors, gates: Tensors, before: Tensors, after: Tensors, weights: Tensors, keep: Tensor | None
    ) -> tuple[Tensors, Tensor]:
        [dh], [U], [h] = gradients, weights, after
        dx = dh * self.dg(h)
        return [dropped(ops.matmul(dx, U), keep)], dx


@keras.saving.register_keras_serializable(package="seq_models")
@places_of(keras.layers.SimpleRNN)
class SimpleRNN(Recurrent):
    """A simple recurrent network over a sequence. Equations: `SimpleRNNCell`; arguments: `Recurrent`."""

    cell_class = SimpleRNNCell
