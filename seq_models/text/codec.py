"""Texts to ids and back: a tokenizer with its vocabulary."""

from collections import Counter
from itertools import islice

import tensorflow as tf

from seq_models.text import tokenizers
from seq_models.text.progress import watched
from seq_models.text.vocabulary import END, SPECIAL_TOKENS, START, UNKNOWN, Vocabulary

TOKENIZERS = {
    "whitespace": lambda vocabulary: tokenizers.WhitespaceTokenizer(),  # noqa: ARG005
    "words": lambda vocabulary: tokenizers.WordTokenizer(),  # noqa: ARG005
    "chars": lambda vocabulary: tokenizers.CharTokenizer(),  # noqa: ARG005
    "wordpiece": lambda vocabulary: tokenizers.WordpieceTokenizer(vocabulary.tokens),
}
CHUNK = 1024  # texts that are tokenized at once


class Codec:
    """Encodes texts as ids that end with `</s>`, decodes ids as texts.

    Args:
        tokenizer: "whitespace", "words", "chars" or "wordpiece".
        vocabulary: A `Vocabulary`.
        lowercase: Fold the texts to lower case first.
        max_length: The largest number of ids of a text, the end token included; what comes after is cut off.
    Raises:
        ValueError: If the tokenizer has another name or `max_length` is below 2.
    """

    def __init__(self, tokenizer, vocabulary, lowercase=False, max_length=512):
        if tokenizer not in TOKENIZERS:
            raise ValueError(f"tokenizer must be one of {', '.join(TOKENIZERS)}. Received: tokenizer={tokenizer!r}")
        if max_length < 2:
            raise ValueError(f"max_length must be at least 2. Received: max_length={max_length!r}")
        self.name, self.vocabulary = tokenizer, vocabulary
        self.lowercase, self.max_length = lowercase, max_length
        self.tokenizer = TOKENIZERS[tokenizer](vocabulary)

    @classmethod
    def train(cls, texts, tokenizer="words", vocabulary_size=None, min_count=1, lowercase=False, max_length=512):
        """Builds the vocabulary from an iterable of texts (str).

        Args:
            texts: Any iterable that can be read twice.
            vocabulary_size: The largest number of tokens, the special ones included; all by default, 8,000 word pieces.
            min_count: How often a token must be seen to get an id of its own.
            tokenizer, lowercase, max_length: See `Codec`.
        """
        untrained = cls(tokenizer, Vocabulary(SPECIAL_TOKENS), lowercase, max_length)
        if tokenizer == "wordpiece":
            chunks = (untrained.clean(chunk) for chunk in watched(chunked(texts), "counting words"))
            vocabulary = Vocabulary(tokenizers.train_wordpieces(chunks, vocabulary_size or 8000, SPECIAL_TOKENS))
        else:
            counts = Counter()
            for chunk in watched(chunked(texts), "counting tokens"):
                counts.update(untrained.tokenize(chunk).flat_values.numpy().tolist())
            counts = {token.decode(): count for token, count in counts.items()}
            vocabulary = Vocabulary.from_counts(counts, vocabulary_size, min_count)
        return cls(tokenizer, vocabulary, lowercase, max_length)

    def clean(self, texts):
        """Valid UTF-8, in lower case if so asked."""
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        return tf.strings.lower(texts, encoding="utf-8") if self.lowercase else texts

    def tokenize(self, texts):
        """Texts (B,) -> tokens, ragged (B, None), cut to `max_length` - 1."""
        return self.tokenizer.tokenize(self.clean(texts))[:, : self.max_length - 1]

    def encode(self, texts):
        """Texts (B,) -> ids with the end token, ragged (B, None)."""
        return append(self.vocabulary.ids(self.tokenize(texts)), END)

    def encode_tokens(self, tokens):
        """Tokens, ragged (B, None) -> ids with the end token, ragged (B, None)."""
        tokens = tokens.with_values(self.clean(tokens.values))
        return append(self.vocabulary.ids(tokens[:, : self.max_length - 1]), END)

    def decode(self, ids):
        """Ids (B, L), padding and special tokens anywhere -> texts (B,)."""
        real = tf.logical_or(ids >= len(SPECIAL_TOKENS), tf.equal(ids, UNKNOWN))
        return self.tokenizer.detokenize(self.vocabulary.lookup(tf.ragged.boolean_mask(ids, real)))

    def get_config(self):
        return {
            "tokenizer": self.name,
            "vocabulary": self.vocabulary.tokens,
            "lowercase": self.lowercase,
            "max_length": self.max_length,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "vocabulary": Vocabulary(config["vocabulary"])})


def append(rows, token):
    """Ragged rows (B, None) with one more token at the end of each."""
    # In a few operations, where tf.concat has a hundred: each costs time in every request.
    count, number = tf.size(rows.values), tf.range(rows.nrows(tf.int32) + 1)
    splits = tf.cast(rows.row_splits, tf.int32) + number
    is_new = tf.scatter_nd(splits[1:, None] - 1, tf.ones_like(number[1:]), [count + number[-1]])
    places = tf.where(is_new > 0, count, tf.cumsum(1 - is_new) - 1)
    values = tf.gather(tf.concat([rows.values, [tf.constant(token, rows.dtype)]], axis=0), places)
    return tf.RaggedTensor.from_row_splits(values, tf.cast(splits, tf.int64), validate=False)


def shifted(targets):
    """`y_1 … y_n </s>` in each row -> `<s> y_1 … y_n`."""
    before = tf.concat([[END], targets.values[:-1]], axis=0)  # `</s>` is nowhere but at the end of a row
    return targets.with_values(tf.where(tf.equal(before, END), START, before)[: tf.size(targets.values)])


def dense(ids):
    """Ragged ids -> padded ids, at least one column wide: no text at all is a batch of 0 rows, but not of 0 steps."""
    padded = ids.to_tensor()
    missing = tf.maximum(1 - tf.shape(padded)[1], 0)
    return tf.pad(padded, [[0, 0], [0, missing]] + [[0, 0]] * (padded.shape.rank - 2))


def chunked(items, size=CHUNK):
    """Lists of at most `size` items."""
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk
