"""The loop of an attention decoder over all target steps, and its gradient written out.

Everything that no step waits for is outside of the loops: W y + b of all steps before the first one, and after the last
one the gradients of all weights, of the memory and of its keys, one product each over all steps. A step of the loop
backward is the derivative of the cells from the last to the first, then that of the context and of the score:

    dc_t = upstream + dx_t W_c'             dα_tj = upstream + dc_t · e_j
    ds_t = α_t * (dα_t - Σ_j α_tj dα_tj)    the derivative of the softmax, 0 on padding
    dh_{t-1} = … + that of the score

With input feeding the next step's input has a_t = tanh([h_t; c_t] W_r) too, and the step backward begins with it:

    da_t = upstream + dx_{t+1} W_a'         [dh_t; dc_t] += (da_t * (1 - a_t²)) W_r'

Lists of what is fed hold nothing or one thing.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from seq_models.layers.attention import Attention
from seq_models.layers.derivatives import product_over_steps, written_out
from seq_models.layers.recurrent_cell import RecurrentCell, affine
from seq_models.layers.tensors import Mask, Tensor, Tensors


class Arguments(NamedTuple):
    """What the loop is a function of, all tensors.

    Attributes:
        projected: W y + b of all steps for the first cell (T, B, G).
        states: Of each cell the states before the first step, a list of floats (B, H), h first.
        memory: e, floats (B, S, M).
        keys: Of the memory (B, S, …).
        context_kernel: W_c, the rows of the first cell's kernel for the context (M, G).
        inputs: Of each cell but the first W and perhaps b, see `RecurrentCell.input_weights`.
        recurrent: Of each cell U and perhaps others, see `RecurrentCell.recurrent_weights`.
        attention: See `Attention.score_weights`.
        feeding: Of what is fed a before the first step (B, E), W_a, the rows of the first cell's kernel for it (E, G),
            and W_r (H + M, E).
    """

    projected: Tensor
    states: list[Tensors]
    memory: Tensor
    keys: Tensor
    context_kernel: Tensor
    inputs: list[Tensors]
    recurrent: list[Tensors]
    attention: Tensors
    feeding: list[Tensors]


class Trace(NamedTuple):
    """What the steps gave, with a leading T.

    Attributes:
        states: Of each cell the states after a step.
        fed: a, floats (T, B, E), if it is fed.
        context: c, floats (T, B, M).
        weights: α, floats (T, B, S).
        gates: Of each cell what its derivative needs beside its states.
    """

    states: list[Tensors]
    fed: Tensors
    context: Tensor
    weights: Tensor
    gates: list[Tensors]


class DecoderLoop:
    """A decoder's cells and its attention, step after step.

    Args:
        cells: The cells, the lowest first; each with a `gradient`.
        attention: The attention, with a `gradient`.
        mask: Of the memory, booleans (B, S), or None.
        keep: For each cell the dropout of its h, see `RecurrentCell.keep`.
    """

    def __init__(self, cells: Sequence[RecurrentCell], attention: Attention, mask: Mask, keep: list[Tensor | None]):
        self.cells, self.attention, self.mask, self.keep = cells, attention, mask, keep
        self.derivatives: list[Any] = [cell.gradient() for cell in cells]
        self.score: Any = attention.gradient()

    def forward(self, arguments: Arguments, with_gates: bool = False) -> Trace:
        """All steps one after the other."""
        cells = list(zip(self.cells, arguments.recurrent, self.keep, strict=True))
        kept = [each.gates if with_gates else 0 for each in self.derivatives]

        def step(before, t):
            query = before.states[-1][0]
            look = self.attention.look(query, arguments.memory, arguments.keys, self.mask, arguments.attention)
            x = arguments.projected[t] + ops.matmul(look[0], arguments.context_kernel)
            for a, (_, W_a, _) in zip(before.fed, arguments.feeding, strict=True):
                x += ops.matmul(a, W_a)
            states, gates = [], []
            for k, (cell, weights, keep) in enumerate(cells):
                x = affine(states[-1][0], arguments.inputs[k - 1]) if k else x
                now, more = cell.step(x, before.states[k], weights, keep)
                states.append(now)
                gates.append(more[: kept[k]])
            top = states[-1][0], look[0]
            fed = [ops.tanh(ops.matmul(ops.concatenate(top, axis=-1), W_r)) for *_, W_r in arguments.feeding]
            after = Trace(states, fed, *look, gates)
            return after, after

        # The scan stacks what it carries: all but states and fed is carried only for that, its start never read.
        B, first = ops.shape(arguments.memory)[:2], arguments.states
        nothing = [[ops.zeros_like(states[0])] * count for states, count in zip(first, kept, strict=True)]
        memory = arguments.memory
        fed = [a for a, *_ in arguments.feeding]
        start = Trace(first, fed, ops.zeros_like(memory[:, 0]), ops.zeros(B, dtype=memory.dtype), nothing)
        return ops.scan(step, start, ops.arange(ops.shape(arguments.projected)[0]))[1]

    def forward_with_gradient(self, arguments: Arguments) -> Trace:
        """As `forward`, without gates: what a backward loop needs is kept from the forward loop."""

        def run(*flat):
            trace = self.forward(keras.tree.pack_sequence_as(arguments, flat), with_gates=True)
            return ops.concatenate(keras.tree.flatten(trace._replace(gates=[])), axis=-1), trace

        def derive(upstream, flat, trace):
            passed = keras.tree.pack_sequence_as(arguments, flat)
            return keras.tree.flatten(self.backward(passed, trace, self._unpacked(upstream, passed)))

        return self._unpacked(written_out(run, derive, *keras.tree.flatten(arguments)), arguments)

    def backward(self, arguments: Arguments, trace: Trace, upstream: Trace) -> Arguments:
        """The gradients of the arguments from those of what the steps gave."""
        loop = BackwardLoop(self, arguments, trace)
        dfirst, dfed, dx, dz, dcontext, dscores, dp = loop.run(upstream)
        before, after = loop.before, trace.states
        top = [ops.concatenate([after[-1][0], trace.context], axis=-1) for _ in dz]  # (T, B, H + M)
        dmemory = ops.matmul(ops.transpose(trace.weights, (1, 2, 0)), ops.transpose(dcontext, (1, 0, 2)))
        dkeys, dattention = self.score.over_steps(
            dscores, before[-1][0], loop.p, dp, arguments.keys, arguments.attention
        )
        cells = zip(self.derivatives, dx, trace.gates, before, self.keep, strict=True)
        return Arguments(
            projected=dx[0],
            states=dfirst,
            memory=dmemory,  # (B, S, T) (B, T, M) -> (B, S, M)
            keys=dkeys,
            context_kernel=product_over_steps(trace.context, dx[0]),
            inputs=[
                [product_over_steps(h[0], dxk), *(ops.sum(dxk, axis=(0, 1)) for _ in weights[1:])]
                for h, dxk, weights in zip(after, dx[1:], arguments.inputs, strict=False)
            ],
            recurrent=[each.weight_gradients(dxk, gates, h[0], keep) for each, dxk, gates, h, keep in cells],
            attention=dattention,
            feeding=[
                [da, product_over_steps(a, dx[0]), product_over_steps(hc, dzk)]
                for da, a, hc, dzk in zip(dfed, loop.fed_before, top, dz, strict=True)
            ],
        )

    def _unpacked(self, packed, arguments):
        """The inverse of the concatenation in `forward_with_gradient`: floats (T, B, …) -> Trace without gates."""
        like = arguments.states, [a for a, *_ in arguments.feeding], arguments.memory
        parts, start = [], 0
        for size in [each.shape[-1] for each in keras.tree.flatten(like)]:
            parts.append(packed[:, :, start : start + size])
            start += size
        return Trace(*keras.tree.pack_sequence_as(like, parts), packed[:, :, start:], [])


class Derivatives(NamedTuple):
    """Gradients from one step of the loop backward; of all steps with a leading T, but for the first two.

    Attributes:
        states: Those of the states before the step.
        fed: That of a before the step, floats (B, E), if it is fed.
        x: Of each cell that of what enters it, W x + b, floats (B, G).
        z: That of [h; c] W_r after the step, floats (B, E), if a is fed.
        context: That of c, floats (B, M).
        scores: Those of the scores, floats (B, S).
        query: That of the query as the score projects it, floats (B, P).
    """

    states: list[Tensors]
    fed: Tensors
    x: Tensors
    z: Tensors
    context: Tensor
    scores: Tensor
    query: Tensor


class BackwardLoop:
    """The loop from the last step to the first.

    Args:
        loop: The loop forward.
        arguments: Its arguments.
        trace: What it gave, with gates.
    """

    def __init__(self, loop: DecoderLoop, arguments: Arguments, trace: Trace):
        self.arguments, self.trace, self.keep = arguments, trace, loop.keep
        self.derivatives, self.score = loop.derivatives, loop.score
        self.before = [
            [ops.concatenate([f[None], a[:-1]]) for f, a in zip(first, after, strict=True)]
            for first, after in zip(arguments.states, trace.states, strict=True)
        ]
        first_fed = [a for a, *_ in arguments.feeding]
        self.fed_before = [ops.concatenate([f[None], a[:-1]]) for f, a in zip(first_fed, trace.fed, strict=True)]
        self.p = self.score.project(self.before[-1][0], arguments.attention)  # of all steps (T, B, P)

    def run(self, upstream: Trace) -> Derivatives:
        """The derivatives of all steps, from the gradients of what they gave."""
        arguments, trace = self.arguments, self.trace
        self.transposed = [[_transposed(w) for w in weights] for weights in arguments.recurrent]
        self.feeding_transposed = [[_transposed(W) for W in weights] for _, *weights in arguments.feeding]
        self.input_transposed = [_transposed(W) for W, *_ in [[arguments.context_kernel], *arguments.inputs]]

        def step(carry, t):
            now = keras.tree.map_structure(lambda x: x[t], (trace, self.before, upstream, self.p))
            carry = self.back(carry.states, carry.fed, *now)
            return carry, carry

        # The scan stacks what it carries: all but states and fed is carried only for that, its start never read.
        zeros = ops.zeros_like
        states = keras.tree.map_structure(zeros, arguments.states)
        x = [ops.matmul(h, weights[0]) for (h, *_), weights in zip(states, arguments.recurrent, strict=True)]
        fed = [zeros(a) for a, *_ in arguments.feeding]
        start = Derivatives(states, fed, x, fed, *(zeros(each[0]) for each in (trace.context, trace.weights, self.p)))
        first, steps = ops.scan(step, start, ops.arange(ops.shape(arguments.projected)[0]), reverse=True)
        return steps._replace(states=first.states, fed=first.fed)

    def back(
        self,
        dstates: list[Tensors],
        dfed: Tensors,
        trace: Trace,
        before: list[Tensors],
        upstream: Trace,
        p: Tensor,
    ) -> Derivatives:
        """The derivatives of one step, from the gradients of the states after it and of what it fed."""
        arguments = self.arguments
        dbefore: list[Tensors] = []
        dx: Tensors = []
        passed = zip(dfed, upstream.fed, trace.fed, strict=True)
        dz = [(d + more) * (1 - a * a) for d, more, a in passed]
        dtop = [ops.matmul(d, W_r) for d, (_, W_r) in zip(dz, self.feeding_transposed, strict=True)]
        H = trace.states[-1][0].shape[-1]
        dh: Any = sum(d[:, :H] for d in dtop)  # what comes from the cell above, of the last one from what it feeds
        for k in reversed(range(len(self.derivatives))):
            dafter = [d + more for d, more in zip(dstates[k], upstream.states[k], strict=True)]
            dafter[0] += dh
            around = trace.gates[k], before[k], trace.states[k], self.transposed[k], self.keep[k]
            below, dxk = self.derivatives[k].back(dafter, *around)
            dh = ops.matmul(dxk, self.input_transposed[k])
            dbefore.insert(0, below)
            dx.insert(0, dxk)
        dcontext = sum((d[:, H:] for d in dtop), upstream.context + dh)
        dweights = upstream.weights + ops.squeeze(ops.matmul(arguments.memory, dcontext[:, :, None]), -1)  # (B, S)
        dscores = trace.weights * (dweights - ops.sum(trace.weights * dweights, axis=-1, keepdims=True))
        dp = self.score.back(dscores, p, arguments.keys, arguments.attention)
        dbefore[-1][0] += self.score.dquery(dp, arguments.attention)
        dfed = [ops.matmul(dx[0], W_a) for W_a, _ in self.feeding_transposed]
        return Derivatives(dbefore, dfed, dx, dz, dcontext, dscores, dp)


def _transposed(weight):
    """A matrix transposed, once, because a product with a transposed matrix is slower; a bias as it is."""
    return ops.transpose(weight) if len(weight.shape) == 2 else weight
