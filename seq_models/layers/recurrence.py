"""A recurrence over a whole sequence, for all three cells: one loop forward, one loop backward.

The forward loop runs a cell's `step` on inputs that were projected for all steps at once. The backward loop is written
out as a custom gradient [1]: it carries the gradients of the states from the last step to the first, through the
derivative of one step; the gradients of U and of the projected inputs are one product each over all steps after it. In
training the gates are kept from the forward loop, else they are computed again, for all steps at once, if a gradient is
asked for at all.

A `…Gradient` is the derivative of one step of one cell:

    back(gradients, gates, before, after, weights, keep)  -> gradients of the states before, gradient of x
    weight_gradients(dx, gates, h, keep)                  -> gradients of `weights`, for all steps at once

Shapes: x (B, G) with G the width of the kernel, gates and states (B, H); with a leading T for all steps at once.
`before` and `after` are the states on both sides of the step, h first. `keep` is the dropout of h where it enters the
product with U, (B, H), the same at every step; None means that nothing is dropped.

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
        mask: Booleans (T, B, 1), True on real tokens; on the others the states are held. None: all tokens are real.
        keep: Floats (B, H) or None.
        training: Whether a gradient will be asked for: it then takes less time, for more memory.
        last_states: Whether the states after the last step are wanted; if not, that list is empty.
    Returns:
        (h of all steps (T, B, H), list of the states after the last step).
    """
    derivative = cell.gradient()
    kept_gates = derivative.gates if training else 0
    others = len(states) - 1 if last_states else 0  # states beside h whose last value is wanted

    def unpacked(projected, *arguments):
        return projected, list(arguments[: len(states)]), list(arguments[len(states) :])

    def loop(arguments):
        return _loop_forward(cell, *unpacked(*arguments), mask, keep, kept_gates)

    def derive(upstream, arguments, after, gates):
        projected, first, weights = unpacked(*arguments)
        before = [ops.concatenate([f[None], a[:-1]]) for f, a in zip(first, after, strict=True)]
        known = gates if training else cell.step(projected, before, weights, keep)[1]
        trace = known, before, after
        dx, dfirst = _loop_backward(derivative, trace, upstream, weights, mask, keep, others)
        return (dx, *dfirst, *derivative.weight_gradients(dx, known, before[0], keep))

    @ops.custom_gradient
    def forward(*arguments):
        after, gates = loop(arguments)

        def gradient(*args, upstream=None):
            if upstream is None:
                return derive(args[0], arguments, after, gates)
            # torch hands over the arguments; a gradient of this gradient must see how the states came from them.
            again = any(argument[:1].requires_grad for argument in args)
            return derive(upstream, args, *loop(args)) if again else derive(upstream, arguments, after, gates)

        # One output, because not every backend takes the gradient of several: all h, then the last of other states.
        return ops.concatenate([after[0], *(s[-1:] for s in after[1:])]) if others else after[0], gradient

    packed = forward(projected, *states, *cell.recurrent_weights())
    T = ops.shape(projected)[0]
    h = packed[:T] if others else packed
    return h, [packed[T - 1 + k] for k in range(len(states))] if last_states else []


def forward_only(cell, projected, states, mask=None):
    """`run` where nobody will ask for a gradient, as in an export: the same values by the plain loop."""
    after, _ = _loop_forward(cell, projected, states, cell.recurrent_weights(), mask, None, 0)
    return after[0], [state[-1] for state in after]


def _loop_forward(cell, projected, states, weights, mask, keep, kept_gates):
    """The states after each step and the first of its gates, lists of (T, B, H)."""

    def step(carry, t):
        before, _ = carry
        after, gates = cell.step(projected[t], before, weights, keep)
        if mask is not None:
            after = _where(mask[t], after, before)
        carry = after, gates[:kept_gates]
        return carry, carry

    # Gates are carried only so that the scan stacks them; what they start from is never read.
    nothing = [ops.zeros_like(states[0]) for _ in range(kept_gates)]
    _, (trajectory, gates) = ops.scan(step, (list(states), nothing), ops.arange(ops.shape(projected)[0]))
    return trajectory, gates


def _loop_backward(derivative, trace, upstream, weights, mask, keep, others):
    """Gradients of x for all steps (T, B, G), and of the first states."""
    T = ops.shape(upstream)[0] - others
    # Once here, because a product with a transposed matrix is slower; a bias stays as it is.
    transposed = [ops.transpose(w) if len(w.shape) == 2 else w for w in weights]

    def step(carry, t):
        (dh, *dothers), _ = carry
        dafter = [dh + upstream[t], *dothers]
        gates, before, after = ([tensor[t] for tensor in tensors] for tensors in trace)
        dbefore, dx = derivative.back(dafter, gates, before, after, transposed, keep)
        if mask is not None:
            dbefore, dx = _where(mask[t], dbefore, dafter), ops.where(mask[t], dx, ops.zeros_like(dx))
        return (dbefore, dx), (dbefore, dx)

    last = [ops.zeros_like(state[0]) for state in trace[2]]
    last[1 : 1 + others] = [upstream[T + k] for k in range(others)]
    # dx is carried only so that the scan stacks it; what it starts from is never read.
    nothing = ops.zeros((ops.shape(last[0])[0], transposed[0].shape[0]), dtype=upstream.dtype)
    (dstates, _), (_, dx) = ops.scan(step, (last, nothing), ops.arange(T), reverse=True)
    return dx, dstates


