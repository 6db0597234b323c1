"""From the strings of examples to padded batches of examples of like length, so that little is padding.

A batching has

    batches(epoch, width)   a dataset of the batches of an epoch; `epoch()` gives, when one begins, its examples as
                            tuples of `width` strings, their order, and how many batches nobody will look at
    batch(*strings)         one batch, of the strings of some examples
    number(measure)         how many batches an epoch has
    divided(count)          the batching that makes the count-th part of each batch
"""

import dataclasses

import numpy as np
import tensorflow as tf

from seq_models.errors import InputError
from seq_models.text.codec import chunked, padded
from seq_models.text.pipeline import WORKERS, columns, strings

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

    def batches(self, epoch, width):
        def pools():
            rows, order, left_out = epoch()
            for number, pool in enumerate(chunked(rows, POOL * self.size)):
                starts = order.permuted(range(0, len(pool), self.size))
                needed = number >= left_out // POOL  # batches that are left out may as well be empty
                yield starts, *columns(pool if needed else [], width)

        def by_length(starts, *texts):
            examples = self.encode(*texts)
            return starts, (tf.argsort(self.lengths(*examples), stable=True), examples)

        def each(starts, pool):
            starts = tf.data.Dataset.from_tensor_slices(starts)
            return tf.data.Dataset.zip(starts, tf.data.Dataset.from_tensors(pool).repeat())

        def cut(start, pool):
            shortest_first, examples = pool
            rows = shortest_first[start : start + self.size]
            return self.finish(*padded(tf.nest.map_structure(lambda values: tf.gather(values, rows), examples)))

        signature = (tf.TensorSpec([None], tf.int32), *(tf.TensorSpec([None], tf.string),) * width)
        pools = tf.data.Dataset.from_generator(pools, output_signature=signature)
        pools = pools.map(by_length, num_parallel_calls=WORKERS)
        return pools.flat_map(each).map(cut, num_parallel_calls=WORKERS)

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

    def batches(self, epoch, width):
        def length(*example):
            return tf.reduce_max([tf.shape(rows)[0] for rows in tf.nest.flatten(example) if rows.shape.rank])

        def chunks():
            rows, _, _ = epoch()
            return chunked(rows)

        rows = strings(chunks, width).map(self.encode, num_parallel_calls=WORKERS).unbatch()
        rows = rows.map(lambda *example: example)  # a row of a ragged tensor is a plain tensor from here on
        longest, sizes = zip(*self._buckets(), strict=True)
        batches = rows.bucket_by_sequence_length(length, [upper + 1 for upper in longest], [*sizes, 1])
        return batches.map(self.finish)

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
        longest, buckets = 1, []
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
