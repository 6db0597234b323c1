"""Texts to ids and back: a tokenizer with its vocabulary."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Self

import numpy as np
import tensorflow as tf

from seq_models.errors import InputError
from seq_models.messages import say
from seq_models.text.normalization import NORMALIZATIONS, fold_case, valid
from seq_models.text.options import TRUNCATIONS, WHOLE, VocabularyOptions
from seq_models.text.progress import watched
from seq_models.text.tokenizers import TOKENIZERS
from seq_models.text.vocabulary import END, SPECIAL_TOKENS, START, UNKNOWN, Vocabulary
from seq_models.text.wordpieces import learn_wordpieces
from seq_models.text.words import counted

CHUNK = 1024  # texts that are tokenized at once
WORDS = 65_536  # words that are
WORDPIECES = 8000  # where no size of the vocabulary is given
TWICE = 2  # a piece that is seen once is a whole word, and nothing is learned from it


class Codec:
    """Encodes texts as ids that end with `</s>`, decodes ids as texts.

    Args:
        tokenizer: "whitespace", "words", "chars" or "wordpiece".
        vocabulary: Its tokens have ids.
        lowercase: Fold the texts to lower case first.
        max_length: The largest number of ids of a text, the end token included; the rest is cut off.
        normalization: "nfc", "nfkc" or "none".
        unknown_share: Of the tokens seen once, the share that `with_unknown` replaces.
        truncate: Which tokens of a longer text are left: "head", the first ones, "tail", the last ones, or "both", the
            first and the last half.
    """

    def __init__(
        self,
        tokenizer: str,
        vocabulary: Vocabulary,
        lowercase: bool = False,
        max_length: int = WHOLE,
        normalization: str = "nfc",
        unknown_share: float = 0.0,
        truncate: str = "head",
    ):
        self.name, self.vocabulary = tokenizer, vocabulary
        self.lowercase, self.max_length = lowercase, max_length
        self.normalization, self.unknown_share = normalization, unknown_share
        self.truncate, self.tokenizer = truncate, TOKENIZERS[tokenizer](vocabulary.tokens)

    @classmethod
    def of(cls, options: VocabularyOptions, vocabulary: Vocabulary | None = None) -> Self:
        """The codec of options; without a vocabulary it knows no token yet."""
        return cls(
            options.tokenizer,
            vocabulary or Vocabulary(SPECIAL_TOKENS),
            options.lowercase,
            options.max_length,
            options.normalization,
            options.unknown_share,
            options.truncate,
        )

    @classmethod
    def train(cls, texts: Iterable[str], options: VocabularyOptions) -> Self:
        """Builds the vocabulary from texts, which are read once."""
        untrained = cls.of(options)
        if options.tokenizer == "wordpiece":
            return cls.of(options, _wordpieces(untrained, texts, options))
        counts = untrained.count(watched(texts, "counting tokens"))
        return cls.of(options, Vocabulary.from_counts(counts, options.vocabulary_size, options.min_count))

    def count(self, texts: Iterable[str]) -> Counter[str]:
        """How often each token is there, but for those that are cut off."""
        counts: Counter[str] = Counter()
        if self.tokenizer.words is None or self.max_length < WHOLE:
            for chunk in chunked(texts):
                counts.update(decoded(self.tokenize(chunk).flat_values))
            return counts
        for found in counted(texts, self.tokenizer.words):
            for words in chunked(found, WORDS):
                tokens = self.tokenize(tf.constant(words, tf.string))
                times: np.ndarray = np.repeat([found[word] for word in words], tokens.row_lengths().numpy())
                for token, number in zip(decoded(tokens.flat_values), times.tolist(), strict=True):
                    counts[token] += number
        return counts

    def normalize(self, texts: tf.Tensor) -> tf.Tensor:
        """Valid UTF-8 in the codec's form of Unicode."""
        return NORMALIZATIONS[self.normalization](valid(texts))

    def clean(self, texts: tf.Tensor) -> tf.Tensor:
        """`normalize`, and in lower case if so asked."""
        texts = self.normalize(texts)
        return fold_case(texts) if self.lowercase else texts

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Texts (B,) -> tokens, ragged (B, None), see `cut`."""
        return self.cut(self.tokenizer.tokenize(self.clean(texts)))

    def cut(self, tokens: tf.RaggedTensor) -> tf.RaggedTensor:
        """Tokens, ragged (B, None) -> `max_length` - 1 of each row, see `truncate`: room for the end token is left."""
        n = self.max_length - 1
        first = math.ceil(TRUNCATIONS[self.truncate] * n)
        if first == n:
            return tokens[:, :n]
        lengths = tokens.row_lengths()
        place = tf.ragged.range(lengths).values
        left = (place < first) | (place >= tf.repeat(lengths, lengths) - (n - first))
        return tf.ragged.boolean_mask(tokens, tokens.with_values(left))

    def lengths(self, texts: tf.Tensor) -> tf.Tensor:
        """Texts (B,) -> their tokens (B,), the end token and those that are cut off included."""
        return self.tokenizer.tokenize(self.clean(texts)).row_lengths() + 1

    def encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Texts (B,) -> ids with the end token, ragged (B, None)."""
        return append(self.vocabulary.ids(self.tokenize(texts)), END)

    def encode_tokens(self, tokens: tf.RaggedTensor) -> tf.RaggedTensor:
        """Tokens, ragged (B, None) -> ids with the end token, ragged (B, None)."""
        tokens = self.cut(tokens)
        return append(self.vocabulary.ids(tokens.with_flat_values(self.clean(tokens.flat_values))), END)

    def with_unknown(self, ids: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Ids of any shape, some of tokens that were seen once replaced by `<unk>`, so that a training learns it [1].

        A training has an id for every word that it reads, and would not meet an unknown one before it is asked.

        References:
            [1] Lample et al. 2016, arXiv:1603.01360, section 4.1: singletons with probability 0.5.
        """
        rare = ids >= self.vocabulary.first_seen_once
        chosen = random.random(np.count_nonzero(rare)) < self.unknown_share
        ids = ids.copy()
        ids[rare] = np.where(chosen, UNKNOWN, ids[rare])
        return ids

    def are_tokens(self, words: Sequence[str]) -> np.ndarray:
        """Whether a text may be cut into each of the words, as it is written: booleans (N,)."""
        texts = tf.constant(words, tf.string)
        found = self.tokenizer.tokenize(self.clean(texts))
        whole = tf.equal(found.row_lengths(), 1)
        same = tf.equal(tf.ragged.boolean_mask(found, whole).flat_values, texts[whole])
        return tf.tensor_scatter_nd_update(whole, tf.where(whole), same).numpy()

    def with_words(self, words: Sequence[str]) -> Self:
        """This codec with more tokens, none of which it has; they come before the tokens that were seen once."""
        config, at = self.get_config(), self.vocabulary.first_seen_once
        tokens = config["vocabulary"]
        return self.from_config({**config, "vocabulary": [*tokens[:at], *words, *tokens[at:]]})

    def decode(self, ids: tf.Tensor, unknown: tf.Tensor | None = None) -> tf.Tensor:
        """Ids (B, L), padding and special tokens anywhere -> texts (B,). Arguments: see `written`."""
        return self.tokenizer.detokenize(self.written(ids, unknown))

    def written(self, ids: tf.Tensor, unknown: tf.Tensor | None = None) -> tf.RaggedTensor:
        """Ids (B, L), padding and special tokens anywhere -> tokens, ragged (B, None).

        Args:
            unknown: What stands for unknown tokens, strings (B, L); `<unk>` if left out.
        """
        is_unknown = tf.equal(ids, UNKNOWN)
        real = tf.logical_or(ids >= len(SPECIAL_TOKENS), is_unknown)
        if unknown is None:
            return self.vocabulary.lookup(tf.ragged.boolean_mask(ids, real))
        return tf.ragged.boolean_mask(tf.where(is_unknown, unknown, self.vocabulary.lookup(ids)), real)

    def respaced(self, texts: Sequence[str]) -> np.ndarray:
        """Texts cut into tokens, none too many, and joined again: strings (N,)."""
        tokens = (self.tokenizer.tokenize(self.clean(tf.constant(chunk, tf.string))) for chunk in chunked(texts))
        return np.concatenate([self.tokenizer.detokenize(each).numpy() for each in tokens])

    def get_config(self) -> dict[str, Any]:
        return {
            "tokenizer": self.name,
            "vocabulary": self.vocabulary.tokens,
            "seen_once": self.vocabulary.seen_once,
            "lowercase": self.lowercase,
            "max_length": self.max_length,
            "normalization": self.normalization,
            "unknown_share": self.unknown_share,
            "truncate": self.truncate,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        if "normalization" not in config:
            raise InputError(
                "A saved model must say how its texts are normalized; train it anew with the options in its "
                "config.toml. Received: a model from before there was `normalization`"
            )
        config = dict(config)
        return cls(vocabulary=Vocabulary(config.pop("vocabulary"), config.pop("seen_once")), **config)


def _wordpieces(codec, texts, options):
    """The vocabulary of a codec of word pieces."""
    words = Codec("words", codec.vocabulary, codec.lowercase, normalization=codec.normalization)
    counts = words.count(watched(texts, "counting words"))
    asked, min_count = options.vocabulary_size, max(options.min_count, TWICE)
    vocabulary = Vocabulary(learn_wordpieces(counts, asked or WORDPIECES, SPECIAL_TOKENS, min_count))
    if asked is not None and len(vocabulary) < asked:
        received = f"vocabulary_size={asked}"
        say(f"Only {len(vocabulary):,} word pieces, for {received}: no others are seen {min_count} times.")
    return vocabulary


def append(rows: tf.RaggedTensor, token: int | str) -> tf.RaggedTensor:
    """Ragged rows (B, None) with one more token at the end of each."""
    # In a few operations, where tf.concat has a hundred: each costs time in every request.
    count, number = tf.size(rows.values), tf.range(rows.nrows(tf.int32) + 1)
    splits = tf.cast(rows.row_splits, tf.int32) + number
    is_new = tf.scatter_nd(splits[1:, None] - 1, tf.ones_like(number[1:]), [count + number[-1]])
    places = tf.where(is_new > 0, count, tf.cumsum(1 - is_new) - 1)
    values = tf.gather(tf.concat([rows.values, [tf.constant(token, rows.dtype)]], axis=0), places)
    return tf.RaggedTensor.from_row_splits(values, tf.cast(splits, tf.int64), validate=False)


def shifted(targets: tf.RaggedTensor) -> tf.RaggedTensor:
    """`y_1 … y_n </s>` in each row -> `<s> y_1 … y_n`."""
    before = tf.concat([[END], targets.values[:-1]], axis=0)  # `</s>` is nowhere but at the end of a row
    return targets.with_values(tf.where(tf.equal(before, END), START, before)[: tf.size(targets.values)])


def dense(ids: tf.RaggedTensor) -> tf.Tensor:
    """Ragged ids -> padded ids, at least one column wide: no text at all is a batch of 0 rows, but not of 0 steps."""
    padded = ids.to_tensor()
    missing = tf.maximum(1 - tf.shape(padded)[1], 0)
    return tf.pad(padded, [[0, 0], [0, missing]] + [[0, 0]] * (padded.shape.rank - 2))


def decoded(tokens: tf.Tensor | np.ndarray) -> list[str]:
    """A tensor or array of strings (N,) -> strings."""
    return [token.decode() for token in np.asarray(tokens).tolist()]


def chunked(items: Iterable, size: int = CHUNK) -> Iterator[list]:
    """Lists of at most `size` items."""
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk
