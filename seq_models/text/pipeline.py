"""`tf.data` pipelines: from examples to batches, the same ones in every process that asks for the same epoch.

Batches are made in Python, from arrays; only the encoding of many texts at once is a graph, built once. Graphs
inside of `tf.data` are optimized anew whenever an epoch begins, and the training waits for that.
"""

import numpy as np
import tensorflow as tf

from seq_models.text.order import AsGiven, Shuffled

AHEAD = 8  # batches that are made while the model trains


def epochs(parts, batching, encode, stack, spec, sizes, seed, position):
    """A dataset of batches that is another epoch each time it is iterated.

    Args:
        parts: Iterables of examples, as `Examples.parts`; they are read by turns if the data is shuffled.
        batching: `Rows` or `Tokens`.
        encode: `encode(examples)` gives their rows, one for each, tuples of arrays.
        stack: `stack(rows)` gives their batch.
        spec: The `TensorSpec`s of a batch.
        sizes: How many batches there are, and how many without any row follow them.
        seed: Of the shuffling, or None for the examples in their order.
        position: A `Position`.
    """
    real, empty = sizes
    nothing = tf.nest.map_structure(without_rows, spec)

    def epoch():
        number, left_out = position.next()
        order = AsGiven() if seed is None else Shuffled(seed, number)
        yield from map(stack, batching.batches(order.examples(parts), encode, order, left_out))
        for _ in range(min(empty, real + empty - left_out)):
            yield nothing

    options = tf.data.Options()
    options.autotune.enabled = False  # with it the end of every epoch waits for the tuner's next wake-up
    options.deterministic = True
    dataset = tf.data.Dataset.from_generator(epoch, output_signature=spec)
    return dataset.prefetch(AHEAD).with_options(options)


def without_rows(spec):
    """The array of no row at all; a sequence in it has one step."""
    return np.zeros([0] + [1] * (spec.shape.rank - 1), spec.dtype.as_numpy_dtype)
