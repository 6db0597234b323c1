"""The form of a model that an export holds: equal to that of training, and fast for the few rows of a request."""

import contextlib
import functools

import keras
import tensorflow as tf

from seq_models.layers import LSTM
from seq_models.layers.recurrent import Recurrent


@contextlib.contextmanager
def serving_form(model, directory):
    """Within it, a model is traced in its form for a server.

    Vocabularies are files, which become assets of the export, and no constants of its graph. An LSTM is one operation
    over all steps. Other recurrences are plain loops, of all rows together and without a gradient: both pay in training
    only.

    Args:
        model: A task's model.
        directory: Where the files of vocabularies are written, a `pathlib.Path`.
    """
    vocabularies = model.preprocessor.vocabularies()
    with contextlib.ExitStack() as stack:
        for number, vocabulary in enumerate(vocabularies):
            stack.enter_context(vocabulary.kept_in(directory / f"vocabulary_{number}.txt"))
        for layer in model._flatten_layers():  # also those inside of others
            if isinstance(layer, Recurrent):
                stack.enter_context(_set(layer, "halves", False))
                stack.enter_context(_set(layer, "differentiable", False))
            if isinstance(layer, LSTM) and _is_plain(layer.cell):
                stack.enter_context(_set(layer, "over_time", functools.partial(lstm_over_time, layer)))
        yield [table for vocabulary in vocabularies for table in vocabulary.tables]


@contextlib.contextmanager
def _set(layer, name, value):
    """Within it, an attribute of the class has another value in one layer."""
    own = vars(layer).get(name)
    setattr(layer, name, value)
    try:
        yield
    finally:
        delattr(layer, name) if own is None else setattr(layer, name, own)


def _is_plain(cell):
    """Whether the one operation has the activations of a cell."""
    return cell.activation is keras.activations.tanh and cell.recurrent_activation is keras.activations.sigmoid


def lstm_over_time(layer, sequences, initial_state, mask, keep, training, last_states=True):  # noqa: ARG001  there is no dropout
    """`Recurrent.over_time` of an LSTM by one operation over all steps, for texts that are padded at their end.

    What stands on padded steps is no output of the layer: no model looks at it.
    """
    B, T = tf.unstack(tf.shape(sequences)[:2])
    lengths = tf.fill([B], T) if mask is None else tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
    turned = functools.partial(tf.reverse_sequence, seq_lengths=lengths, seq_axis=0, batch_axis=1)
    x = tf.transpose(sequences, (1, 0, 2))  # (T, B, D)
    h_0, c_0 = initial_state
    cell = layer.cell
    weights = tf.concat([cell.kernel, cell.recurrent_kernel], axis=0)  # (D + H, 4H), packed i, f, c, o
    bias = tf.zeros_like(weights[0]) if cell.bias is None else tf.convert_to_tensor(cell.bias)
    none = tf.zeros_like(bias[: cell.units])
    steps = tf.raw_ops.BlockLSTMV2(
        seq_len_max=tf.cast(T, tf.int64),
        x=turned(x) if layer.go_backwards else x,
        cs_prev=c_0,
        h_prev=h_0,
        w=weights,
        wci=none,
        wcf=none,
        wco=none,
        b=bias,
        cell_clip=0.0,
        use_peephole=False,
    )
    h, c = (
        tf.gather_nd(tf.concat([first[None], after], axis=0), tf.stack([lengths, tf.range(B)], axis=1))
        for first, after in ((h_0, steps.h), (c_0, steps.cs))
    )
    # A layer that goes backwards gives its outputs from the end of the padded sequence on.
    outputs = tf.reverse(turned(steps.h), [0]) if layer.go_backwards else steps.h
    return h, tf.transpose(outputs, (1, 0, 2)), [h, c]
