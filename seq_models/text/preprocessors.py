"""From an example of a task to what its model takes: (inputs, targets, weights).

Weights are those of the examples on what counts for the loss and 0 elsewhere, padding included.
"""

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Self

import numpy as np
import tensorflow as tf

from seq_models.errors import InputError
from seq_models.messages import say
from seq_models.text.batching import Row, stacked, unstacked
from seq_models.text.codec import Codec, append, chunked, decoded, dense, shifted
from seq_models.text.example_types import (
    Example,
    ExampleType,
    LabeledText,
    LabeledTokens,
    Sentence,
    SeveralLabels,
    Text,
    TextPair,
)
from seq_models.text.examples import remembered
from seq_models.text.given import Given
from seq_models.text.labels import Labels, twins
from seq_models.text.options import (
    ClassifierTextOptions,
    LabelerTextOptions,
    LanguageModelTextOptions,
    PairTextOptions,
    TextOptions,
    VocabularyOptions,
)
from seq_models.text.progress import watched
from seq_models.text.schemes import Step, converted, respelled, scheme_inside, steps_of
from seq_models.text.vocabulary import END, SPECIAL_TOKENS, Vocabulary
from seq_models.text.word_features import names_of, word_features

SEPARATOR = "\x1f"  # the ASCII unit separator, between the tokens of one example in a tensor of strings
SHOWN = 5  # tokens that a sentence names
LONG = 2000  # characters of a line that is no sentence
WORD_LENGTH = 24  # characters of a word that are read, the end included

Batch = tuple[Any, Any, Any]  # inputs, targets, weights: arrays or tensors, of a pair of inputs a tuple


