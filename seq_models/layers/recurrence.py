"""A recurrence over a whole sequence, for all three cells: one loop forward, one loop backward.

The forward loop runs a cell's `step` on inputs that were projected for all steps at once. The backward loop is written
out as a custom gradient [1]: everything that does not depend on the gradient that comes from later steps (the
derivatives of the gates, masks) is computed for all steps at once before the loop, as `factors`; the loop itself only
carries the gradients of the states back through U; and the gradients of U and of the projected inputs are one product
each over all steps after it. In training the gates are kept from the forward loop, else they are computed again, for
all steps at once, if a gradient is asked for at all.

A `…Gradient` says how one cell does this, in three functions:

    factors(gates, before, after, keep, mask)    -> per-step derivatives, for all steps at once
    back(gradients, factors, weights, keep)      -> gradients of the states before, gradient of x, for one step
    weight_gradients(dx, factors, before, keep)  -> gradients of `weights`, for all steps at once

Shapes: x (B, G) with G = gates * H, states (B, H); with a leading T where it says "all steps". `mask` is (T, B, 1),
1 on real tokens and 0 on padded ones, where the states are held; None means that every token is real. `keep` is the
dropout of h where it enters the product with U, (B, H), the same at every step; None means that nothing is dropped.

References:
    [1] Werbos 1990, Backpropagation Through Time; Jurafsky and Martin, chapter 8.1.2.
"""

import keras
from keras import ops

# Derivatives of the activations as functions of their own output y.
DERIVATIVES = {
    keras.activations.tanh: lambda y: 1 - y * y,
    keras.activations.sigmoid: lambda y: y * (1 - y),
    keras.activations.relu: lambda y: ops.cast(y > 0, y.dtype),
    keras.activations.linear: ops.ones_like,
}


def supported(cell):
    """Whether the derivative of every activation of a cell is known here."""
    return {cell.activation, getattr(cell, "recurrent_activation", cell.activation)} <= DERIVATIVES.keys()


def run(cell, projected, states, mask=None, keep=None, training=False, last_states=True):
    """Runs a cell over all steps.

    Args:
        cell: A recurrent cell of `cells`.
        projected: Inputs after their product with W, floats (T, B, G).
        states: States before the first step, a list of floats (B, H), h first.
        mask: Floats (T, B, 1) or None.
        keep: Floats (B, H) or None.
        training: Whether a gradient will be asked for: it then takes less time, for more memory.
        last_states: Whether the states after the last step are wanted; if not, that list is empty.
    Returns:
        (h of all steps (T, B, H), list of the states after the last step).
    """
    cell_gradient = cell.gradient()
    kept_gates = cell_gradient.gates if training else 0
    others = len(states) - 1 if last_states else 0  # states beside h whose last value is wanted

    @ops.custom_gradient
    def forward(projected, *arguments):
        first, weights = list(arguments[: len(states)]), list(arguments[len(states) :])
        after, gates = _loop_forward(cell, projected, first, weights, keep, mask, kept_gates)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            before = [ops.concatenate([f[None], a[:-1]]) for f, a in zip(first, after, strict=True)]
            known = gates if training else cell.step(projected, before, weights, keep)[1]
            factors = cell_gradient.factors(known, before, after, keep, mask)
            dx, dfirst = _loop_backward(cell_gradient, factors, upstream, first, weights, keep, others)
            return (dx, *dfirst, *cell_gradient.weight_gradients(dx, factors, before, keep))

        # One output, because not every backend takes the gradient of several: all h, then the last of other states.
        return ops.concatenate([after[0], *(s[-1:] for s in after[1:])]) if others else after[0], gradient

    packed = forward(projected, *states, *cell.recurrent_weights())
    T = ops.shape(projected)[0]
    h = packed[:T] if others else packed
    return h, [packed[T - 1 + k] for k in range(len(states))] if last_states else []


