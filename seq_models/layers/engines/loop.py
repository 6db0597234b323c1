"""A recurrence over a whole sequence, for every unit: one loop forward, one loop backward.

The forward loop runs a cell's `step` on inputs that were projected for all steps at once. The backward loop is written
out as a custom gradient [1]: it carries the gradients of the states from the last step to the first, through the
derivative of one step; the gradients of U and of the projected inputs are one product each over all steps after it. In
training the gates are kept from the forward loop, else they are computed again, for all steps at once, if a gradient is
asked for at all. `Halves` is two such loops; `Steps`, where there is no derivative of a step, is the loop of Keras.

References:
    [1] Werbos 1990, Backpropagation Through Time; Jurafsky and Martin, chapter 8.1.2.
"""

import keras
from keras import ops

from seq_models.layers.derivatives import lacking, written_out
from seq_models.layers.engines.engine import Engine, Facts, Run
from seq_models.layers.recurrent_cell import RecurrentCell
from seq_models.layers.tensors import Tensor, Tensors

ENOUGH = 2048  # numbers of a state, B H: a step of fewer is not worth a second loop
USUAL_ROWS = 32  # where B is not known


class ForwardLoop(Engine):
    """The loop where nobody will ask for a gradient, as in an export."""

    def run(self, run: Run) -> tuple[Tensor, Tensor, Tensors]:
        run = run.dropped()
        projected = self.project(run)
        live = None if run.mask is None else _time_major(run, ops.cast(run.mask, "bool")[:, :, None])  # (T, B, 1)
        h, states = self.over_time(run, projected, live)
        if live is not None:
            h = ops.where(live if run.layer.zero_output_for_mask else _seen(live), h, ops.zeros_like(h))
        return h[-1], ops.transpose(h, (1, 0, 2)), states

    def project(self, run: Run) -> Tensor:
        """W x + b of all steps in the order in which they are read, (T, B, G)."""
        return run.cell.project(_time_major(run, run.sequences))

    def over_time(self, run: Run, projected: Tensor, live: Tensor | None) -> tuple[Tensor, Tensors]:
        """h of all steps (T, B, H) and the last states, from W x + b and the mask (T, B, 1)."""
        after, _ = loop_forward(run.cell, projected, run.states, run.recurrent_weights(), live, run.keep, 0)
        return after[0], [state[-1] for state in after]


class Loop(ForwardLoop):
    """The loop with its own gradient."""

    def why_not(self, facts: Facts) -> str | None:
        if facts.unroll:
            return "a loop that is not written out. Received: unroll=True"
        return lacking(facts.cell)

    def over_time(self, run: Run, projected: Tensor, live: Tensor | None) -> tuple[Tensor, Tensors]:
        return _with_gradient(run, projected, live)


class Halves(Loop):
    """The loop of `Loop`, twice: each for one half of the rows.

    A graph runs two loops that do not wait for each other on two cores, where two cores that share each product wait
    for each other at every step. Eager execution, a GPU and the other backends would run one loop after the other.
    """

    def pays(self, facts: Facts) -> bool:
        rows = USUAL_ROWS if facts.rows is None else facts.rows
        enough = rows > 1 and rows * facts.cell.units >= ENOUGH
        return enough and facts.graph and not facts.gpu and not facts.beside

    def run(self, run: Run) -> tuple[Tensor, Tensor, Tensors]:
        run = run.dropped()
        half = ops.shape(run.sequences)[0] // 2
        halves = [super(Halves, self).run(run.of_rows(rows)) for rows in (slice(None, half), slice(half, None))]
        return keras.tree.map_structure(lambda *parts: ops.concatenate(parts), *halves)


class Steps(Engine):
    """The loop of `keras.layers.RNN`, written out with `unroll`. The cell itself drops inputs and states in it."""

    def why_not(self, facts: Facts) -> str | None:
        return "weight_dropout=0 in training" if facts.weight_dropout else None

    def run(self, run: Run) -> tuple[Tensor, Tensor, Tensors]:
        return keras.layers.RNN.inner_loop(run.layer, run.sequences, run.states, run.mask, run.training)


