"""A whole sequence in one operation on CPU cores, and its gradient in another."""

import tensorflow as tf
from keras import ops

from seq_models.layers.engines.engine import Facts, Run, lacking_for_a_kernel
from seq_models.layers.engines.fused.build import problem
from seq_models.layers.engines.fused.units import FusedUnit, fused_unit
from seq_models.layers.engines.loop import loop_forward
from seq_models.layers.tensors import Tensor, Tensors


def why_not(facts: Facts) -> str | None:
    """See `Engine.why_not`."""
    cell = facts.cell
    if facts.gpu:
        return "a CPU. Received: a GPU"
    if fused_unit(cell) is None:
        return f"one of the cells of this package. Received: {type(cell).__name__}"
    if cell.compute_dtype != "float32":
        return f"float32. Received: {cell.compute_dtype}"
    return lacking_for_a_kernel(facts) or problem()


def run_fused(run: Run) -> tuple[Tensor, Tensor, Tensors]:
    """See `Engine.run`."""
    run = run.dropped()
    h, *states = _with_gradient(run, fused_unit(run.cell)(run))  # type: ignore[misc]  # there is one: see `why_not`
    shown = _shown(run)
    if not (run.training or run.all_outputs):
        last = states[0] if shown is None else _only(states[0], shown[:, -1])
        return last, last[:, None], states
    h = h if shown is None else _only(h, shown)
    return h[:, -1], h, states


def _shown(run: Run) -> Tensor | None:
    """Where an output is h and not zeros, (B, T) in the order of reading; None: everywhere."""
    if run.mask is None:
        return None
    live = tf.cast(run.mask, tf.bool)
    live = tf.reverse(live, [1]) if run.layer.go_backwards else live
    return live if run.layer.zero_output_for_mask else tf.cumsum(tf.cast(live, tf.int32), axis=1) > 0


def _only(h: Tensor, shown: Tensor) -> Tensor:
    return tf.where(shown[..., None], h, tf.zeros_like(h))


def _with_gradient(run: Run, unit: FusedUnit):
    """h (B, T, H) and the last states; they have a gradient, which has one."""
    count = len(run.states)

    @tf.custom_gradient
    def forward(*arguments):
        h, states, kept = unit.forward(*arguments, training=run.training)

        def gradient(dh, *of_states):
            of = (h, kept) if run.training else unit.forward(*arguments, training=True)[::2]
            dh = dh if run.training or run.all_outputs else tf.zeros_like(of[0])
            return backward(*arguments, dh, *of_states, of=of)

        return (h, *states), gradient

    def backward(*given, of):
        @tf.custom_gradient
        def first(*given):
            arguments, upstream = given[: count + 1 + len(unit.weights)], given[count + 1 + len(unit.weights) :]
            h, kept = of

            def second(*upstream_of_first):
                # Nobody trains by it, so it is taken through a plain loop.
                with tf.GradientTape() as outer:
                    outer.watch(given)
                    with tf.GradientTape() as inner:
                        inner.watch(arguments)
                        outputs = _by_loop(run, *arguments)
                    again = inner.gradient(outputs, arguments, upstream, unconnected_gradients="zero")
                return outer.gradient(again, given, upstream_of_first, unconnected_gradients="zero")

            return unit.backward(kept, h, arguments, upstream), second

        return first(*given)

    return forward(run.sequences, *run.states, *unit.weights)


def _by_loop(run: Run, x: Tensor, *arguments: Tensor):
    """h (B, T, H) and the last states by plain operations."""
    count = len(run.states)
    states, (W, U, *biases) = list(arguments[:count]), arguments[count:]
    projected, others = ops.matmul(x, W) + biases[0], biases[1:]

    def time_major(tensor):
        turned = ops.swapaxes(tensor, 0, 1)
        return ops.flip(turned, axis=0) if run.layer.go_backwards else turned

    live = None if run.mask is None else time_major(ops.cast(run.mask, "bool")[:, :, None])
    after, _ = loop_forward(run.cell, time_major(projected), states, [U, *others], live, run.keep, 0)
    return ops.swapaxes(after[0], 0, 1), *(state[-1] for state in after)