def _loop_forward(cell, projected, states, weights, keep, mask, kept_gates):
    """The states after each step and the first of its gates, lists of (T, B, H)."""
    live = None if mask is None else ops.cast(mask, "bool")

    def step(carry, t):
        before, _ = carry
        after, gates = cell.step(projected[t], before, weights, keep)
        if live is not None:
            after = [ops.where(live[t], a, b) for a, b in zip(after, before, strict=True)]
        carry = after, gates[:kept_gates]
        return carry, carry

    # Gates are carried only so that the scan stacks them; what they start from is never read.
    nothing = [ops.zeros_like(states[0]) for _ in range(kept_gates)]
    _, (trajectory, gates) = ops.scan(step, (list(states), nothing), ops.arange(ops.shape(projected)[0]))
    return trajectory, gates


def _loop_backward(cell_gradient, factors, upstream, states, weights, keep, others):
    """Gradients of x for all steps (T, B, G), and of the first states."""
    T = ops.shape(upstream)[0] - others
    transposed = [ops.transpose(w) for w in weights]  # once here: a product with a transposed matrix is slower

    def step(carry, t):
        (dh, *dothers), _ = carry
        carry = cell_gradient.back([dh + upstream[t], *dothers], [f[t] for f in factors], transposed, keep)
        return carry, carry

    last = [ops.zeros_like(state) for state in states]
    last[1 : 1 + others] = [upstream[T + k] for k in range(others)]
    # dx is carried only so that the scan stacks it; what it starts from is never read.
    nothing = ops.zeros((ops.shape(states[0])[0], transposed[0].shape[0]), dtype=upstream.dtype)
    (dstates, _), (_, dx) = ops.scan(step, (last, nothing), ops.arange(T), reverse=True)
    return dx, dstates


class SimpleRNNGradient:
    """h' = g(x + h U); weights [U]."""

    gates = 0

    def __init__(self, cell):
        self.dg = DERIVATIVES[cell.activation]

    def factors(self, gates, before, after, keep, mask):
        d = self.dg(after[0])
        return [d] if mask is None else [d * mask, 1 - mask]

    def back(self, gradients, factors, weights, keep):
        [dh], (d, *held), [U] = gradients, factors, weights
        dx = dh * d
        return [_through(dx, U, dh, held, keep)], dx

    def weight_gradients(self, dx, factors, before, keep):
        return [_product_over_steps(dropped(before[0], keep), dx)]


class LSTMGradient:
    """i, f, g, o = split(x + h U); c' = σ(f) c + σ(i) tanh(g); h' = σ(o) tanh(c'); weights [U]; gates: i, f, g, o."""

    gates = 4

    def __init__(self, cell):
        self.g = cell.activation
        self.dg, self.dgate = DERIVATIVES[cell.activation], DERIVATIVES[cell.recurrent_activation]

    def factors(self, gates, before, after, keep, mask):
        """dc gains dh * o g'(c'); da = [dc, dc, dc, dh] * slope; dc_before = dc * f."""
        i, f, g, o = gates
        dgate, dg = self.dgate, self.dg
        squashed = self.g(after[1])
        slope = ops.concatenate([g * dgate(i), before[1] * dgate(f), i * dg(g), squashed * dgate(o)], axis=-1)
        dc_dh = o * dg(squashed)
        if mask is None:
            return [slope, dc_dh, f]
        return [slope * mask, dc_dh * mask, ops.where(ops.cast(mask, "bool"), f, 1), 1 - mask]

    def back(self, gradients, factors, weights, keep):
        (dh, dc), (slope, dc_dh, f, *held), [U] = gradients, factors, weights
        dc = dc + dh * dc_dh
        da = ops.concatenate([dc, dc, dc, dh], axis=-1) * slope
        return [_through(da, U, dh, held, keep), dc * f], da

    def weight_gradients(self, dx, factors, before, keep):
        return [_product_over_steps(dropped(before[0], keep), dx)]


