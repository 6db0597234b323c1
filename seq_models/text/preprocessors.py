"""From the examples of each task to what its model takes: (inputs, targets, weights).

Weights are 1 on what counts for the loss and 0 elsewhere, padding included.
"""

import functools
import inspect
from collections import Counter

import numpy as np
import tensorflow as tf

from seq_models.errors import InputError
from seq_models.text.batching import Rows, Tokens, lengths_of, split, stacked
from seq_models.text.cache import remembered
from seq_models.text.codec import Codec, append, chunked, dense, shifted
from seq_models.text.labels import Labels
from seq_models.text.order import Position
from seq_models.text.pipeline import epochs
from seq_models.text.progress import watched
from seq_models.text.vocabulary import Vocabulary

SEPARATOR = "\x1f"  # the ASCII unit separator, between the tokens of one example in a tensor of strings
WORD_LENGTH = 24  # characters of a word that are read, the end included


class Preprocessor:
    """What the four share. Each of them adds

    from_examples(examples, …): builds vocabularies and labels.
    inputs(text): strings (B,) -> the inputs of the model, in the graph.
    encode(*strings): a chunk of examples -> (inputs, targets, weights), a row an example.
    parts(): the vocabularies and labels.
    """

    @classmethod
    def learned(cls, examples, **options):
        """As `from_examples`, only once for the same files and options; see `remembered`."""
        config = remembered(
            examples, [cls.__name__, options], lambda: cls.from_examples(examples, **options).get_config()
        )
        return cls.from_config(config)

    def dataset(self, examples, batch_size=None, shuffle=False, seed=0, batch_tokens=None, position=None, share=(0, 1)):
        """A `tf.data.Dataset` of batches of examples of like length; each iteration over it is an epoch.

        An epoch is a function of the examples, the arguments and the number of the epoch. The attribute
        `batches_in_epoch` of the dataset is the number of its batches, the same in every epoch and for every worker.

        Args:
            examples: An iterable that can be read again and again; files are read by turns if they are shuffled.
            batch_size: Examples in a batch; 64 if `batch_tokens` is not given either.
            shuffle: Whether to shuffle the examples, anew in every epoch.
            seed: Of the shuffling.
            batch_tokens: Instead of `batch_size`: tokens in a batch at most, padding included; of the longer side of a
                pair. An example that is longer is a batch by itself.
            position: A `Position`: the epoch and the batch to begin with. Without one, the first of the first epoch.
            share: (index, count) of the worker that the dataset is for. If there are at least `count` files, each
                worker reads files of its own and makes batches of a count-th of the size, empty ones when its
                files have ended; else each takes every count-th row of the same batches, which may be none.
        Raises:
            InputError: If there is no example, or none for a worker, or one is not what the task needs; with file and
                line if they are known.
            ValueError: If an argument is not what it should be.
        """
        _check_arguments(batch_size, batch_tokens, share)
        index, workers = share
        parts = getattr(examples, "parts", (examples,))
        counts = self.check(examples)
        by_files = 1 < workers <= len(parts)
        own_rows = slice(None) if by_files else slice(index, None, workers)

        def stack(rows):
            return tf.nest.map_structure(lambda array: array[own_rows], self.stack(rows))

        if batch_tokens is None:
            measures, batching = counts, Rows(batch_size or 64)
            largest = min(sum(counts), batching.size)
        else:
            measures = self.count_lengths(examples)
            batching = Tokens(batch_tokens, measures.shape[1] - 1)
            largest = sum(counts)
        if not by_files and largest < workers:
            raise InputError(
                f"There must be an example for each worker. Received: {workers} workers, {largest} examples in a batch"
            )
        if by_files:
            batching, parts = batching.divided(workers), parts[index::workers]
        shares = [sum(measures[worker::workers]) for worker in range(workers)] if by_files else [sum(measures)]
        numbers = list(map(batching.number, shares))
        number, own = max(numbers), numbers[index if by_files else 0]
        sizes, seed = (own, number - own), seed if shuffle else None
        dataset = epochs(parts, batching, self.rows, stack, self.spec, sizes, seed, position or Position())
        if position is None:  # an epoch that begins at a position may be shorter
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(number))
        dataset.batches_in_epoch = number
        return dataset

    def check(self, examples):
        """Counts the examples of each part, and says what is wrong with them before training and not in the middle.

        Returns:
            A list of numbers, one for each file, or for all examples if they come from no file.
        """
        labels = [part.names for part in self.parts() if isinstance(part, Labels)]
        parts = getattr(examples, "parts", (examples,))
        return remembered(examples, ["check", type(self).__name__, labels], lambda: list(map(self._check, parts)))

    def _check(self, part):
        located = part.located() if hasattr(part, "located") else ((example, None) for example in part)
        count = 0
        for example, place in watched(located, "checking examples"):
            count += 1
            problem = self.problem(example)
            if problem:
                raise InputError(f"{place}: {problem}" if place else problem)
        if count == 0:
            raise InputError("There must be at least one example. Received: none")
        return count

    def count_lengths(self, examples):
        """How many examples of each part have n tokens, the end token included, of the longer side of a pair.

        Returns:
            Integers (parts, longest + 1).
        """
        parts = getattr(examples, "parts", (examples,))
        found = remembered(
            examples, ["lengths", type(self).__name__, self.get_config()], lambda: list(map(self._count_lengths, parts))
        )
        counts = np.zeros((len(found), max(map(len, found))), int)
        for row, lengths in zip(counts, found, strict=True):
            row[: len(lengths)] = lengths
        return counts

    def _count_lengths(self, part):
        counts = Counter()
        for chunk in watched(chunked(part), "measuring examples"):
            counts.update(max(lengths_of(row)) for row in self.rows(chunk))
        return [counts[length] for length in range(max(counts) + 1)]

    def problem(self, example):
        """What is wrong with an example, a sentence, or None."""
        pair = isinstance(example, tuple) and len(example) == 2
        return None if pair else f"An example must be a pair. Received: {example!r}"

    def fields(self, example):
        """The strings of an example, a tuple."""
        return example

    def rows(self, examples):
        """A list of examples -> a list of rows, their encodings: tuples of arrays."""
        fields = zip(*map(self.fields, examples), strict=True)
        encoded = self._encode(*(tf.constant(field, tf.string) for field in fields))
        return list(zip(*map(split, tf.nest.flatten(encoded)), strict=True))

    def stack(self, rows):
        """A list of rows -> a batch: (inputs, targets, weights), padded arrays."""
        return self.finish(*tf.nest.pack_sequence_as(self.spec, list(map(stacked, zip(*rows, strict=True)))))

    def finish(self, inputs, targets, weights):
        """The last change to a padded batch."""
        return inputs, targets, weights

    @functools.cached_property
    def spec(self):
        """The `TensorSpec`s of a batch."""
        encoded = self._encode.get_concrete_function().structured_outputs
        return tf.nest.map_structure(lambda rows: tf.TensorSpec([None] * rows.shape.rank, rows.dtype), encoded)

    @functools.cached_property
    def _encode(self):
        """`encode`, traced once."""
        strings = [tf.TensorSpec([None], tf.string)] * len(inspect.signature(self.encode).parameters)

        @tf.function(input_signature=strings)
        def encode(*texts):
            with tf.device("CPU"):  # small operations on strings and ids; a GPU is left to the model
                return self.encode(*texts)

        return encode


