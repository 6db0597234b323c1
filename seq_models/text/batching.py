"""From the strings of examples to padded batches of examples of like length, so that little is padding.

A batching has

    batches(strings, order, left_out)   the batches of an epoch, a dataset
    batch(*strings)                     one batch, of the strings of some examples
    number(measure)                     how many batches an epoch has
    divided(count)                      the batching that makes the count-th part of each batch
"""

import dataclasses

import numpy as np
import tensorflow as tf

from seq_models.errors import InputError
from seq_models.text.codec import CHUNK, padded
from seq_models.text.pipeline import WORKERS

POOL = 32  # batches whose examples are sorted by length together
GROWTH = 1.2  # of the longest length from one bucket to the next


@dataclasses.dataclass(frozen=True)
class Rows:
    """Batches of `size` examples. A pool of examples is sorted by length and cut into batches.

    The pool's batches come in random order if the data is shuffled.

    Args:
        size: Examples in a batch.
        encode: From strings (N,) to a nested structure of tensors, ragged or not, with a row an example.
        lengths: `lengths(*examples)` gives the lengths (N,) to sort by.
        finish: From a padded batch to the batch that is given out.
    """

    size: int
    encode: object
    lengths: object
    finish: object

    def batch(self, *strings):
        return self.finish(*padded(self.encode(*strings)))

    def batches(self, strings, order, left_out):
        def by_length(number, texts):
            examples = self.encode(*texts)
            shortest_first = tf.argsort(self.lengths(*examples), stable=True)
            return number, tf.nest.map_structure(lambda rows: tf.gather(rows, shortest_first), examples)

        def cut(number, examples):
            starts = tf.range(0, count_rows(examples), self.size)
            starts = starts if order is None else order.permuted(starts, number)
            return tf.data.Dataset.from_tensor_slices(starts).map(lambda start: one(start, examples))

        def one(start, examples):
            batch = tf.nest.map_structure(lambda rows: rows[start : start + self.size], examples)
            return self.finish(*padded(batch))

        # Pools that are left out as a whole need not be encoded.
        pools = strings.batch(POOL * self.size).enumerate().skip(left_out // POOL)
        return pools.map(by_length, num_parallel_calls=WORKERS).flat_map(cut).skip(left_out % POOL)

    def number(self, count):
        """Batches of so many examples."""
        return int(-(-count // self.size))

    def divided(self, count):
        if self.size % count:
            raise InputError(
                f"batch_size must be a multiple of the number of workers, {count}, where whole files are divided among "
                f"them. Received: batch_size={self.size}"
            )
        return dataclasses.replace(self, size=self.size // count)


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Batches of at most `size` tokens, padding included, or of one example that is longer.

    Examples of like length are gathered in a bucket until they are a batch. How many batches an epoch has depends on
    how many examples there are of each length, and not on their order.

    Args:
        size: Rows of a batch times its longest sequence.
        longest: Length of the longest example.
        encode, finish: See `Rows`.
    """

    size: int
    longest: int
    encode: object
    finish: object

    def batch(self, *strings):
        return self.finish(*padded(self.encode(*strings)))

    def batches(self, strings, order, left_out):
        def length(*example):
            return tf.reduce_max([tf.shape(rows)[0] for rows in tf.nest.flatten(example) if rows.shape.rank])

        rows = strings.batch(CHUNK).map(self.encode, num_parallel_calls=WORKERS).unbatch()
        rows = rows.map(lambda *example: example)  # a row of a ragged tensor is a plain tensor from here on
        longest, sizes = zip(*self._buckets(), strict=True)
        batches = rows.bucket_by_sequence_length(length, [upper + 1 for upper in longest], [*sizes, 1])
        batches = batches if order is None else order.shuffled(batches, POOL)
        return batches.map(self.finish).skip(left_out)

    def number(self, lengths):
        """Batches of examples of which `lengths[n]` have length n."""
        found, above = 0, 0
        for longest, rows in self._buckets():
            found += -(-int(np.sum(lengths[above : longest + 1])) // rows)
            above = longest + 1
        return found

    def divided(self, count):
        if self.size < count:
            raise InputError(
                f"batch_tokens must be at least the number of workers, {count}. Received: batch_tokens={self.size}"
            )
        return dataclasses.replace(self, size=self.size // count)

    def _buckets(self):
        """(longest length, rows of a batch) of each bucket."""
        longest, buckets = 8, []
        while True:
            longest = min(longest, self.longest)
            buckets.append((longest, max(self.size // longest, 1)))
            if longest == self.longest:
                return buckets
            longest = int(np.ceil(longest * GROWTH))


def widths(*examples):
    """The length of the longest sequence of each encoded example (N,)."""
    ragged = [rows for rows in tf.nest.flatten(examples) if isinstance(rows, tf.RaggedTensor)]
    return tf.reduce_max(tf.stack([rows.row_lengths() for rows in ragged]), axis=0)


def count_rows(examples):
    """Number of examples in an encoded structure."""
    targets = tf.nest.flatten(examples)[-1]
    return targets.nrows(tf.int32) if isinstance(targets, tf.RaggedTensor) else tf.shape(targets)[0]
