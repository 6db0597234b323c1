"""How often each word of a large text is there, counted by arrays and not one by one.

A word is here what no tokenizer looks beyond: it is cut into the same tokens in its text as by itself. So each word
has to be cut once, however often it comes.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 2**19  # characters that are worked on at once: the arrays of their words stay in the processor's caches
WORDS = 2**19  # different words that are held at once
SLOTS_BITS = 18
LONGEST = 16  # bytes of a word that has a slot, two numbers of 64 bits
SPACE = b" \t\n\v\f\r"
FIRST_HAN, LAST_HAN = "\u4e00", "\u9f7f"  # none of them has another form, or joins what stands beside it

_SPACE = re.compile(f"[{SPACE.decode()}]")
_SPACE_OR_HAN = re.compile(f"[{SPACE.decode()}]|(?<=[{FIRST_HAN}-{LAST_HAN}])(?=[{FIRST_HAN}-{LAST_HAN}])")
_IS_SPACE = bytes(byte in SPACE for byte in range(256))
_MAY_BE_HAN = bytes(0xE4 <= byte <= 0xE9 for byte in range(256))
_HAN = range(0xE4B8, 0xE9BE)  # the first two bytes of those characters in UTF-8
_FILL = np.array([2**64 - 2 ** (8 * size) for size in range(9)], "<u8")  # with 0xFF, which is no byte of UTF-8
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Words:
    """Words as white space parts them, that of ASCII: a tokenizer that cuts at more cuts the words.

    Args:
        between_han: A word also ends between two Han characters.
    """

    between_han: bool = False

    def blocks(self, texts: Iterable[str]) -> Iterator[str]:
        """The words of texts, white space between them, some of them at once; a long text is cut between two words."""
        for some in together(texts):
            yield from self.cut("\n".join(some))

    def cut(self, text: str) -> Iterator[str]:
        """A text, in parts if it is long."""
        border, start = _SPACE_OR_HAN if self.between_han else _SPACE, 0
        while len(text) - start > 2 * BLOCK and (found := border.search(text, start + BLOCK)):
            yield text[start : found.start()]
            start = found.start()
        yield text[start:]

    def places(self, text: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Where each word begins and ends, integers (N,): of UTF-8 with white space before and after it."""
        space = np.frombuffer(text.translate(_IS_SPACE), bool)
        begins, ends = space[:-1] & ~space[1:], ~space[:-1] & space[1:]  # at the byte after
        if self.between_han:
            begins[joints := _between_han(text) - 1] = True
            ends[joints] = True
        return np.flatnonzero(begins) + 1, np.flatnonzero(ends) + 1


class WordCounts:
    """How often each word is there.

    A frequent word has a slot in a table, found by all words of a block at once: a word of up to 16 bytes is two
    numbers of 64 bits, which are the word itself, so that none is taken for another. The others are counted one by one.

    Args:
        words: What a word is.
    """

    def __init__(self, words: Words):
        self.words = words
        self._slots = np.full((2, 2**SLOTS_BITS), _FILL[0])  # the word of each
        self._counts = np.zeros(2**SLOTS_BITS, np.int64)
        self._others: Counter[bytes] = Counter()

    def __len__(self) -> int:
        """How many different words were counted one by one."""
        return len(self._others)

    def add(self, text: str) -> None:
        """Counts the words of a text."""
        raw = b" " + text.encode() + b" " * LONGEST
        starts, ends = self.words.places(raw)
        lengths = ends - starts
        first, second = _numbers(raw, starts, lengths)
        slots = _hashed(first, second)
        found = (self._slots[0][slots] == first) & (self._slots[1][slots] == second) & (lengths <= LONGEST)
        self._counts += np.bincount(slots[found], minlength=len(self._counts))
        others = np.flatnonzero(~found)
        self._others.update([raw[a:b] for a, b in zip(starts[others].tolist(), ends[others].tolist(), strict=True)])
        new = others[(self._slots[0][slots[others]] == _FILL[0]) & (lengths[others] <= LONGEST)]
        self._slots[:, slots[new]] = first[new], second[new]  # of two with one slot the last one has it

    def take(self) -> dict[bytes, int]:
        """All counts so far; afterwards there are none."""
        used = np.flatnonzero(self._counts)
        for word, count in zip(self._slots[:, used].T, self._counts[used].tolist(), strict=True):
            self._others[word.tobytes().rstrip(b"\xff")] += count
        counts, self._others = self._others, Counter()
        self._counts[:] = 0
        return counts


def together(items: Iterable[Any], size: Callable[[Any], int] = len) -> Iterator[list]:
    """Lists of items, each of about `BLOCK` characters or of one item that is longer.

    Args:
        size: The characters of an item.
    """
    some, characters = [], 0
    for item in items:
        some.append(item)
        characters += size(item)
        if characters >= BLOCK:
            yield some
            some, characters = [], 0
    if some:
        yield some


def counted(texts: Iterable[str], words: Words) -> Iterator[dict[bytes, int]]:
    """How often each word of texts is there: one dictionary, or several that must be added up if it grows too large.

    The texts are read while the words of those before are counted.
    """
    counts = WordCounts(words)
    with ThreadPoolExecutor(1) as counting:
        begun: Future | None = None
        for block in words.blocks(texts):
            if begun is not None:
                begun.result()
                if len(counts) >= WORDS:
                    yield counts.take()
            begun = counting.submit(counts.add, block)
    if begun is not None:
        begun.result()
    yield counts.take()


def _between_han(text):
    """Where a Han character begins after another one, integers."""
    places = np.flatnonzero(np.frombuffer(text.translate(_MAY_BE_HAN), bool))
    pairs = np.ndarray(len(text) - 1, ">u2", text, strides=(1,))[places]
    han = places[(pairs >= _HAN.start) & (pairs < _HAN.stop)]
    return han[1:][np.diff(han) == 3]


def _numbers(raw, starts, lengths):
    """Words as two numbers of 64 bits each, integers (N,): their first 16 bytes."""
    at = np.ndarray(len(raw) - 7, "<u8", raw, strides=(1,))  # the eight bytes from each byte on
    first, second = at[starts], np.full(len(starts), _FILL[0])
    short, long = np.flatnonzero(lengths < 8), np.flatnonzero(lengths > 8)
    first[short] |= _FILL[lengths[short]]
    second[long] = at[starts[long] + 8] | _FILL[np.minimum(lengths[long] - 8, 8)]
    return first, second


def _hashed(first, second):
    """A slot for each word, integers (N,)."""
    mixed = first ^ (second << np.uint64(7))
    mixed ^= mixed >> np.uint64(32)
    return ((mixed * _ODD) >> np.uint64(64 - SLOTS_BITS)).view(np.int64)
