"""A corpus as one continuous text, from which the rows of a batch are segments.

    w_1 … w_n </s> w'_1 … w'_n' </s> …        targets, all texts one after the other
    <s> w_1 … w_n  <s>  w'_1 … w'_n' …        inputs

`Consecutive` segments go on where the row of the batch before ended, so that a model which carries its states reads
every text with all that came before it: truncated backpropagation through time. `RandomSegments` are read each from
nothing.
"""

import dataclasses
import itertools
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from seq_models.errors import InputError
from seq_models.text.codec import Codec
from seq_models.text.counting import check_examples
from seq_models.text.datasets import BATCH_SIZE, Position, dataset_of, in_order
from seq_models.text.example_types import Example
from seq_models.text.given import Given
from seq_models.text.preprocessors import Batch, Preprocessor
from seq_models.text.progress import watched
from seq_models.text.vocabulary import END, START
from seq_models.text.words import together

SEGMENT = 35  # tokens between two updates, as in Zaremba et al. 2014, arXiv:1409.2329

SEGMENTS = ("consecutive", "random")
Segments = tuple[np.ndarray, np.ndarray]  # where each row's begins and ends, integers (B,) each


@dataclasses.dataclass(frozen=True)
class Consecutive:
    """Each row reads its own share of the stream, from its beginning to its end.

    Args:
        rows: B. The stream is cut into so many shares.
        length: T, tokens of a segment.
        vary: Move the ends of segments by up to T/4, others in every epoch, so that it is not always the same words
            that the gradient cannot reach back from (after Merity et al. 2017, arXiv:1708.02182, section 4.1).
    """

    rows: int
    length: int
    vary: bool = False
    carried: ClassVar[bool] = True  # whether a row goes on from the batch before

    def number(self, tokens: int) -> int:
        """How many batches there are of a stream of so many tokens."""
        return -(-self._share(tokens) // self.length)

    def segments(self, tokens: int, random: np.random.Generator) -> Iterator[Segments]:
        """The segments of each batch of an epoch."""
        share, moved = self._share(tokens), self.length // 4
        first = np.arange(self.rows) * share
        end = np.minimum(first + share, tokens)
        cuts: np.ndarray = np.append(np.arange(0, share, self.length), share)
        if self.vary:
            cuts[1:-1] = np.minimum(cuts[1:-1] + random.integers(-moved, moved + 1, len(cuts) - 2), share - 1)
        for start, stop in itertools.pairwise(cuts):
            yield np.minimum(first + start, end), np.minimum(first + stop, end)

    def _share(self, tokens):
        return -(-tokens // self.rows)


@dataclasses.dataclass(frozen=True)
class RandomSegments:
    """Segments in random order, cut from another place on in every epoch; after the last token comes the first one.

    Args:
        rows: B.
        length: T, tokens of a segment.
    """

    rows: int
    length: int
    carried: ClassVar[bool] = False

    def number(self, tokens: int) -> int:
        """See `Consecutive.number`."""
        return -(-self._count(tokens) // self.rows)

    def segments(self, tokens: int, random: np.random.Generator) -> Iterator[Segments]:
        """See `Consecutive.segments`."""
        first = int(random.integers(tokens))
        starts = first + self.length * random.permutation(self._count(tokens))
        starts = np.append(starts, np.full(-len(starts) % self.rows, first + tokens))  # rows without a token
        for batch in starts.reshape(-1, self.rows):
            yield batch, np.minimum(batch + self.length, first + tokens)

    def _count(self, tokens):
        return -(-tokens // self.length)


class Stream:
    """The targets of a corpus, all texts one after the other, in a file without a name: no memory holds a large one.

    Args:
        preprocessor: Encodes the texts.
        examples: Texts.
    Raises:
        InputError: If an example has a weight, or the disk has no room.
    """

    def __init__(self, preprocessor: Preprocessor, examples: Iterable[Example]):
        self._file = tempfile.TemporaryFile(buffering=0)
        weakref.finalize(self, self._file.close)
        self._type = np.dtype(np.uint16 if len(preprocessor.codec.vocabulary) <= 2**16 else np.int32)
        self.tokens = 0
        texts = watched(unweighted_texts(preprocessor, examples), "reading tokens")
        try:
            for ids in encoded(preprocessor.codec, texts):
                self._file.write(ids.astype(self._type).tobytes())
                self.tokens += len(ids)
        except OSError as error:
            raise InputError(f"{tempfile.gettempdir()} must have room for the tokens. Received: {error}") from error

    def read(self, start: int, end: int) -> np.ndarray:
        """Ids from `start` to before `end`, integers; before the first is the last one, after the last the first."""
        count, start, size = end - start, start % self.tokens, self._type.itemsize
        found = np.frombuffer(os.pread(self._file.fileno(), count * size, start * size), self._type)
        return found if len(found) == count else np.concatenate([found, self.read(0, count - len(found))])

    def batch(self, starts: np.ndarray, ends: np.ndarray) -> Batch:
        """Segments as (inputs, targets, weights), (B, T) each, zeros beyond their ends."""
        B, T = len(starts), max(int(np.max(ends - starts)), 1)
        inputs: np.ndarray = np.zeros((B, T), np.int32)
        targets = np.zeros_like(inputs)
        for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            if start < end:
                ids = self.read(start - 1, end)  # the token before is the first input
                inputs[row, : end - start] = np.where(ids[:-1] == END, START, ids[:-1])
                targets[row, : end - start] = ids[1:]
        return inputs, targets, (np.arange(T) < (ends - starts)[:, None]).astype(np.float32)


def encoded(codec: Codec, texts: Iterable[str]) -> Iterator[np.ndarray]:
    """The ids of texts, each with its end token, one after the other: integers (N,), some of them at once.

    A long text is encoded in parts where it may be cut, so that memory is bounded whatever the texts.
    """
    encode = tf.function(codec.encode, input_signature=[tf.TensorSpec([None], tf.string)])
    words = codec.tokenizer.words

    def parts():
        for text in texts:
            *before, end = [text] if words is None else words.cut(text)
            yield from ((part, False) for part in before)
            yield end, True

    for some in together(parts(), size=lambda part: len(part[0])):
        text, is_end = zip(*some, strict=True)
        ids = encode(tf.constant(text, tf.string))
        ends = ids.row_splits.numpy()[1:] - 1
        yield np.delete(ids.values.numpy(), ends[~np.array(is_end)])


def make_stream(
    preprocessor: Preprocessor,
    examples: Iterable[Example],
    segments: Consecutive | RandomSegments,
    seed: int = 0,
    position: Position | None = None,
    share: tuple[int, int] = (0, 1),
    training: bool = False,
) -> tf.data.Dataset:
    """A `tf.data.Dataset` of batches of segments: ((inputs (B, T), fresh (B,)), targets (B, T), weights (B, T)).

    `fresh` is True where a row reads from nothing, and False where it goes on from the batch before. Attributes,
    arguments and errors beside these: see `make_dataset`.

    Args:
        preprocessor: Of a language model.
        examples: Texts without weights.
        segments: What the rows of a batch read.
        share: (index, count) of the worker: it reads the index-th of `count` equal parts of the rows of each batch.
    Raises:
        InputError: If the rows cannot be shared equally.
    """
    index, workers = share
    if segments.rows % workers:
        raise InputError(
            f"batch_size must be a multiple of the number of workers, {workers}. Received: {segments.rows} rows"
        )
    counts = check_examples(preprocessor, examples)
    stream, begin = Stream(preprocessor, examples), position or Position()
    own = slice(index * segments.rows // workers, (index + 1) * segments.rows // workers)
    number = segments.number(stream.tokens)

    def epoch() -> Iterator[Any]:
        epoch, left_out = begin.next()
        random = np.random.default_rng([seed % 2**32, epoch])
        places = itertools.islice(segments.segments(stream.tokens, random), left_out, None)
        for place, (starts, ends) in enumerate(places, start=left_out):
            batch = stream.batch(starts, ends)
            if training:
                batch = preprocessor.with_unknown(batch, np.random.default_rng([seed % 2**32, epoch, place]))
            fresh = np.full(len(starts), place == 0 or not segments.carried)
            inputs, targets, weights = batch
            yield tf.nest.map_structure(lambda array: array[own], ((inputs, fresh), targets, weights))

    inputs, targets, weights = preprocessor.spec
    dataset = dataset_of(epoch, ((inputs, tf.TensorSpec([None], tf.bool)), targets, weights))
    if position is None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(number))
    dataset.batches_in_epoch = number
    dataset.in_order = lambda: in_order(preprocessor, examples, BATCH_SIZE, sum(counts))
    return dataset


def unweighted_texts(preprocessor: Preprocessor, examples: Iterable[Example]) -> Iterator[str]:
    """The texts of examples, one by one. Raises an InputError at one with a weight: in one text each counts once."""
    kind = preprocessor.example_type
    for example, place in Given(examples, kind).located():
        if kind.weight(example) != 1:
            raise InputError(f"{place}: expected no weight in one continuous text. Received: {kind.weight(example)}")
        yield kind.question(example)
