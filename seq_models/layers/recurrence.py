"""A recurrence over a whole sequence, for all three cells: one loop forward, one loop backward.

The forward loop runs a cell's step on inputs that were projected for all steps at once. The backward loop is written
out as a custom gradient [1]: everything that does not depend on the gradient that comes from later steps (the
derivatives of the gates, masks) is computed for all steps at once before the loop, as `factors`; the loop itself only
carries the gradients of the states back through U; and the gradients of U and of the projected inputs are one product
each over all steps after it.

A `…Recurrence` says how one cell does this, in four functions:

    step(x, states, weights)                -> new states, and `saved`: what the backward pass needs of this step
    factors(x, saved, before, after, mask)  -> per-step derivatives, for all steps at once
    back(gradients, factors, weights)       -> gradients of the states before, gradient of x, for one step
    weight_gradients(dx, factors, before)   -> gradients of `weights`, for all steps at once

Shapes: x (B, G) with G = gates * H, states (B, H); with a leading T where it says "all steps". `mask` is (T, B, 1),
1 on real tokens and 0 on padded ones, where the states are held; None means that every token is real.

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


def supported(*activations):
    """Whether the derivative of every one of the activations is known here."""
    return all(activation in DERIVATIVES for activation in activations)


def run(recurrence, projected, states, weights, mask=None):
    """Runs a recurrence over all steps.

    Args:
        recurrence: A `…Recurrence` of this module.
        projected: Inputs after their product with W, floats (T, B, G).
        states: States before the first step, a list of floats (B, H), h first.
        weights: The recurrent weights, a list of tensors.
        mask: Floats (T, B, 1) or None.
    Returns:
        (h of all steps (T, B, H), list of the states after the last step).
    """

    @ops.custom_gradient
    def forward(projected, *arguments):
        first, weights = list(arguments[: len(states)]), list(arguments[len(states) :])
        trajectory, saved = _loop_forward(recurrence, projected, first, weights, mask)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            before = [ops.concatenate([s[None], after[:-1]]) for s, after in zip(first, trajectory, strict=True)]
            factors = recurrence.factors(projected, saved, before, trajectory, mask)
            dx, dfirst = _loop_backward(recurrence, factors, upstream, first, weights)
            return (dx, *dfirst, *recurrence.weight_gradients(dx, factors, before))

        # One output, because not every backend takes the gradient of several: all h, then the last of other states.
        return ops.concatenate([trajectory[0], *(s[-1:] for s in trajectory[1:])]), gradient

    T = ops.shape(projected)[0]
    packed = forward(projected, *states, *weights)
    return packed[:T], [packed[T - 1 + k] for k in range(len(states))]


def _loop_forward(recurrence, projected, states, weights, mask):
    live = None if mask is None else ops.cast(mask, "bool")

    def step(carry, t):
        states, _ = carry
        new, saved = recurrence.step(projected[t], states, weights)
        if live is not None:
            new = [ops.where(live[t], n, s) for n, s in zip(new, states, strict=True)]
        return (new, saved), (new, saved)

    # `saved` is carried only so that the scan stacks it; what it starts from is never read.
    nothing = [ops.zeros_like(projected[0]) for _ in range(recurrence.saves)]
    _, (trajectory, saved) = ops.scan(step, (states, nothing), ops.arange(ops.shape(projected)[0]))
    return trajectory, saved


def _loop_backward(recurrence, factors, upstream, states, weights):
    T = ops.shape(upstream)[0] - (len(states) - 1)
    transposed = [ops.transpose(w) for w in weights]  # once here: a product with a transposed matrix is slower

    def step(carry, t):
        (dh, *dothers), _ = carry
        carry = recurrence.back([dh + upstream[t], *dothers], [f[t] for f in factors], transposed)
        return carry, carry

    last = [ops.zeros_like(states[0]), *(upstream[T + k] for k in range(len(states) - 1))]
    no_dx = ops.zeros((ops.shape(states[0])[0], transposed[0].shape[0]), dtype=upstream.dtype)
    (dstates, _), (_, dx) = ops.scan(step, (last, no_dx), ops.arange(T), reverse=True)
    return dx, dstates


class SimpleRecurrence:
    """h' = g(x + h U); weights [U]."""

    saves = 0

    def __init__(self, g):
        self.g = g
        self.supported = supported(g)

    def step(self, x, states, weights):
        h = self.g(x + ops.matmul(states[0], weights[0]))
        return [h], []

    def factors(self, x, saved, before, after, mask):
        d = DERIVATIVES[self.g](after[0])
        return [d] if mask is None else [d * mask, 1 - mask]

    def back(self, gradients, factors, weights):
        [dh], (d, *held) = gradients, factors
        dx = dh * d
        return [_through(dx, weights[0], dh, held)], dx

    def weight_gradients(self, dx, factors, before):
        return [_product_over_steps(before[0], dx)]