class Preprocessor:
    """Encodes examples of a task. Each task's preprocessor adds `from_examples`, `encode` and `inputs`.

    The arguments of a preprocessor are codecs and labels, kept as attributes of the same names.

    Attributes:
        example_type: What an example is.
        options_class: The options of `from_examples`.
        codec: Of the texts that the model reads.
        labels: The labels of the examples, None where they have none.
        scheme: In which the labels are tags of entities, None where they are no such tags or stay as they are.
        encode: Strings and labels of some examples -> (inputs, targets, weights), a row an example, in the graph.
        inputs: Strings (B,) -> the inputs of the model, in the graph.
    """

    example_type: ExampleType
    options_class: type[VocabularyOptions] = TextOptions
    codec: Codec
    labels: Labels | None = None
    scheme: str | None = None
    encode: Callable[..., Batch]
    inputs: Callable[[tf.Tensor], Any]

    @classmethod
    def from_examples(cls, examples: Iterable[Any], options: Any) -> Self:
        """Builds vocabularies and labels."""
        raise NotImplementedError

    @classmethod
    def learned(cls, examples: Iterable[Example], options: VocabularyOptions) -> Self:
        """As `from_examples`, only once for the same files and options; see `remembered`."""
        question = [cls.__name__, asdict(options)]
        given = Given(examples, cls.example_type)
        config = remembered(examples, question, lambda: cls.from_examples(given, options).get_config())
        for names in twins(config.get("labels") or ()):
            say(f"the labels {', '.join(map(ascii, names))} differ by white space or invisible characters only")
        preprocessor = cls.from_config(config)
        preprocessor.say_remarks()
        return preprocessor

    def say_remarks(self) -> None:
        """Says what about the text will surprise."""

    @property
    def longest_answered(self) -> int | None:
        """The largest number of tokens of a text that an answer is based on, the end token included; None for all."""
        return self.codec.max_length

    def problem(self, example: Any) -> str | None:
        """What is wrong with an example, as a sentence goes on after its place, or None."""
        return self.example_type.problem(example)

    def unseen_labels(self, example: Any) -> list[str]:
        """The labels of an example that are none of those seen in training."""
        return [] if self.labels is None else self.labels.unseen(self.labels_of(example))

    def labels_of(self, example: Any) -> tuple[str, ...]:
        """The labels of an example as the model writes them."""
        return self.example_type.labels(example)

    def codecs(self) -> list[Codec]:
        """All of its codecs, in the order of the arrays of inputs that hold their ids."""
        return [part for part in self._arguments().values() if isinstance(part, Codec)]

    def with_codec(self, name: str, codec: Codec) -> Self:
        """This preprocessor with another codec in the place of one of its own, by the name of the argument."""
        return self.from_config({**self.get_config(), name: codec.get_config()})

    def are_tokens(self, codec: Codec, words: Sequence[str]) -> np.ndarray:
        """Whether texts that a codec encodes may hold each of the words as a token: booleans (N,)."""
        return codec.are_tokens(words)

    def vocabularies(self) -> list[Vocabulary]:
        """All of its vocabularies."""
        return [codec.vocabulary for codec in self.codecs()]

    def get_config(self) -> dict[str, Any]:
        """Its arguments as plain values."""
        return {name: getattr(part, "get_config", lambda part=part: part)() for name, part in self._arguments().items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        codecs = {name: Codec.from_config(part) for name, part in config.items() if isinstance(part, dict)}
        return cls(**{**config, **codecs})

    def _arguments(self) -> dict[str, Codec | Labels | bool | str | list[str] | None]:
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def strings(self, example: Any) -> tuple[Text, ...]:
        """The strings that `encode` takes of an example."""
        return *self.example_type.texts(example), *self.example_type.labels(example)

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        """The tokens of the longer text of each example, the end token and those that are cut off included."""
        sides = zip(self.codecs(), zip(*map(self.example_type.texts, examples), strict=True), strict=True)
        return np.max([codec.lengths(tf.constant(texts, tf.string)) for codec, texts in sides], axis=0).tolist()

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """The encodings of examples, a row each."""
        columns = zip(*map(self.strings, examples), strict=True)
        encoded = self._encode(*(tf.constant(column, tf.string) for column in columns))
        *rest, weights = map(unstacked, tf.nest.flatten(encoded))
        given = np.array(list(map(self.example_type.weight, examples)), np.float32)
        return list(zip(*rest, [row * weight for row, weight in zip(weights, given, strict=True)], strict=True))

    def stack(self, rows: Sequence[Row]) -> Batch:
        """Rows -> a batch of padded arrays."""
        return self.finish(*tf.nest.pack_sequence_as(self.spec, list(map(stacked, zip(*rows, strict=True)))))

    def finish(self, inputs: Any, targets: Any, weights: Any) -> Batch:
        """The last change to a padded batch."""
        return inputs, targets, weights

    def with_unknown(self, batch: Batch, random: np.random.Generator) -> Batch:
        """A batch of arrays to train on, see `Codec.with_unknown`.

        Inputs are replaced, on both sides of a pair. Targets are not: a loss and a perplexity mean what they did.
        """
        inputs, targets, weights = batch
        ids = zip(self.codecs(), tf.nest.flatten(inputs), strict=True)
        replaced = [codec.with_unknown(array, random) for codec, array in ids]
        return tf.nest.pack_sequence_as(inputs, replaced), targets, weights

    @functools.cached_property
    def spec(self) -> Batch:
        """The `TensorSpec`s of a batch."""
        encoded = self._encode.get_concrete_function().structured_outputs
        return tf.nest.map_structure(lambda rows: tf.TensorSpec([None] * rows.shape.rank, rows.dtype), encoded)

    @functools.cached_property
    def _encode(self) -> tf.types.experimental.PolymorphicFunction:
        """`encode`, traced once."""
        strings = [tf.TensorSpec([None], tf.string)] * len(inspect.signature(self.encode).parameters)

        @tf.function(input_signature=strings, autograph=False)
        def encode(*texts):
            with tf.device("CPU"):  # small operations on strings and ids; a GPU is left to the model
                return self.encode(*texts)

        return encode


class LanguageModelPreprocessor(Preprocessor):
    """Texts: `<s> w_1 … w_n` in, `w_1 … w_n </s>` as targets.

    Args:
        codec: Of the texts.
        stream: Whether they are one text, read on from one of them to the next (see `seq_models.text.streams`).
    """

    example_type = Sentence()
    options_class: type[VocabularyOptions] = LanguageModelTextOptions

    def __init__(self, codec: Codec, stream: bool = False):
        self.codec, self.stream = codec, stream

    @classmethod
    def from_examples(cls, examples: Iterable[str], options: Any) -> Self:
        texts = Measured(map(cls.example_type.question, examples))
        codec = Codec.train(texts, options)
        return cls(codec, texts.longest > LONG if options.corpus == "auto" else options.corpus == "stream")

    @classmethod
    def learned(cls, examples: Iterable[Example], options: Any) -> Self:
        preprocessor = super().learned(examples, options)
        if preprocessor.stream and options.corpus == "auto":
            say(
                f"some lines have more than {LONG:,} characters, so all are read as one text; corpus=sentences reads "
                "each by itself."
            )
        return preprocessor

    def encode(self, text: tf.Tensor) -> Batch:
        targets = self.codec.encode(text)
        return shifted(targets), targets, tf.ones_like(targets, tf.float32)

    def inputs(self, text: tf.Tensor) -> Any:
        return dense(self.encode_tokens(self.tokenize(text))[0])

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Texts (B,) -> all of their tokens, ragged (B, None): nothing cut."""
        return self.codec.tokenizer.tokenize(self.codec.clean(text))

    def encode_tokens(self, tokens: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Tokens, ragged (B, None) -> ids `<s> w_1 … w_n` and `w_1 … w_n </s>`, ragged (B, None)."""
        targets = append(self.codec.vocabulary.ids(tokens), END)
        return shifted(targets), targets

    @property
    def longest_answered(self) -> int | None:
        return None


class Measured:
    """Texts, and the characters of the longest one that was read.

    Args:
        texts: Strings.
    """

    def __init__(self, texts: Iterable[str]):
        self.texts, self.longest = texts, 0

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            self.longest = max(self.longest, len(text))
            yield text


class SequenceClassifierPreprocessor(Preprocessor):
    """(text, label): ids, and the number of the label."""

    example_type: LabeledText = LabeledText()
    options_class = ClassifierTextOptions
    labels: Labels

    def __init__(self, codec: Codec, labels: Iterable[str]):
        self.codec, self.labels = codec, Labels(labels)

    @classmethod
    def from_examples(cls, examples: Iterable[tuple], options: TextOptions) -> Self:
        labels = sorted({label for example in examples for label in cls.example_type.labels(example)})
        if not labels:
            raise InputError("Some example must have a label. Received: none of any")
        return cls(Codec.train((example[0] for example in examples), options), labels)

    def encode(self, text: tf.Tensor, label: tf.Tensor) -> Batch:
        targets = self.labels.ids(label)
        return self.codec.encode(text), targets, tf.ones_like(targets, tf.float32)

    def inputs(self, text: tf.Tensor) -> Any:
        return dense(self.codec.encode(text))


class MultiLabelPreprocessor(SequenceClassifierPreprocessor):
    """(text, labels): ids, and for each label whether the text has it, 0.0 or 1.0 (B, L + 1).

    The last one says whether there is a label that training has not seen.
    """

    example_type = SeveralLabels()

    def strings(self, example: Any) -> tuple[str, ...]:
        return example[0], SEPARATOR.join(self.example_type.labels(example))

    def encode(self, text: tf.Tensor, labels: tf.Tensor) -> Batch:
        names, L = tf.strings.split(labels, SEPARATOR), len(self.labels)
        # Of no labels the names are "", one number that none has, as what fills up a row.
        numbers = tf.where(tf.equal(names.values, ""), -1, tf.minimum(self.labels.ids(names.values), L))
        each = tf.one_hot(names.with_values(numbers).to_tensor(default_value=-1), L + 1)  # (B, M, L + 1)
        targets = tf.reduce_max(each, axis=1)
        return self.codec.encode(text), targets, tf.ones_like(targets[:, 0])


class SequenceLabelerPreprocessor(Preprocessor):
    """(tokens, labels): ids of the tokens, of their characters and features if so asked, and numbers of the labels.

    The end token is read but not labeled. The examples are cut into tokens already; the tokenizer cuts the raw text
    that the model is asked about.

    Args:
        codec: Of the tokens.
        labels: The labels.
        characters: Codec of the characters of a token; None if they are not read.
        scheme: In which the labels are tags of entities, and to which those of examples are converted; None if labels
            stay as they are.
        features: Of the values of features of words; None if there are none.
        feature_names: See `word_features`.
    """

    example_type = LabeledTokens()
    options_class = LabelerTextOptions
    labels: Labels

    def __init__(
        self,
        codec: Codec,
        labels: Iterable[str],
        characters: Codec | None = None,
        scheme: str | None = None,
        features: Codec | None = None,
        feature_names: Sequence[str] = (),
    ):
        self.codec, self.labels, self.characters, self.scheme = codec, Labels(labels), characters, scheme
        self.features, self.feature_names = features, list(feature_names)

    @classmethod
    def from_examples(cls, examples: Iterable[tuple[list[str], list[str]]], options: LabelerTextOptions) -> Self:
        counts: Counter[str] = Counter()
        letters: Counter[str] = Counter()
        looks: Counter[str] = Counter()
        labels: set[str] = set()
        steps: list[Step] = []
        entities: set[str] = set()  # the labels, in BIOES if they are tags of entities
        words = Codec.of(options)
        spelling = replace(options, tokenizer="chars", lowercase=False, max_length=WORD_LENGTH)
        letters_of = Codec.of(spelling).tokenize
        names = names_of(options)
        for chunk in watched(chunked(examples), "counting tokens"):
            tokens = tf.constant([token for example in chunk for token in example[0]], tf.string)
            counts.update(decoded(words.clean(tokens)))
            if names:
                looks.update(decoded(tf.reshape(_features(names, words, tokens), [-1])))
            letters.update(decoded(letters_of(tokens).flat_values))
            labels.update(label for example in chunk for label in example[1])
            steps = steps_of(((example[1], "") for example in chunk), steps)
            entities.update(label for example in chunk for label in converted(example[1], "BIOES"))
        codec = Codec.of(options, Vocabulary.from_counts(counts, options.vocabulary_size, options.min_count))
        characters = Codec.of(spelling, Vocabulary.from_counts(letters)) if options.characters else None
        features = Codec.of(options, Vocabulary.from_counts(looks)) if names else None
        scheme = scheme_inside(options.scheme, steps)
        every = sorted(labels if scheme is None else respelled(entities, scheme))
        return cls(codec, every, characters, scheme, features, names)

    def say_remarks(self) -> None:
        tokens = self.codec.vocabulary.tokens[len(SPECIAL_TOKENS) :]
        found = self.codec.tokenizer.tokenize(tf.constant(tokens, tf.string)).row_lengths().numpy()
        torn = [token for token, count in zip(tokens, found, strict=True) if count != 1]
        if torn:
            shown = ", ".join(torn[:SHOWN])
            say(
                f"{len(torn):,} of {len(tokens):,} tokens are cut otherwise where a text is labeled, by tokenizer="
                f"{self.codec.name}, as {shown}; texts that are cut into tokens already are labeled as they are."
            )

    def problem(self, example: Any) -> str | None:
        problem = super().problem(example)
        return problem if problem or example[0] else "There must be at least one token. Received: none"

    def are_tokens(self, codec: Codec, words: Sequence[str]) -> np.ndarray:
        tokens = tf.constant(words, tf.string)  # which are not cut
        return tf.equal(codec.clean(tokens), tokens).numpy()

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        return [len(example[0]) + 1 for example in examples]

    def strings(self, example: Any) -> tuple[str, ...]:
        # Cut before they are converted: the scheme then ends an entity where the text is cut.
        tokens, labels = (part[: self.codec.max_length - 1] for part in example[:2])
        return SEPARATOR.join(tokens), SEPARATOR.join(self.written(labels))

    def written(self, labels: Sequence[str]) -> Sequence[str]:
        """The labels of a sentence as the model writes them."""
        return labels if self.scheme is None else converted(labels, self.scheme)

    def labels_of(self, example: Any) -> tuple[str, ...]:
        return tuple(self.written(example[1]))

    def encode(self, tokens: tf.Tensor, labels: tf.Tensor) -> Batch:
        targets = self.labels.ids(self.codec.cut(tf.strings.split(labels, SEPARATOR)))
        weights = append(tf.ones_like(targets, tf.float32), 0)  # 0 at the end token
        return self.encode_tokens(tf.strings.split(tokens, SEPARATOR)), append(targets, 0), weights

    def encode_tokens(self, tokens: tf.RaggedTensor) -> Any:
        """Tokens, ragged (B, None) -> ids, with characters or features a tuple of them and those of these, ragged."""
        inputs = [self.codec.encode_tokens(tokens)]
        words = append(self.codec.cut(tokens), "")
        if self.characters is not None:
            spelled = self.characters.encode(words.flat_values).to_tensor(shape=[None, WORD_LENGTH])
            inputs.append(words.with_flat_values(spelled))
        if self.features is not None:
            values = _features(self.feature_names, self.codec, words.flat_values)  # (N, F)
            ids = tf.where(tf.equal(words.flat_values, "")[:, None], END, self.features.vocabulary.ids(values))
            inputs.append(words.with_flat_values(ids))
        return tuple(inputs) if len(inputs) > 1 else inputs[0]

    def finish(self, inputs: Any, targets: Any, weights: Any) -> Batch:
        """Cuts off the columns that no word of the batch reaches."""
        if self.characters is None:
            return inputs, targets, weights
        ids, spelled, *rest = inputs
        longest = max(np.count_nonzero(spelled, axis=-1).max(), 1)
        return (ids, spelled[:, :, :longest], *rest), targets, weights

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Texts (B,) -> all of their tokens as they are written, ragged (B, None): nothing folded, nothing cut."""
        return self.codec.tokenizer.tokenize(self.codec.normalize(text))

    def inputs(self, text: tf.Tensor) -> Any:
        return self.inputs_of_tokens(self.tokenize(text))

    def inputs_of_tokens(self, tokens: tf.RaggedTensor) -> Any:
        """Tokens, ragged (B, None) -> inputs of the model."""
        return tf.nest.map_structure(dense, self.encode_tokens(tokens))


def _features(names, codec, tokens):
    """The features of tokens (N,) that a codec reads, strings (N, F)."""
    written = codec.normalize(tokens)
    return word_features(names, written, codec.clean(tokens))


class EncoderDecoderPreprocessor(Preprocessor):
    """(source, target): `x_1 … x_m </s>` and `<s> y_1 … y_n` in, `y_1 … y_n </s>` as targets."""

    example_type = TextPair()
    options_class = PairTextOptions

    def __init__(self, source: Codec, target: Codec):
        self.codec = self.source = source
        self.target = target

    @classmethod
    def from_examples(cls, examples: Iterable[tuple[str, str]], options: PairTextOptions) -> Self:
        def codec(*sides):
            return Codec.train((example[side] for example in examples for side in sides), options)

        return cls(*[codec(0, 1)] * 2) if options.joint_vocabulary else cls(codec(0), codec(1))

    def encode(self, source: tf.Tensor, target: tf.Tensor) -> Batch:
        targets = self.target.encode(target)
        inputs = self.source.encode(source), shifted(targets)
        return inputs, targets, tf.ones_like(targets, tf.float32)

    def inputs(self, text: tf.Tensor) -> Any:
        return dense(self.source.encode(text))
