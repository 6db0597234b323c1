"""Engines of an export: equal to those of training, and fast for the few rows of a request."""

import functools

import keras
import tensorflow as tf

from seq_models.layers import LSTMCell, engines


class BlockLSTM(engines.Engine):
    """An LSTM by one operation over all steps, for texts that are padded at their end.

    What stands on padded steps is no output of the layer: no model looks at it.
    """

    def why_not(self, facts: engines.Facts) -> str | None:
        needed = "an LSTM with tanh and sigmoid gates outside training"
        if facts.training or not isinstance(facts.cell, LSTMCell):
            return needed
        activations = facts.cell.activation, facts.cell.recurrent_activation
        return None if activations == (keras.activations.tanh, keras.activations.sigmoid) else needed

    def run(self, run: engines.Run) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        B, T = tf.unstack(tf.shape(run.sequences)[:2])
        lengths = tf.fill([B], T) if run.mask is None else tf.reduce_sum(tf.cast(run.mask, tf.int32), axis=1)
        turned = functools.partial(tf.reverse_sequence, seq_lengths=lengths, seq_axis=0, batch_axis=1)
        x = tf.transpose(run.sequences, (1, 0, 2))  # (T, B, D)
        (h_0, c_0), cell, backwards = run.states, run.cell, run.layer.go_backwards
        weights = tf.concat([cell.kernel, cell.recurrent_kernel], axis=0)  # (D + H, 4H), packed i, f, c, o
        bias = tf.zeros_like(weights[0]) if cell.bias is None else tf.convert_to_tensor(cell.bias)
        none = tf.zeros_like(bias[: cell.units])
        unused = {"wci": none, "wcf": none, "wco": none, "cell_clip": 0.0, "use_peephole": False}
        start = {"seq_len_max": tf.cast(T, tf.int64), "cs_prev": c_0, "h_prev": h_0}
        steps = tf.raw_ops.BlockLSTMV2(x=turned(x) if backwards else x, w=weights, b=bias, **start, **unused)
        h, c = (
            tf.gather_nd(tf.concat([first[None], after], axis=0), tf.stack([lengths, tf.range(B)], axis=1))
            for first, after in ((h_0, steps.h), (c_0, steps.cs))
        )
        # A layer that goes backwards gives its outputs from the end of the padded sequence on.
        outputs = tf.reverse(turned(steps.h), [0]) if backwards else steps.h
        return h, tf.transpose(outputs, (1, 0, 2)), [h, c]


# Rows in halves and a gradient of its own pay in training only: the other units are plain loops of all rows.
SERVING = (BlockLSTM(), engines.ForwardLoop())