class LSTMRecurrence:
    """i, f, g, o = split(x + h U); c' = σ(f) c + σ(i) tanh(g); h' = σ(o) tanh(c'); weights [U]; saved x + h U."""

    saves = 1

    def __init__(self, g, gate):
        self.g, self.gate = g, gate
        self.supported = supported(g, gate)

    def _gates(self, a):
        i, f, g, o = ops.split(a, 4, axis=-1)
        return self.gate(i), self.gate(f), self.g(g), self.gate(o)

    def step(self, x, states, weights):
        h, c = states
        a = x + ops.matmul(h, weights[0])
        i, f, g, o = self._gates(a)
        c = f * c + i * g
        return [o * self.g(c), c], [a]

    def factors(self, x, saved, before, after, mask):
        """dc gains dh * o g'(c'); da = [dc, dc, dc, dh] * slope; dc_before = dc * f."""
        i, f, g, o = self._gates(saved[0])
        dgate, dg = DERIVATIVES[self.gate], DERIVATIVES[self.g]
        squashed = self.g(after[1])
        slope = ops.concatenate([g * dgate(i), before[1] * dgate(f), i * dg(g), squashed * dgate(o)], axis=-1)
        dc_dh = o * dg(squashed)
        if mask is None:
            return [slope, dc_dh, f]
        return [slope * mask, dc_dh * mask, ops.where(ops.cast(mask, "bool"), f, 1), 1 - mask]

    def back(self, gradients, factors, weights):
        (dh, dc), (slope, dc_dh, f, *held) = gradients, factors
        dc = dc + dh * dc_dh
        da = ops.concatenate([dc, dc, dc, dh], axis=-1) * slope
        return [_through(da, weights[0], dh, held), dc * f], da

    def weight_gradients(self, dx, factors, before):
        return [_product_over_steps(before[0], dx)]


class GRURecurrence:
    """Reset after the product: a = h U + b; z = σ(x_z + a_z); r = σ(x_r + a_r); n = tanh(x_n + r a_n).

    h' = z h + (1 - z) n; weights [U, b]; saved: a. The gradient of a is that of x, times r in the part of n.
    """

    saves = 1

    def __init__(self, g, gate):
        self.g, self.gate = g, gate
        self.supported = supported(g, gate)

    def _gates(self, x, a):
        x_z, x_r, x_n = ops.split(x, 3, axis=-1)
        a_z, a_r, a_n = ops.split(a, 3, axis=-1)
        r = self.gate(x_r + a_r)
        return self.gate(x_z + a_z), r, self.g(x_n + r * a_n), a_n

    def step(self, x, states, weights):
        [h], (U, b) = states, weights
        a = ops.matmul(h, U) + b
        z, _, n, _ = self._gates(x, a)
        return [z * h + (1 - z) * n], [a]

    def factors(self, x, saved, before, after, mask):
        """dx = [dh, dh, dh] * slope; dh_before = dh * z + (dx * [1, 1, r]) U'."""
        z, r, n, a_n = self._gates(x, saved[0])
        dgate, dg = DERIVATIVES[self.gate], DERIVATIVES[self.g]
        dn = (1 - z) * dg(n)
        slope = ops.concatenate([(before[0] - n) * dgate(z), dn * a_n * dgate(r), dn], axis=-1)
        if mask is None:
            return [slope, z, r]
        return [slope * mask, ops.where(ops.cast(mask, "bool"), z, 1), r]

    def back(self, gradients, factors, weights):
        [dh], (slope, z, r) = gradients, factors
        dx = ops.concatenate([dh, dh, dh], axis=-1) * slope
        return [_through(_times_r(dx, r), weights[0], dh, [z])], dx

    def weight_gradients(self, dx, factors, before):
        da = _times_r(dx, factors[2])
        return [_product_over_steps(before[0], da), ops.sum(da, axis=(0, 1))]