def _with_gradient(run, projected, live):
    """h of all steps (T, B, H) and the last states of a run, with W x + b (T, B, G) and the mask (T, B, 1)."""
    cell, states, keep, training = run.cell, run.states, run.keep, run.training
    derivative = cell.gradient()
    kept_gates = derivative.gates if training else 0
    others = len(states) - 1 if run.last_states else 0  # states beside h whose last value is wanted

    def unpacked(projected, *arguments):
        return projected, list(arguments[: len(states)]), list(arguments[len(states) :])

    def forward(*arguments):
        after, gates = loop_forward(cell, *unpacked(*arguments), live, keep, kept_gates)
        # All h, then the last of other states.
        packed = ops.concatenate([after[0], *(s[-1:] for s in after[1:])]) if others else after[0]
        return packed, (after, gates)

    def derive(upstream, arguments, kept):
        (projected, first, weights), (after, gates) = unpacked(*arguments), kept
        before = [ops.concatenate([f[None], a[:-1]]) for f, a in zip(first, after, strict=True)]
        known = gates if training else cell.step(projected, before, weights, keep)[1]
        trace = known, before, after
        dx, dfirst = _loop_backward(derivative, trace, upstream, weights, live, keep, others)
        return (dx, *dfirst, *derivative.weight_gradients(dx, known, before[0], keep))

    packed = written_out(forward, derive, projected, *states, *run.recurrent_weights())
    T = ops.shape(projected)[0]
    h = packed[:T] if others else packed
    return h, [packed[T - 1 + k] for k in range(len(states))] if run.last_states else []


def loop_forward(
    cell: RecurrentCell,
    projected: Tensor,
    states: Tensors,
    weights: Tensors,
    live: Tensor | None,
    keep: Tensor | None,
    kept_gates: int,
) -> tuple[Tensors, Tensors]:
    """The states after each step and the first of its gates, lists of (T, B, H)."""

    def step(carry, t):
        before, _ = carry
        after, gates = cell.step(projected[t], before, weights, keep)
        if live is not None:
            after = _where(live[t], after, before)
        carry = after, gates[:kept_gates]
        return carry, carry

    # Gates are carried only so that the scan stacks them; what they start from is never read.
    nothing = [ops.zeros_like(states[0]) for _ in range(kept_gates)]
    _, (trajectory, gates) = ops.scan(step, (list(states), nothing), ops.arange(ops.shape(projected)[0]))
    return trajectory, gates


def _loop_backward(derivative, trace, upstream, weights, live, keep, others):
    """Gradients of x for all steps (T, B, G), and of the first states."""
    T = ops.shape(upstream)[0] - others
    # Once here, because a product with a transposed matrix is slower; a bias stays as it is.
    transposed = [ops.transpose(w) if len(w.shape) == 2 else w for w in weights]

    def step(carry, t):
        (dh, *dothers), _ = carry
        dafter = [dh + upstream[t], *dothers]
        gates, before, after = ([tensor[t] for tensor in tensors] for tensors in trace)
        dbefore, dx = derivative.back(dafter, gates, before, after, transposed, keep)
        if live is not None:
            dbefore, dx = _where(live[t], dbefore, dafter), ops.where(live[t], dx, ops.zeros_like(dx))
        return (dbefore, dx), (dbefore, dx)

    last = [ops.zeros_like(state[0]) for state in trace[2]]
    last[1 : 1 + others] = [upstream[T + k] for k in range(others)]
    # dx is carried only so that the scan stacks it; what it starts from is never read.
    nothing = ops.zeros((ops.shape(last[0])[0], transposed[0].shape[0]), dtype=upstream.dtype)
    (dstates, _), (_, dx) = ops.scan(step, (last, nothing), ops.arange(T), reverse=True)
    return dx, dstates


def _time_major(run, batch_major):
    turned = ops.transpose(batch_major, (1, 0, 2))
    return ops.flip(turned, axis=0) if run.layer.go_backwards else turned


def _seen(live):
    """True from the first real token on: before it there is no output to repeat, and `keras.layers` gives zeros."""
    return ops.cumsum(ops.cast(live, "int32"), axis=0) > 0


def _where(live, tensors, otherwise):
    return [ops.where(live, tensor, other) for tensor, other in zip(tensors, otherwise, strict=True)]
