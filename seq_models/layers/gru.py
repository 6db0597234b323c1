"""The gated recurrent unit."""

from typing import Any

import keras
from keras import ops

from seq_models.layers.derivatives import StepGradient, dropped, product_over_steps
from seq_models.layers.places import places_of
from seq_models.layers.recurrent import GatedRecurrent
from seq_models.layers.recurrent_cell import GatedCell
from seq_models.layers.tensors import Tensor, Tensors


@keras.saving.register_keras_serializable(package="seq_models")
@places_of(keras.layers.GRUCell)
class GRUCell(GatedCell):
    """One step of a gated recurrent unit [1].

        z = σ(x W_z + h U_z + b_z)                  update gate: how much of h is kept
        r = σ(x W_r + h U_r + b_r)                  reset gate
        n = tanh(x W_h + r * (h U_h + b'_h) + b_h)  candidate, `reset_after=True`  [2]
        n = tanh(x W_h + (r * h) U_h + b_h)         candidate, `reset_after=False` [1, eq. 8]
        h' = z * h + (1 - z) * n

    Texts that write h' = (1 - z) * h + z * n mean the same model with the sign of z's weights turned.
    Weights: kernel (D, 3H), recurrent_kernel (H, 3H), packed z, r, h as in `keras.layers.GRUCell`; bias (2, 3H), of the
    inputs and of the recurrence, with `reset_after`, else (3H,).

    Args, call arguments, returns: see `RecurrentCell`, and
        recurrent_activation: Of the gates, sigmoid by default.
        reset_after: Whether the reset gate acts after the product with U_h (True) or before it.
    Example:
        >>> from keras import ops
        >>> cell = GRUCell(4, reset_after=False)
        >>> h, states = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(h.shape)
        (2, 4)

    References:
        [1] Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder, section 2.3.
        [2] CS224n lecture notes V, section 3.
    """

    blocks = 3
    gate_names = ("update", "reset", "candidate")

    def __init__(self, units: int, *arguments: Any, reset_after: bool = True, **options: Any):
        super().__init__(units, *arguments, **options)
        self.reset_after = reset_after

    def _bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def input_weights(self) -> Tensors:
        W, *b = super().input_weights()
        return [W, *(each[0] for each in b)] if self.reset_after else [W, *b]

    def recurrent_weights(self) -> Tensors:
        if not self.reset_after:
            return super().recurrent_weights()
        b = ops.zeros((3 * self.units,), self.compute_dtype) if self.bias is None else self.bias[1]
        return super().recurrent_weights() + [b]

    def step(self, x: Tensor, states: Tensors, weights: Tensors, keep: Tensor | None = None) -> tuple[Tensors, Tensors]:
        """x = W x_t + b, (B, 3H); [h]; [U, b'] or [U] -> [h'], gates [z, r, n, h U_h + b'_h] or [z, r, n]."""
        [h], (U, *b) = states, weights
        kept, gate = dropped(h, keep), self.recurrent_activation
        x_z, x_r, x_n = ops.split(x, 3, axis=-1)
        if self.reset_after:
            h_z, h_r, h_n = ops.split(ops.matmul(kept, U) + b[0], 3, axis=-1)
            z, r = gate(x_z + h_z), gate(x_r + h_r)
            n = self.activation(x_n + r * h_n)
            return [z * h + (1 - z) * n], [z, r, n, h_n]
        U_zr, U_n = U[:, : 2 * self.units], U[:, 2 * self.units :]
        h_z, h_r = ops.split(ops.matmul(kept, U_zr), 2, axis=-1)
        z, r = gate(x_z + h_z), gate(x_r + h_r)
        n = self.activation(x_n + ops.matmul(r * kept, U_n))
        return [z * h + (1 - z) * n], [z, r, n]

    def gradient(self) -> "GRUGradient | GRUResetBeforeGradient":
        return (GRUGradient if self.reset_after else GRUResetBeforeGradient)(self)

    def get_config(self):
        return {**super().get_config(), "reset_after": self.reset_after}


class GRUGradient(StepGradient):
    """Reset after the product: a = h U + b; z = σ(x_z + a_z); r = σ(x_r + a_r); n = tanh(x_n + r a_n).

    h' = z h + (1 - z) n; weights [U, b]; gates: z, r, n, a_n. The gradient of a is that of x, times r in the part of n.
    """

    gates = 4

    def back(
        self, gradients: Tensors, gates: Tensors, before: Tensors, after: Tensors, weights: Tensors, keep: Tensor | None
    ) -> tuple[Tensors, Tensor]:
        [dh], (z, r, n, a_n), (U, _) = gradients, gates, weights
        dn = dh * (1 - z) * self.dg(n)
        dz, dr = dh * (before[0] - n) * self.dgate(z), dn * a_n * self.dgate(r)
        da = ops.concatenate([dz, dr, dn * r], axis=-1)
        return [dh * z + dropped(ops.matmul(da, U), keep)], ops.concatenate([dz, dr, dn], axis=-1)

    def weight_gradients(self, dx: Tensor, gates: Tensors, h: Tensor, keep: Tensor | None) -> Tensors:
        _, r, *_ = gates
        H = h.shape[-1]
        da = ops.concatenate([dx[:, :, : 2 * H], dx[:, :, 2 * H :] * r], axis=-1)
        return [product_over_steps(dropped(h, keep), da), ops.sum(da, axis=(0, 1))]


class GRUResetBeforeGradient(StepGradient):
    """Reset before the product: z, r = σ(x_zr + h U_zr); n = tanh(x_n + (r h) U_n); h' = z h + (1 - z) n.

    weights [U]; gates: z, r, n.
    """

    gates = 3

    def back(
        self, gradients: Tensors, gates: Tensors, before: Tensors, after: Tensors, weights: Tensors, keep: Tensor | None
    ) -> tuple[Tensors, Tensor]:
        [dh], (z, r, n), [U], [h] = gradients, gates, weights, before
        H = h.shape[-1]
        dn = dh * (1 - z) * self.dg(n)
        drh = ops.matmul(dn, U[2 * H :])
        dzr = ops.concatenate([dh * (h - n) * self.dgate(z), drh * dropped(h, keep) * self.dgate(r)], axis=-1)
        dbefore = dh * z + dropped(drh * r + ops.matmul(dzr, U[: 2 * H]), keep)
        return [dbefore], ops.concatenate([dzr, dn], axis=-1)

    def weight_gradients(self, dx: Tensor, gates: Tensors, h: Tensor, keep: Tensor | None) -> Tensors:
        _, r, _ = gates
        H, h = h.shape[-1], dropped(h, keep)
        dU_zr = product_over_steps(h, dx[:, :, : 2 * H])
        dU_n = product_over_steps(r * h, dx[:, :, 2 * H :])
        return [ops.concatenate([dU_zr, dU_n], axis=-1)]


@keras.saving.register_keras_serializable(package="seq_models")
@places_of(keras.layers.GRU)
class GRU(GatedRecurrent):
    """A gated recurrent network over a sequence. Equations: `GRUCell`; arguments: `GatedRecurrent`."""

    cell_class = GRUCell