class LanguageModelPreprocessor(Preprocessor):
    """Texts: `<s> w_1 … w_n` in, `w_1 … w_n </s>` as targets."""

    def __init__(self, codec):
        self.codec = codec

    @classmethod
    def from_examples(cls, examples, **codec):
        return cls(Codec.train(examples, **codec))

    def parts(self):
        return [self.codec.vocabulary]

    def problem(self, example):
        return None if isinstance(example, str) else f"An example must be a text. Received: {example!r}"

    def fields(self, example):
        return (example,)

    def encode(self, text):
        targets = self.codec.encode(text)
        return shifted(targets), targets, tf.ones_like(targets, tf.float32)

    def inputs(self, text):
        return dense(self.encode(text)[0])

    def get_config(self):
        return {"codec": self.codec.get_config()}

    @classmethod
    def from_config(cls, config):
        return cls(Codec.from_config(config["codec"]))


class SequenceClassifierPreprocessor(Preprocessor):
    """(text, label): ids, and the number of the label."""

    def __init__(self, codec, labels):
        self.codec, self.labels = codec, Labels(labels)

    @classmethod
    def from_examples(cls, examples, **codec):
        labels = sorted({label for _, label in examples})
        return cls(Codec.train(Field(examples, 0), **codec), labels)

    def parts(self):
        return [self.codec.vocabulary, self.labels]

    def problem(self, example):
        return super().problem(example) or self.labels.problem([example[1]])

    def encode(self, text, label):
        targets = self.labels.ids(label)
        return self.codec.encode(text), targets, tf.ones_like(targets, tf.float32)

    def inputs(self, text):
        return dense(self.codec.encode(text))

    def get_config(self):
        return {"codec": self.codec.get_config(), "labels": self.labels.names}

    @classmethod
    def from_config(cls, config):
        return cls(Codec.from_config(config["codec"]), config["labels"])


