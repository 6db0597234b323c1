"""`tf.data` pipelines: from examples to batches, the same ones in every process that asks for the same epoch."""

import numpy as np
import tensorflow as tf

from seq_models.text.codec import chunked

SHUFFLE_BUFFER = 65_536  # examples
FILES = 8  # that are read by turns
WORKERS = 2


class Position:
    """Where in the data a training is.

    A dataset reads it whenever an iteration begins, so that a training which was killed goes on where it was.

    Args:
        epoch: Number of the epoch, from 0; the order of the examples follows from it and the seed.
        batches: Number of batches to leave out at the start of this epoch.
    """

    def __init__(self, epoch=0, batches=0):
        self.epoch, self.batches = epoch, batches

    def next(self):
        """Returns (epoch, batches), and moves on to the start of the next epoch."""
        here = self.epoch, self.batches
        self.epoch, self.batches = self.epoch + 1, 0
        return here


class Order:
    """The random order of one epoch: a function of the seed and the epoch and of nothing else.

    Args:
        seed: An integer.
        epoch: A scalar tensor of 64-bit integers.
    """

    def __init__(self, seed, epoch):
        self.seed = tf.stack([tf.constant(seed, tf.int64), epoch])

    def permuted(self, rows, number=0):
        """The rows of a tensor in an order of their own for each `number`."""
        return tf.random.experimental.stateless_shuffle(rows, tf.random.fold_in(self.seed, number))

    def shuffled(self, dataset, buffer):
        """A dataset shuffled through a buffer, in the same order whenever it is iterated."""
        tf.compat.v1.set_random_seed(1)  # of the function under construction: else that of the process would count
        seed = tf.random.stateless_uniform([], self.seed, minval=None, maxval=None, dtype=tf.int64)
        return dataset.shuffle(buffer, seed=seed, reshuffle_each_iteration=False)


def epochs(parts, fields, batching, number, empty, seed, position):
    """A dataset of batches that is another epoch each time it is iterated.

    Args:
        parts: Iterables of examples, as `Examples.parts`; they are read by turns if the data is shuffled.
        fields: `fields(example)` gives the example's strings, a tuple of always the same length.
        batching: `Rows` or `Tokens`.
        number: Batches of a whole epoch.
        empty: How many of them, the last ones, are empty.
        seed: Of the shuffling, or None for the examples in their order.
        position: A `Position`.
    """
    width = width_of(parts, fields)

    @tf.autograph.experimental.do_not_convert  # no control flow to convert, and much to trace
    def epoch_of(epoch, left_out):
        order = None if seed is None else Order(seed, epoch)
        rows = strings(parts, fields, order)
        batches = batching.batches(rows, order, left_out)
        if empty:
            nothing = tf.data.Dataset.from_tensors((tf.constant([], tf.string),) * width)
            nothing = nothing.repeat(tf.clip_by_value(number - left_out, 0, empty))
            batches = batches.concatenate(nothing.map(batching.batch))
        return batches

    begin = tf.data.Dataset.from_generator(
        lambda: [position.next()], output_signature=(tf.TensorSpec((), tf.int64),) * 2
    )
    options = tf.data.Options()
    options.autotune.enabled = False  # with it the end of every epoch waits for the tuner's next wake-up
    options.deterministic = True
    return begin.flat_map(epoch_of).prefetch(WORKERS).with_options(options)


def strings(parts, fields, order=None):
    """A dataset of the strings of each example, a tuple of scalars.

    Args:
        parts, fields: See `epochs`.
        order: An `Order`, or None: part after part.
    """
    width = width_of(parts, fields)

    def chunks(number):
        for chunk in chunked(parts[number]):
            columns = zip(*map(fields, chunk), strict=True)
            yield tuple(np.array([text.encode() for text in column], object) for column in columns)

    def read(number):
        signature = (tf.TensorSpec([None], tf.string),) * width
        return tf.data.Dataset.from_generator(chunks, args=(number,), output_signature=signature)

    numbers = tf.range(len(parts))
    if order is None:
        return tf.data.Dataset.from_tensor_slices(numbers).flat_map(read).unbatch()
    cycle = min(len(parts), FILES)
    files = tf.data.Dataset.from_tensor_slices(order.permuted(numbers))
    rows = files.interleave(read, cycle_length=cycle, num_parallel_calls=min(cycle, WORKERS)).unbatch()
    return order.shuffled(rows, SHUFFLE_BUFFER)


def width_of(parts, fields):
    """Number of strings of an example."""
    return len(fields(next(iter(parts[0]))))
