"""A fourth unit, as anybody would add it: one file of its own and one line of `UNITS`."""

import keras
from keras import ops

from seq_models.layers.derivatives import StepGradient, dropped, product_over_steps
from seq_models.layers.recurrent import Recurrent
from seq_models.layers.recurrent_cell import GatedCell


@keras.saving.register_keras_serializable(package="seq_models.tests")
class MinGRUCell(GatedCell):
    """One step of a minimal gated unit.

        f = σ(x W_f + h U_f + b_f)          forget gate
        n = tanh(x W_n + (f * h) U_n + b_n)  candidate
        h' = (1 - f) * h + f * n

    References:
        Zhou et al. 2016, Minimal Gated Unit for Recurrent Neural Networks; Heck and Salem 2017.
    """

    blocks = 2
    gate_names = ("forget", "candidate")

    def step(self, x, states, weights, keep=None):
        """x = W x_t + b, (B, 2H); [h]; [U] -> [h'], gates [f, n]."""
        [h], [U], H = states, weights, self.units
        x_f, x_n = ops.split(x, 2, axis=-1)
        kept = dropped(h, keep)
        f = self.recurrent_activation(x_f + ops.matmul(kept, U[:, :H]))
        n = self.activation(x_n + ops.matmul(f * kept, U[:, H:]))
        return [(1 - f) * h + f * n], [f, n]

    def gradient(self):
        return MinGRUGradient(self)


class MinGRUGradient(StepGradient):
    """f = σ(x_f + h U_f); n = tanh(x_n + (f h) U_n); h' = (1 - f) h + f n; weights [U]; gates: f, n."""

    gates = 2

    def back(self, gradients, gates, before, after, weights, keep):
        [dh], (f, n), [U], [h] = gradients, gates, weights, before
        H, kept = h.shape[-1], dropped(h, keep)
        dn = dh * f * self.dg(n)
        dfh = ops.matmul(dn, U[H:])
        df = (dh * (n - h) + dfh * kept) * self.dgate(f)
        dbefore = dh * (1 - f) + dropped(dfh * f + ops.matmul(df, U[:H]), keep)
        return [dbefore], ops.concatenate([df, dn], axis=-1)

    def weight_gradients(self, dx, gates, h, keep):
        (f, _), H, kept = gates, h.shape[-1], dropped(h, keep)
        return [
            ops.concatenate(
                [product_over_steps(kept, dx[:, :, :H]), product_over_steps(f * kept, dx[:, :, H:])], axis=-1
            )
        ]


@keras.saving.register_keras_serializable(package="seq_models.tests")
class MinGRU(Recurrent):
    """A minimal gated network over a sequence."""

    cell_class = MinGRUCell