class SequenceLabelerPreprocessor(Preprocessor):
    """(tokens, labels): ids of the tokens, of their characters if so asked, and numbers of the labels.

    The end token is read but not labeled. The examples are cut into tokens already; the tokenizer cuts the raw text
    that the model is asked about.
    """

    def __init__(self, codec, labels, characters=None):
        self.codec, self.labels, self.characters = codec, Labels(labels), characters

    @classmethod
    def from_examples(
        cls,
        examples,
        characters=True,
        tokenizer="words",
        vocabulary_size=None,
        min_count=1,
        lowercase=False,
        max_length=512,
    ):
        if tokenizer == "wordpiece":
            raise ValueError("tokenizer must be whitespace, words or chars here. Received: tokenizer='wordpiece'")
        counts, letters, labels = Counter(), Counter(), set()
        for tokens, tags in examples:
            counts.update(token.lower() if lowercase else token for token in tokens)
            letters.update(letter for token in tokens for letter in token)
            labels.update(tags)
        vocabulary = Vocabulary.from_counts(counts, vocabulary_size, min_count)
        spelling = Codec("chars", Vocabulary.from_counts(letters), max_length=WORD_LENGTH) if characters else None
        return cls(Codec(tokenizer, vocabulary, lowercase, max_length), sorted(labels), spelling)

    def parts(self):
        spelled = [] if self.characters is None else [self.characters.vocabulary]
        return [self.codec.vocabulary, self.labels, *spelled]

    def problem(self, example):
        if super().problem(example):
            return super().problem(example)
        tokens, labels = example
        if not tokens:
            return "There must be at least one token. Received: none"
        if len(tokens) != len(labels):
            return f"There must be one label for each token. Received: {len(tokens)} tokens, {len(labels)} labels"
        return self.labels.problem(labels)

    def fields(self, example):
        return tuple(SEPARATOR.join(part) for part in example)

    def encode(self, tokens, labels):
        names = append(tf.strings.split(labels, SEPARATOR)[:, : self.codec.max_length - 1], "")
        targets = self.labels.ids(names)  # -1 at the end token
        weights = tf.cast(targets >= 0, tf.float32)
        return self.encode_tokens(tf.strings.split(tokens, SEPARATOR)), tf.maximum(targets, 0), weights

    def encode_tokens(self, tokens):
        """Tokens, ragged (B, None) -> ids, and with characters a pair of them and character ids, ragged."""
        ids = self.codec.encode_tokens(tokens)
        if self.characters is None:
            return ids
        words = append(tokens[:, : self.codec.max_length - 1], "")
        spelled = self.characters.encode(words.flat_values).to_tensor(shape=[None, WORD_LENGTH])
        return ids, words.with_flat_values(spelled)

    def finish(self, inputs, targets, weights):
        """Cuts off the columns that no word of the batch reaches."""
        if self.characters is None:
            return inputs, targets, weights
        ids, spelled = inputs
        longest = max(np.count_nonzero(spelled, axis=-1).max(), 1)
        return (ids, spelled[:, :, :longest]), targets, weights

    def inputs(self, text):
        return self.inputs_of_tokens(self.codec.tokenize(text))

    def inputs_of_tokens(self, tokens):
        """Tokens, ragged (B, None) -> inputs of the model."""
        return tf.nest.map_structure(dense, self.encode_tokens(tokens))

    def get_config(self):
        characters = None if self.characters is None else self.characters.get_config()
        return {"codec": self.codec.get_config(), "labels": self.labels.names, "characters": characters}

    @classmethod
    def from_config(cls, config):
        characters = config["characters"] and Codec.from_config(config["characters"])
        return cls(Codec.from_config(config["codec"]), config["labels"], characters)


class EncoderDecoderPreprocessor(Preprocessor):
    """(source, target): `x_1 … x_m </s>` and `<s> y_1 … y_n` in, `y_1 … y_n </s>` as targets."""

    def __init__(self, source, target):
        self.source, self.target = source, target

    @classmethod
    def from_examples(cls, examples, **codec):
        return cls(*(Codec.train(Field(examples, side), **codec) for side in (0, 1)))

    def parts(self):
        return [self.source.vocabulary, self.target.vocabulary]

    def encode(self, source, target):
        targets = self.target.encode(target)
        inputs = self.source.encode(source), shifted(targets)
        return inputs, targets, tf.ones_like(targets, tf.float32)

    def inputs(self, text):
        return dense(self.source.encode(text))

    def get_config(self):
        return {"source": self.source.get_config(), "target": self.target.get_config()}

    @classmethod
    def from_config(cls, config):
        return cls(Codec.from_config(config["source"]), Codec.from_config(config["target"]))


def _check_arguments(batch_size, batch_tokens, share):
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


class Field:
    """One field of every example, read again each time."""

    def __init__(self, examples, index):
        self.examples, self.index = examples, index

    def __iter__(self):
        return (example[self.index] for example in self.examples)
