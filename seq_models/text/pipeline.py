"""`tf.data` pipelines: from examples to batches, the same ones in every process that asks for the same epoch.

What is another in every epoch, its order and its beginning, is made in Python. The graph stays the same, so that no
epoch has to wait until a new one is built.
"""

import numpy as np
import tensorflow as tf

from seq_models.text.order import AsGiven, Shuffled

WORKERS = 2


def epochs(parts, fields, batching, empty, seed, position):
    """A dataset of batches that is another epoch each time it is iterated.

    Args:
        parts: Iterables of examples, as `Examples.parts`; they are read by turns if the data is shuffled.
        fields: `fields(example)` gives the example's strings, a tuple of always the same length.
        batching: `Rows` or `Tokens`.
        empty: How many batches without any example follow the others.
        seed: Of the shuffling, or None for the examples in their order.
        position: A `Position`.
    """
    width = width_of(parts, fields)
    here = None

    def begin():
        nonlocal here
        here = position.next()
        yield here[1]

    def epoch():
        number, left_out = here
        order = AsGiven() if seed is None else Shuffled(seed, number)
        return map(fields, order.examples(parts)), order, left_out

    batches = batching.batches(epoch, width)
    if empty:
        nothing = tf.data.Dataset.from_tensors((tf.constant([], tf.string),) * width)
        batches = batches.concatenate(nothing.repeat(empty).map(batching.batch))
    options = tf.data.Options()
    options.autotune.enabled = False  # with it the end of every epoch waits for the tuner's next wake-up
    options.deterministic = True
    begins = tf.data.Dataset.from_generator(begin, output_signature=tf.TensorSpec((), tf.int64))
    return begins.flat_map(batches.skip).prefetch(WORKERS).with_options(options)


def strings(chunks, width):
    """A dataset of chunks of examples, a tuple of strings (N,) each.

    Args:
        chunks: A function without arguments that gives lists of examples, each a tuple of strings.
        width: Number of strings of an example.
    """

    def arrays():
        return (columns(chunk, width) for chunk in chunks())

    return tf.data.Dataset.from_generator(arrays, output_signature=(tf.TensorSpec([None], tf.string),) * width)


def columns(rows, width):
    """Tuples of `width` strings -> a tuple of arrays of them."""
    return tuple(np.array([row[at].encode() for row in rows], object) for at in range(width))


def width_of(parts, fields):
    """Number of strings of an example."""
    return len(fields(next(iter(parts[0]))))
