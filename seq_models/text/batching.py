"""An epoch: the order of its examples, as they are given or shuffled, and batches of rows of like length made of them.

A row is an encoded example, a tuple of arrays: sequences, their first axis time, and numbers. Where the rows of a batch
are of like length, little is padding.
"""

import collections
import dataclasses
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

import numpy as np
import tensorflow as tf

from seq_models.errors import InputError
from seq_models.text.codec import CHUNK, chunked
from seq_models.text.example_types import Example

SHUFFLE_BUFFER = 65_536  # examples
FILES = 8  # that are read by turns
POOL = 32  # batches whose examples are sorted by length together
GROWTH = 1.2  # of the longest length from one bucket to the next

Parts = Sequence[Iterable[Example]]
Row = tuple[np.ndarray, ...]
Encode = Callable[[list[Example]], list[Row]]


class AsGiven:
    """Part after part, and nothing moved."""

    def examples(self, parts: Parts) -> Iterator[Example]:
        """The examples of all parts, one by one."""
        return itertools.chain.from_iterable(parts)

    def permuted(self, items: Sequence) -> list:
        """The items of a sequence in this order."""
        return list(items)


class Shuffled:
    """The random order of one epoch: a function of the seed and the epoch and of nothing else."""

    def __init__(self, seed: int, epoch: int):
        self._random = random.Random(f"{seed} {epoch}")

    def examples(self, parts: Parts) -> Iterator[Example]:
        """Each example is drawn from a buffer of those that come next."""
        examples = by_turns(self.permuted(parts))
        buffer = list(itertools.islice(examples, SHUFFLE_BUFFER))
        for example in examples:
            drawn = int(self._random.random() * SHUFFLE_BUFFER)  # takes a third of the time of `randrange`
            yield buffer[drawn]
            buffer[drawn] = example
        yield from self.permuted(buffer)

    def permuted(self, items: Sequence) -> list:
        return self._random.sample(items, len(items))


Order = AsGiven | Shuffled


def by_turns(parts: Parts) -> Iterator[Example]:
    """The examples of some parts at a time, a chunk of one after a chunk of the other."""
    waiting = map(iter, parts)
    opened = collections.deque(itertools.islice(waiting, FILES))
    while opened:
        part = opened.popleft()
        chunk = list(itertools.islice(part, CHUNK))
        yield from chunk
        opened.extend([part] if len(chunk) == CHUNK else itertools.islice(waiting, 1))


@dataclasses.dataclass(frozen=True)
class RowBatching:
    """Batches of `size` examples. A pool of examples is sorted by length and cut into batches.

    The pool's batches come in random order if the data is shuffled. The measure of some examples, which it takes to say
    how many batches there are, is their number.
    """

    size: int

    def batches(self, examples: Iterable[Example], encode: Encode, order: Order, left_out: int) -> Iterator[list[Row]]:
        """The rows of each batch of an epoch, without the first `left_out` batches."""
        for pool in chunked(examples, POOL * self.size):
            starts = order.permuted(range(0, len(pool), self.size))
            if left_out < len(starts):
                rows = sorted(encode(pool), key=lengths_of)
                for start in starts[left_out:]:
                    yield rows[start : start + self.size]
            left_out = max(left_out - len(starts), 0)

    def number(self, count: int) -> int:
        """How many batches an epoch has."""
        return -(-count // self.size)

    def largest(self, count: int) -> int:
        """How many examples the largest batch may have."""
        return min(count, self.size)

    def divided(self, count: int) -> Self:
        """The batching that makes the count-th part of each batch."""
        if self.size % count:
            raise InputError(
                f"batch_size must be a multiple of the number of workers, {count}, where whole files are divided among "
                f"them. Received: batch_size={self.size}"
            )
        return dataclasses.replace(self, size=self.size // count)


@dataclasses.dataclass(frozen=True)
class TokenBatching:
    """Batches of at most `size` tokens, padding included, or of one example that is longer.

    Examples of like length are gathered in a bucket until they are a batch. How many batches an epoch has depends on
    how many examples there are of each length, the measure here, and not on their order.

    Args:
        size: Rows of a batch times its longest sequence.
        longest: Length of the longest example.
    """

    size: int
    longest: int

    def batches(self, examples: Iterable[Example], encode: Encode, order: Order, left_out: int) -> Iterator[list[Row]]:
        rows = itertools.chain.from_iterable(map(encode, chunked(examples)))
        return itertools.islice(self._filled(rows), left_out, None)

    def _filled(self, rows: Iterable[Row]) -> Iterator[list[Row]]:
        """The rows of each bucket when it is full; at the end those of the others, the shortest first."""
        longest, sizes = zip(*self._buckets(), strict=True)
        buckets: list[list[Row]] = [[] for _ in sizes]
        for row in rows:
            number = int(np.searchsorted(longest, max(lengths_of(row))))
            buckets[number].append(row)
            if len(buckets[number]) == sizes[number]:
                yield buckets[number]
                buckets[number] = []
        yield from filter(None, buckets)

    def number(self, lengths: np.ndarray) -> int:
        """How many batches there are of examples of which `lengths[n]` have length n."""
        found, above = 0, 0
        for longest, rows in self._buckets():
            found += -(-int(np.sum(lengths[above : longest + 1])) // rows)
            above = longest + 1
        return found

    def largest(self, lengths: np.ndarray) -> int:
        return int(np.sum(lengths))

    def divided(self, count: int) -> Self:
        if self.size < count:
            raise InputError(
                f"batch_tokens must be at least the number of workers, {count}. Received: batch_tokens={self.size}"
            )
        return dataclasses.replace(self, size=self.size // count)

    def _buckets(self) -> list[tuple[int, int]]:
        """(longest length, rows of a batch) of each bucket."""
        longest, buckets = 1, []
        while True:
            longest = min(longest, self.longest)
            buckets.append((longest, max(self.size // longest, 1)))
            if longest == self.longest:
                return buckets
            longest = int(np.ceil(longest * GROWTH))


Batching = RowBatching | TokenBatching


def lengths_of(row: Row) -> tuple[int, ...]:
    """The lengths of the sequences of a row, of the last one first: of a pair by target, then by source.

    They are of integers. Floats are weights, as long as their targets, or one for each label, as many in every row.
    """
    return tuple(len(array) for array in reversed(row) if array.ndim and array.dtype.kind == "i")


def unstacked(tensor: tf.Tensor | tf.RaggedTensor) -> list[np.ndarray]:
    """A tensor, ragged or not -> the array of each row."""
    if not isinstance(tensor, tf.RaggedTensor):
        return list(tensor.numpy())
    values, ends = tensor.values.numpy(), tensor.row_splits.numpy().tolist()
    return [values[start:end] for start, end in itertools.pairwise(ends)]


def stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The arrays of all rows as one; sequences are padded with zeros, and one step long at least."""
    if not arrays[0].ndim:
        return np.array(arrays)
    sizes = np.array([len(array) for array in arrays])
    padded = np.zeros((len(arrays), max(sizes.max(), 1), *arrays[0].shape[1:]), arrays[0].dtype)
    padded[np.arange(padded.shape[1]) < sizes[:, None]] = np.concatenate(arrays)
    return padded