class GRUGradient:
    """Reset after the product: a = h U + b; z = σ(x_z + a_z); r = σ(x_r + a_r); n = tanh(x_n + r a_n).

    h' = z h + (1 - z) n; weights [U, b]; gates: z, r, n, a_n. The gradient of a is that of x, times r in the part of n.
    """

    gates = 4

    def __init__(self, cell):
        self.dg, self.dgate = DERIVATIVES[cell.activation], DERIVATIVES[cell.recurrent_activation]

    def factors(self, gates, before, after, keep, mask):
        """dx = [dh, dh, dh] * slope; dh_before = dh * z + (dx * [1, 1, r]) U'."""
        z, r, n, a_n = gates
        dn = (1 - z) * self.dg(n)
        slope = ops.concatenate([(before[0] - n) * self.dgate(z), dn * a_n * self.dgate(r), dn], axis=-1)
        if mask is None:
            return [slope, z, r]
        return [slope * mask, ops.where(ops.cast(mask, "bool"), z, 1), r]

    def back(self, gradients, factors, weights, keep):
        [dh], (slope, z, r), (U, _) = gradients, factors, weights
        dx = ops.concatenate([dh, dh, dh], axis=-1) * slope
        return [_through(_times_r(dx, r), U, dh, [z], keep)], dx

    def weight_gradients(self, dx, factors, before, keep):
        da = _times_r(dx, factors[2])
        return [_product_over_steps(dropped(before[0], keep), da), ops.sum(da, axis=(0, 1))]


class GRUResetBeforeGradient:
    """Reset before the product: z, r = σ(x_zr + h U_zr); n = tanh(x_n + (r h) U_n); h' = z h + (1 - z) n.

    weights [U]; gates: z, r, n.
    """

    gates = 3

    def __init__(self, cell):
        self.dg, self.dgate = DERIVATIVES[cell.activation], DERIVATIVES[cell.recurrent_activation]

    def factors(self, gates, before, after, keep, mask):
        """dx_z = dh dz; dx_n = dh dn; drh = dx_n U_n'; dx_r = drh dr; dh_before = dh z + drh r + dx_zr U_zr'."""
        z, r, n = gates
        dz, dr = (before[0] - n) * self.dgate(z), dropped(before[0], keep) * self.dgate(r)
        dn = (1 - z) * self.dg(n)
        if mask is None:
            return [dz, dr, dn, z, r]
        return [dz * mask, dr, dn * mask, ops.where(ops.cast(mask, "bool"), z, 1), r]

    def back(self, gradients, factors, weights, keep):
        [dh], (dz, dr, dn, z, r), [U] = gradients, factors, weights
        H = dh.shape[-1]
        dx_n = dh * dn
        drh = ops.matmul(dx_n, U[2 * H :])
        dx_zr = ops.concatenate([dh * dz, drh * dr], axis=-1)
        dh = dh * z + dropped(drh * r + ops.matmul(dx_zr, U[: 2 * H]), keep)
        return [dh], ops.concatenate([dx_zr, dx_n], axis=-1)

    def weight_gradients(self, dx, factors, before, keep):
        r, h = factors[4], dropped(before[0], keep)
        H = h.shape[-1]
        dU_zr = _product_over_steps(h, dx[:, :, : 2 * H])
        dU_n = _product_over_steps(r * h, dx[:, :, 2 * H :])
        return [ops.concatenate([dU_zr, dU_n], axis=-1)]


def dropped(h, keep):
    """h as it enters the product with U."""
    return h if keep is None else h * keep


def _through(da, transposed, dh, held, keep):
    """da U', plus the share of dh that goes to the step before unchanged."""
    product = dropped(ops.matmul(da, transposed), keep)
    return product + dh * held[0] if held else product


def _times_r(dx, r):
    """dx * [1, 1, r]: the gradient of a, from that of x."""
    H = r.shape[-1]
    return ops.concatenate([dx[..., : 2 * H], dx[..., 2 * H :] * r], axis=-1)


def _product_over_steps(h, dx):
    """Σ_t h_t' dx_t over all steps and rows: (T, B, H), (T, B, G) -> (H, G)."""
    rows = ops.reshape(h, (-1, h.shape[-1]))
    return ops.matmul(ops.transpose(rows), ops.reshape(dx, (-1, dx.shape[-1])))
