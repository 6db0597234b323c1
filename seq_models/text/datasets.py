"""From examples to a `tf.data.Dataset` of batches, the same ones in every process that asks for the same epoch.

Batches are made in Python, from arrays; only the encoding of many texts at once is a graph, built once. Graphs inside
of `tf.data` are optimized anew whenever an epoch begins, and the training waits for that.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from seq_models.errors import InputError
from seq_models.text.batching import AsGiven, Batching, Order, Parts, RowBatching, Shuffled, TokenBatching
from seq_models.text.codec import chunked
from seq_models.text.counting import check_examples, count_lengths, parts_of
from seq_models.text.example_types import Example
from seq_models.text.preprocessors import Batch, Preprocessor
from seq_models.text.progress import watched

BATCH_SIZE = 64  # examples, where neither they nor tokens are given
AHEAD = 8  # batches that are made while the model trains


class Position:
    """Where in the data a training is.

    A dataset reads it whenever an iteration begins, so that a training which was killed goes on where it was.

    Args:
        epoch: Number of the epoch, from 0; the order of the examples follows from it and the seed.
        batches: Number of batches to leave out at the start of this epoch.
    """

    def __init__(self, epoch: int = 0, batches: int = 0):
        self.epoch, self.batches = epoch, batches

    def next(self) -> tuple[int, int]:
        """Returns (epoch, batches), and moves on to the start of the next epoch."""
        here = self.epoch, self.batches
        self.epoch, self.batches = self.epoch + 1, 0
        return here


def make_dataset(
    preprocessor: Preprocessor,
    examples: Iterable[Example],
    batch_size: int | None = None,
    shuffle: bool = False,
    seed: int = 0,
    batch_tokens: int | None = None,
    position: Position | None = None,
    share: tuple[int, int] = (0, 1),
    training: bool = False,
) -> tf.data.Dataset:
    """A `tf.data.Dataset` of padded batches of examples of like length; each iteration over it is an epoch.

    An epoch is a function of the examples, the arguments and the number of the epoch. The attribute `batches_in_epoch`
    of the dataset is the number of its batches, the same in every epoch and for every worker; `in_order()` makes a
    dataset of all examples in the order in which they are.

    Args:
        preprocessor: Encodes the examples.
        examples: An iterable that can be read again and again; files are read by turns if they are shuffled.
        batch_size: Examples in a batch; 64 if `batch_tokens` is not given either.
        shuffle, seed: Whether to shuffle the examples, anew in every epoch, and from which seed.
        batch_tokens: Instead of `batch_size`: tokens in a batch at most, padding included; of the longer side of a
            pair. An example that is longer is a batch by itself.
        position: The epoch and the batch to begin with; the first of all by default.
        share: (index, count) of the worker that the dataset is for. If there are at least `count` files, each
            worker reads files of its own and makes batches of a count-th of the size, empty ones when its
            files have ended; else each takes every count-th row of the same batches, which may be none.
        training: Whether tokens that were seen once are read as `<unk>` now and then, by `unknown_share` of
            `TextOptions`: others in every epoch, which follow from the seed.
    Raises:
        InputError: If there is no example, or none for a worker, or one is not what the task needs; with file and
            line if they are known.
        ValueError: If an argument is not what it should be.
    """
    _check_arguments(batch_size, batch_tokens, share)
    counts, parts = check_examples(preprocessor, examples), parts_of(preprocessor, examples)
    if batch_tokens is None:
        own = _share(parts, RowBatching(batch_size or BATCH_SIZE), counts, *share)
    else:
        lengths = _histograms(count_lengths(preprocessor, examples), preprocessor.codec.max_length)
        own = _share(parts, TokenBatching(batch_tokens, lengths.shape[1] - 1), lengths, *share)
    begin = position or Position()

    def epoch() -> Iterator[Batch]:
        number, left_out = begin.next()
        batches = _epoch(preprocessor, own, Shuffled(seed, number) if shuffle else AsGiven(), left_out)
        if not shuffle:  # a training has a bar of its own
            batches = watched(batches, "evaluating", own.batches + own.empty)
        for place, batch in enumerate(batches, start=left_out):
            if training:
                batch = preprocessor.with_unknown(batch, np.random.default_rng([seed % 2**32, number, place]))
            yield tf.nest.map_structure(lambda array: array[own.rows], batch)

    dataset = dataset_of(epoch, preprocessor.spec)
    if position is None:  # an epoch that begins at a position may be shorter
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(own.batches + own.empty))
    dataset.batches_in_epoch = own.batches + own.empty
    dataset.in_order = functools.partial(in_order, preprocessor, examples, batch_size or BATCH_SIZE, sum(counts))
    return dataset


def in_order(preprocessor: Preprocessor, examples: Iterable[Example], size: int, count: int) -> tf.data.Dataset:
    """A dataset of so many examples in the order in which they are."""

    def batches() -> Iterator[Batch]:
        for chunk in chunked(examples, size):
            yield preprocessor.stack(preprocessor.rows(chunk))

    return dataset_of(batches, preprocessor.spec).apply(tf.data.experimental.assert_cardinality(-(-count // size)))


def dataset_of(batches: Callable[[], Iterator[Any]], spec: Any) -> tf.data.Dataset:
    """A dataset of batches that are made in Python, each of the form of `spec`, a nest of `TensorSpec`s."""
    dataset = tf.data.Dataset.from_generator(batches, output_signature=spec)
    return dataset.prefetch(AHEAD).with_options(_pipeline_options())


def _pipeline_options():
    options = tf.data.Options()
    options.autotune.enabled = False  # with it the end of every epoch waits for the tuner's next wake-up
    options.deterministic = True
    # Replicas share the rows of a batch, and workers read their own: nothing is left to shard.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options


class _Share(NamedTuple):
    """What one worker does of an epoch."""

    parts: Parts  # that it reads
    batching: Batching
    rows: slice  # of each batch
    batches: int  # that its parts give
    empty: int  # batches without any row that follow them, until the last worker has ended


def _share(parts: Parts, batching: Batching, measures: Any, index: int, workers: int) -> _Share:
    """Whole files for each worker if there are enough, else some rows of each batch.

    Args:
        measures: Of each part what `batching` takes to say how many batches there are.
    """
    if 1 < workers <= len(parts):
        batching = batching.divided(workers)
        numbers = [batching.number(sum(measures[worker::workers])) for worker in range(workers)]
        return _Share(parts[index::workers], batching, slice(None), numbers[index], max(numbers) - numbers[index])
    largest = batching.largest(sum(measures))
    if largest < workers:
        raise InputError(
            f"There must be an example for each worker. Received: {workers} workers, {largest} examples in a batch"
        )
    return _Share(parts, batching, slice(index, None, workers), batching.number(sum(measures)), 0)


def _epoch(preprocessor: Preprocessor, own: _Share, order: Order, left_out: int) -> Iterator[Batch]:
    """The batches of an epoch, those of all workers that share them, without the first `left_out`."""
    for rows in own.batching.batches(order.examples(own.parts), preprocessor.rows, order, left_out):
        yield preprocessor.stack(rows)
    nothing = tf.nest.map_structure(_without_rows, preprocessor.spec)
    for _ in range(min(own.empty, own.batches + own.empty - left_out)):
        yield nothing


def _without_rows(spec: tf.TensorSpec) -> np.ndarray:
    """The array of no row at all; a sequence in it has one step."""
    return np.zeros([0] + [1] * (spec.shape.rank - 1), spec.dtype.as_numpy_dtype)


def _histograms(lengths: list[dict[int, int]], max_length: int) -> np.ndarray:
    """How many examples of each part have n tokens when they are cut to `max_length`: integers (parts, longest + 1)."""
    longest = min(max(map(max, lengths)), max_length)
    found: np.ndarray = np.zeros((len(lengths), longest + 1), int)
    for part, counts in enumerate(lengths):
        for length, count in counts.items():
            found[part, min(length, longest)] += count
    return found


def _check_arguments(batch_size: int | None, batch_tokens: int | None, share: tuple[int, int]) -> None:
    if batch_size is not None and batch_tokens is not None:
        raise ValueError(
            "There must be batch_size or batch_tokens, not both. "
            f"Received: batch_size={batch_size!r}, batch_tokens={batch_tokens!r}"
        )
    for name, value in (("batch_size", batch_size), ("batch_tokens", batch_tokens)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a positive integer. Received: {name}={value!r}")
    index, workers = share
    if not 0 <= index < workers:
        raise ValueError(f"share must be (index, count) with 0 <= index < count. Received: share={share!r}")
