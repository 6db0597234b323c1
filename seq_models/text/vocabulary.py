"""Tokens and their ids."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

import tensorflow as tf

from seq_models.errors import InputError

PAD, UNKNOWN, START, END = range(4)
SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")


class Vocabulary:
    """A list of tokens; the place of a token is its id. The special tokens come first.

    Args:
        tokens: All tokens, starting with `SPECIAL_TOKENS`, none twice.
        seen_once: How many of the last ones were seen once where the vocabulary was learned.
    Raises:
        InputError: If the special tokens are not where they belong or a token comes twice.
    """

    def __init__(self, tokens: Iterable[str], seen_once: int = 0):
        self.tokens, self.seen_once = list(tokens), seen_once
        if tuple(self.tokens[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
            raise InputError(f"A vocabulary must start with {SPECIAL_TOKENS}. Received: {self.tokens[:4]}")
        twice = [token for token, count in Counter(self.tokens).items() if count > 1]
        if twice:
            raise InputError(f"A vocabulary must hold each token once. Received twice: {twice[:5]}")
        with tf.init_scope():  # outside of any graph that may be under construction
            tokens, ids = tf.constant(self.tokens, tf.string), tf.range(len(self.tokens), dtype=tf.int64)
            pairs = tf.lookup.KeyValueTensorInitializer
            self.tables = _tables(pairs(tokens, ids), pairs(ids, tokens))

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], size: int | None = None, min_count: int = 1) -> Self:
        """The most frequent tokens: at most `size` with the special ones, each seen `min_count` times or more."""
        counts = {token: count for token, count in counts.items() if count >= min_count and token not in SPECIAL_TOKENS}
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        kept = ranked[: None if size is None else max(size - len(SPECIAL_TOKENS), 0)]
        return cls([*SPECIAL_TOKENS, *kept], seen_once=sum(counts[token] == 1 for token in kept))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a file of one token a line."""
        return cls(Path(path).read_text("utf-8").removesuffix("\n").split("\n"))

    def save(self, path: str | Path) -> None:
        """Writes one token a line.

        Raises:
            InputError: If a token holds the end of a line.
        """
        broken = [token for token in self.tokens if "\n" in token or "\r" in token]
        if broken:
            raise InputError(f"A token must stand on a line by itself. Received: {broken[0]!r}")
        Path(path).write_text("\n".join(self.tokens) + "\n", "utf-8")

    @contextlib.contextmanager
    def kept_in(self, path: str | Path) -> Iterator[None]:
        """Within it, the tables are those of a file, which a SavedModel takes with it: the graph holds no token."""
        memory = self.tables
        self.save(path)
        line, whole = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
        self.tables = _tables(
            tf.lookup.TextFileInitializer(str(path), tf.string, whole, tf.int64, line),
            tf.lookup.TextFileInitializer(str(path), tf.int64, line, tf.string, whole),
        )
        try:
            yield
        finally:
            self.tables = memory

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def first_seen_once(self) -> int:
        """The id from which on tokens were seen once."""
        return len(self) - self.seen_once

    def ids(self, tokens: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        """Ids of a tensor of strings of any shape, ragged or not; unknown tokens get the id of `<unk>`.

        A text cannot name padding, start or end: a token written like one of them is unknown.
        """

        def ids(tokens):
            found = tf.cast(self.tables[0].lookup(tokens), tf.int32)
            return tf.where(found < len(SPECIAL_TOKENS), UNKNOWN, found)

        return tf.ragged.map_flat_values(ids, tokens)

    def lookup(self, ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        """Tokens of a tensor of ids of any shape, ragged or not."""
        return self.tables[1].lookup(tf.cast(ids, tf.int64))


def _tables(ids, tokens):
    """From tokens to ids, and back."""
    return tf.lookup.StaticHashTable(ids, UNKNOWN), tf.lookup.StaticHashTable(tokens, SPECIAL_TOKENS[UNKNOWN])
