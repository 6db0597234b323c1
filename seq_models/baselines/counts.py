"""How often a text holds each n-gram: by sorting, in pieces, without a loop over its tokens."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from seq_models.text.vocabulary import START

PIECE = 2**20  # tokens whose n-grams are sorted at once
Tally = tuple[np.ndarray, np.ndarray]  # different keys, sorted, and how often each came


@dataclass(frozen=True)
class Ngrams:
    """The n-grams h w of one length that a text holds, M of them, sorted.

    The key of h w is (place of h among the n-grams that are one word shorter) * V + w, so the n-grams of one context h
    lie beside each other, and a key fits 64 bits whatever n is. Of length 1 it is w: all V words are there.

    Attributes:
        keys: Integers (M,), sorted.
        counts: c(h w), integers (M,); 0 for `<s>` alone, which is in contexts only.
        suffixes: Integers (M,): the place of h' w among the shorter n-grams, where h' is h without its first word.
        at_start: Booleans (M,): whether h w begins with `<s>`.
        vocabulary_size: V.
    """

    keys: np.ndarray
    counts: np.ndarray
    suffixes: np.ndarray
    at_start: np.ndarray
    vocabulary_size: int

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def contexts(self) -> np.ndarray:
        """The place of h among the shorter n-grams, integers (M,)."""
        return self.keys // self.vocabulary_size

    def sums(self, values: np.ndarray, contexts: int) -> np.ndarray:
        """Σ_w values(h w) for each of so many contexts h: floats (contexts,)."""
        return np.bincount(self.contexts, values, minlength=contexts)


def count_ngrams(ids: np.ndarray, order: int, vocabulary_size: int) -> list[Ngrams]:
    """The n-grams of each length n from 1 to `order`, or to that of the longest one that there is.

    No n-gram goes beyond a text: the first ones of a text are shorter than `order`, and begin with `<s>`.

    Args:
        ids: The texts one after the other, `<s> w_1 … w_m </s>` each, integers (N,).
        order: The largest n.
        vocabulary_size: V; ids are below it.
    """
    found = [_words(ids, vocabulary_size)]
    places = ids  # of the n-gram that ends at each token; -1 where the text is too short for one
    for _ in range(1, order):
        pieces = functools.partial(_keys, ids, places, vocabulary_size)
        keys, counts = tally(part[part >= 0] for part in pieces())
        if not len(keys):
            break
        places = np.concatenate([_places(keys, part) for part in pieces()])
        found.append(_longer(found[-1], keys, counts))
    return found


def tally(pieces: Iterable[np.ndarray]) -> Tally:
    """How often each key comes in all pieces together, in memory for the different ones of them."""
    runs: list[Tally] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for piece in pieces:
        runs.append(_merged([(piece, np.ones_like(piece))]))
        while len(runs) > 1 and len(runs[-2][0]) <= 2 * len(runs[-1][0]):  # each key is merged a few times only
            runs[-2:] = [_merged(runs[-2:])]
    return _merged(runs)


def _merged(runs: list[Tally]) -> Tally:
    keys, counts = map(np.concatenate, zip(*runs, strict=True))
    order = np.argsort(keys, kind="stable")  # quick where sorted runs follow each other
    keys = keys[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))  # of equal ones; keys are 0 or more
    return keys[first], np.add.reduceat(counts[order], first) if len(first) else first


def _words(ids, V):
    """The 1-grams; the place before any word is 0, that of the empty context."""
    counts = np.bincount(ids, minlength=V)
    counts[START] = 0
    return Ngrams(np.arange(V), counts, np.zeros(V, np.int32), np.arange(V) == START, V)


def _keys(ids: np.ndarray, places: np.ndarray, V: int) -> Iterator[np.ndarray]:
    """The keys of the n-grams that end at each token, or -1, in pieces; `places` are those of the shorter n-grams."""
    for start in range(0, len(ids), PIECE):
        w = ids[start : start + PIECE]
        before = places[start - 1] if start else -1
        h: np.ndarray = np.insert(places[start : start + len(w) - 1].astype(np.int64), 0, before)
        yield np.where((h >= 0) & (w != START), h * V + w, -1)


def _places(keys, wanted):
    """The places of keys that are there; -1 stays."""
    sorted_, order = np.unique(wanted, return_inverse=True)  # for a search goes on from the last one, close by
    return np.where(sorted_ >= 0, np.searchsorted(keys, sorted_), -1).astype(np.int32)[order]


def _longer(shorter, keys, counts):
    """The n-grams of these keys, from those that are one word shorter."""
    V = shorter.vocabulary_size
    suffixes, at_start = [], []
    for start in range(0, len(keys), PIECE):
        h, w = np.divmod(keys[start : start + PIECE], V)
        suffixes.append(_places(shorter.keys, shorter.suffixes[h].astype(np.int64) * V + w))
        at_start.append(shorter.at_start[h])
    return Ngrams(keys, counts.astype(np.int32), np.concatenate(suffixes), np.concatenate(at_start), V)