class GRUResetBeforeRecurrence:
    """Reset before the product: z, r = σ(x_zr + h U_zr); n = tanh(x_n + (r h) U_n); h' = z h + (1 - z) n.

    weights [U]; saved: x + [h U_zr, (r h) U_n].
    """

    saves = 1

    def __init__(self, g, gate):
        self.g, self.gate = g, gate
        self.supported = supported(g, gate)

    def _gates(self, a):
        a_z, a_r, a_n = ops.split(a, 3, axis=-1)
        return self.gate(a_z), self.gate(a_r), self.g(a_n)

    def step(self, x, states, weights):
        [h], [U] = states, weights
        H = h.shape[-1]
        a_zr = x[:, : 2 * H] + ops.matmul(h, U[:, : 2 * H])
        z, r = ops.split(self.gate(a_zr), 2, axis=-1)
        a_n = x[:, 2 * H :] + ops.matmul(r * h, U[:, 2 * H :])
        return [z * h + (1 - z) * self.g(a_n)], [ops.concatenate([a_zr, a_n], axis=-1)]

    def factors(self, x, saved, before, after, mask):
        """dx_z = dh dz; dx_n = dh dn; drh = dx_n U_n'; dx_r = drh dr; dh_before = dh z + drh r + dx_zr U_zr'."""
        z, r, n = self._gates(saved[0])
        dgate, dg = DERIVATIVES[self.gate], DERIVATIVES[self.g]
        dz, dr, dn = (before[0] - n) * dgate(z), before[0] * dgate(r), (1 - z) * dg(n)
        if mask is None:
            return [dz, dr, dn, z, r]
        return [dz * mask, dr, dn * mask, ops.where(ops.cast(mask, "bool"), z, 1), r]

    def back(self, gradients, factors, weights):
        [dh], (dz, dr, dn, z, r), [U] = gradients, factors, weights
        H = dh.shape[-1]
        dx_n = dh * dn
        drh = ops.matmul(dx_n, U[2 * H :])
        dx_zr = ops.concatenate([dh * dz, drh * dr], axis=-1)
        dh = _through(dx_zr, U[: 2 * H], dh, [z]) + drh * r
        return [dh], ops.concatenate([dx_zr, dx_n], axis=-1)

    def weight_gradients(self, dx, factors, before):
        r = factors[4]
        H = r.shape[-1]
        dU_zr = _product_over_steps(before[0], dx[:, :, : 2 * H])
        dU_n = _product_over_steps(r * before[0], dx[:, :, 2 * H :])
        return [ops.concatenate([dU_zr, dU_n], axis=-1)]


def _through(da, transposed, dh, held):
    """da U', plus the share of dh that goes to the step before unchanged."""
    product = ops.matmul(da, transposed)
    return product + dh * held[0] if held else product


def _times_r(dx, r):
    """dx * [1, 1, r]: the gradient of a, from that of x."""
    H = r.shape[-1]
    return ops.concatenate([dx[..., : 2 * H], dx[..., 2 * H :] * r], axis=-1)


def _product_over_steps(h, dx):
    """Σ_t h_t' dx_t over all steps and rows: (T, B, H), (T, B, G) -> (H, G)."""
    rows = ops.reshape(h, (-1, h.shape[-1]))
    return ops.matmul(ops.transpose(rows), ops.reshape(dx, (-1, dx.shape[-1])))