class SimpleRNNGradient:
    """h' = g(x + h U); weights [U]; no gates."""

    gates = 0

    def __init__(self, cell):
        self.dg = DERIVATIVES[cell.activation]

    def back(self, gradients, gates, before, after, weights, keep):
        [dh], [U], [h] = gradients, weights, after
        dx = dh * self.dg(h)
        return [dropped(ops.matmul(dx, U), keep)], dx

    def weight_gradients(self, dx, gates, h, keep):
        return [_product_over_steps(dropped(h, keep), dx)]


class LSTMGradient:
    """i, f, g, o = split(x + h U); c' = σ(f) c + σ(i) tanh(g); h' = σ(o) tanh(c'); weights [U]; gates: i, f, g, o."""

    gates = 4

    def __init__(self, cell):
        self.g = cell.activation
        self.dg, self.dgate = DERIVATIVES[cell.activation], DERIVATIVES[cell.recurrent_activation]

    def back(self, gradients, gates, before, after, weights, keep):
        (dh, dc), (i, f, g, o), [U] = gradients, gates, weights
        squashed = self.g(after[1])
        dc = dc + dh * o * self.dg(squashed)
        di, df, do = dc * g * self.dgate(i), dc * before[1] * self.dgate(f), dh * squashed * self.dgate(o)
        dx = ops.concatenate([di, df, dc * i * self.dg(g), do], axis=-1)
        return [dropped(ops.matmul(dx, U), keep), dc * f], dx

    def weight_gradients(self, dx, gates, h, keep):
        return [_product_over_steps(dropped(h, keep), dx)]


class GRUGradient:
    """Reset after the product: a = h U + b; z = σ(x_z + a_z); r = σ(x_r + a_r); n = tanh(x_n + r a_n).

    h' = z h + (1 - z) n; weights [U, b]; gates: z, r, n, a_n. The gradient of a is that of x, times r in the part of n.
    """

    gates = 4

    def __init__(self, cell):
        self.dg, self.dgate = DERIVATIVES[cell.activation], DERIVATIVES[cell.recurrent_activation]

    def back(self, gradients, gates, before, after, weights, keep):
        [dh], (z, r, n, a_n), (U, _) = gradients, gates, weights
        dn = dh * (1 - z) * self.dg(n)
        dz, dr = dh * (before[0] - n) * self.dgate(z), dn * a_n * self.dgate(r)
        da = ops.concatenate([dz, dr, dn * r], axis=-1)
        return [dh * z + dropped(ops.matmul(da, U), keep)], ops.concatenate([dz, dr, dn], axis=-1)

    def weight_gradients(self, dx, gates, h, keep):
        _, r, *_ = gates
        H = h.shape[-1]
        da = ops.concatenate([dx[:, :, : 2 * H], dx[:, :, 2 * H :] * r], axis=-1)
        return [_product_over_steps(dropped(h, keep), da), ops.sum(da, axis=(0, 1))]


class GRUResetBeforeGradient:
    """Reset before the product: z, r = σ(x_zr + h U_zr); n = tanh(x_n + (r h) U_n); h' = z h + (1 - z) n.

    weights [U]; gates: z, r, n.
    """

    gates = 3

    def __init__(self, cell):
        self.dg, self.dgate = DERIVATIVES[cell.activation], DERIVATIVES[cell.recurrent_activation]

    def back(self, gradients, gates, before, after, weights, keep):
        [dh], (z, r, n), [U], [h] = gradients, gates, weights, before
        H = h.shape[-1]
        dn = dh * (1 - z) * self.dg(n)
        drh = ops.matmul(dn, U[2 * H :])
        dzr = ops.concatenate([dh * (h - n) * self.dgate(z), drh * dropped(h, keep) * self.dgate(r)], axis=-1)
        dbefore = dh * z + dropped(drh * r + ops.matmul(dzr, U[: 2 * H]), keep)
        return [dbefore], ops.concatenate([dzr, dn], axis=-1)

    def weight_gradients(self, dx, gates, h, keep):
        _, r, _ = gates
        H, h = h.shape[-1], dropped(h, keep)
        dU_zr = _product_over_steps(h, dx[:, :, : 2 * H])
        dU_n = _product_over_steps(r * h, dx[:, :, 2 * H :])
        return [ops.concatenate([dU_zr, dU_n], axis=-1)]


def dropped(h, keep):
    """h as it enters the product with U."""
    return h if keep is None else h * keep


def _where(live, tensors, otherwise):
    return [ops.where(live, tensor, other) for tensor, other in zip(tensors, otherwise, strict=True)]


def _product_over_steps(h, dx):
    """Σ_t h_t' dx_t over all steps and rows: (T, B, H), (T, B, G) -> (H, G)."""
    rows = ops.reshape(h, (-1, h.shape[-1]))
    return ops.matmul(ops.transpose(rows), ops.reshape(dx, (-1, dx.shape[-1])))
