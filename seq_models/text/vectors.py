"""Vectors of words in text files, as GloVe, word2vec and fastText write them: found for a vocabulary, and written.

A line is a word and its numbers, with a space before each. A first line of two integers, the count of the vectors and
their size, is a header: word2vec and fastText write one, GloVe does not. A word may hold spaces itself, so a line is
cut from its right. A file is read as a stream: what stays in memory are the rows of the vocabulary.
"""

import itertools
import re
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from seq_models.errors import InputError, path_of
from seq_models.files import written_whole
from seq_models.messages import say
from seq_models.text.codec import chunked
from seq_models.text.lines import Line, Lines, decoded_lines, open_bytes, unexpected
from seq_models.text.progress import watched
from seq_models.text.vocabulary import PAD, SPECIAL_TOKENS

HEADER = re.compile(r"([0-9]+) ([0-9]+) *")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
MISSING, LOWER_CASED, EXACT = range(3)  # how a token was found


class Vectors(NamedTuple):
    """The vectors of a vocabulary that a file has.

    Attributes:
        path: The file.
        rows: Floats (V, E), 0 where there is none.
        found: How the token of each row was found, integers (V,): `MISSING`, `LOWER_CASED` or `EXACT`.
        more: Words of the file that are no token of the vocabulary, and their rows, floats (N, E).
        mean, deviation: Those of each number, over all vectors of the file: floats (E,).
    """

    path: Path
    rows: np.ndarray
    found: np.ndarray
    more: tuple[list[str], np.ndarray]
    mean: np.ndarray
    deviation: np.ndarray

    @property
    def size(self) -> int:
        """E."""
        return len(self.mean)

    def coverage(self) -> dict[str, int]:
        """How many words of the vocabulary were found, and how, and how many words were added."""
        exact, lower_cased, missing = (
            int(np.count_nonzero(self.found[len(SPECIAL_TOKENS) :] == how)) for how in (EXACT, LOWER_CASED, MISSING)
        )
        return {"exact": exact, "lower_cased": lower_cased, "missing": missing, "added": len(self.more[0])}

    def table(self, draw: Callable[[tuple[int, int]], np.ndarray], at: int) -> np.ndarray:
        """Floats (V + N, E): the rows, those of the added words from the place `at` on.

        A token that was not found starts as mean + deviation * draw: random, and as if it were one of the vectors,
        which is better than small numbers [1, section 5], [2].

        Args:
            draw: From a shape to draws of the standard normal distribution.
            at: The first id of the added words.
        References:
            [1] Kim 2014, arXiv:1408.5882, who draws with the variance of the vectors. [2] Hewitt 2021, Initializing New
            Word Embeddings for Pretrained Language Models, who draws with their mean and covariance.
        """
        table = np.concatenate([self.rows[:at], self.more[1], self.rows[at:]])
        found = np.concatenate([self.found[:at], np.full(len(self.more[0]), EXACT), self.found[at:]])
        (missing,) = np.nonzero(found == MISSING)
        table[missing] = self.mean + self.deviation * draw((len(missing), self.size))
        return table


def find_vectors(
    path: str | Path,
    tokens: Sequence[str],
    form: str = "none",
    most: int = 0,
    are_tokens: Callable[[list[str]], ArrayLike] | None = None,
) -> Vectors:
    """Reads a file once; a token's vector is that of the same word, or else that of the token in lower case.

    Args:
        path: The file; compressed if its name ends in `.gz`.
        tokens: Those of a vocabulary, the special ones among them.
        form: Of Unicode, as the tokens have it and words are brought into: "nfc", "nfkc" or "none".
        most: How many of the first words of the file that are no tokens are kept too, at most.
        are_tokens: Which words could be tokens; only these are kept.
    Raises:
        InputError: If it is no such file, or a line is not what it should be; names its place.
    """
    size, first, blocks = _opened(path_of("vectors", path))
    search = _Search(tokens, size, form, most, are_tokens)
    sums, squares = np.zeros((2, size))
    keys = array("q")
    for words, rows in watched(blocks, "reading vectors"):
        words = [normalized(word, form) for word in words]
        keys.extend(map(hash, words))
        sums, squares = sums + rows.sum(axis=0, dtype=float), squares + np.square(rows, dtype=float).sum(axis=0)
        search.add(words, rows)
    _say_duplicates(path, first, np.array(keys))
    mean = sums / len(keys)
    deviation = np.sqrt(np.maximum(squares / len(keys) - mean**2, 0))
    more = np.array(list(search.more.values()), np.float32).reshape(-1, size)
    return Vectors(Path(path), search.rows, search.found, (list(search.more), more), mean, deviation)


class _Search:
    """What is looked for in a file, and what was found so far."""

    def __init__(
        self,
        tokens: Sequence[str],
        size: int,
        form: str,
        most: int,
        are_tokens: Callable[[list[str]], ArrayLike] | None,
    ):
        self.most, self.are_tokens = most, are_tokens or (lambda words: [True] * len(words))
        self.ids = {token: id_ for id_, token in enumerate(tokens)}
        self.lowered: dict[str, list[int]] = defaultdict(list)
        for id_, token in enumerate(tokens[len(SPECIAL_TOKENS) :], len(SPECIAL_TOKENS)):
            if (lower := normalized(token.lower(), form)) != token:
                self.lowered[lower].append(id_)
        self.found: np.ndarray = np.full(len(tokens), MISSING, np.int8)
        self.rows: np.ndarray = np.zeros((len(tokens), size), np.float32)
        self.more: dict[str, np.ndarray] = {}

    def add(self, words: list[str], rows: np.ndarray) -> None:
        """Takes what is looked for out of a block; of equal words the first one counts."""
        others: dict[str, np.ndarray] = {}
        for word, row in zip(words, rows, strict=True):
            id_ = self.ids.get(word)
            if id_ is None:
                others.setdefault(word, row)
            else:
                self._keep(id_, row, EXACT)
            for id_ in self.lowered.get(word, ()):
                self._keep(id_, row, LOWER_CASED)
        if len(self.more) < self.most:
            names = [word for word in others if word not in self.more]
            fit = itertools.compress(names, np.asarray(self.are_tokens(names)))
            self.more |= {word: others[word].copy() for word in itertools.islice(fit, self.most - len(self.more))}

    def _keep(self, id_, row, how):
        if how > self.found[id_]:
            self.rows[id_], self.found[id_] = row, how


def vector_size(path: str | Path) -> int:
    """How many numbers a vector of a file has. Raises: see `find_vectors`."""
    return _opened(path_of("vectors", path))[0]


def normalized(word: str, form: str) -> str:
    """A word in a form of Unicode; "none" leaves it as it is."""
    return word if form == "none" or word.isascii() else unicodedata.normalize(form.upper(), word)  # type: ignore[arg-type]


def write_vectors(path: str | Path, tokens: Sequence[str], rows: np.ndarray) -> None:
    """Writes vectors with a header, as word2vec and fastText do: those of all tokens but padding, to the last bit.

    Args:
        path: A new file.
        tokens: V strings.
        rows: Floats of 32 bits (V, E).
    Raises:
        InputError: If the file is there, or a token holds the end of a line.
    """
    path = path_of("out", path)
    if path.suffix not in (".vec", ".txt") or path.exists():
        received = f"{path}, which is there" if path.exists() else path
        raise InputError(f"Vectors must go to a new file, .vec or .txt. Received: {received}")
    if broken := [token for token in tokens if "\n" in token]:
        raise InputError(f"A token must stand on a line by itself. Received: {broken[0]!r}")
    numbers = " %.9g" * rows.shape[1] + "\n"
    with written_whole(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        file.write(f"{len(tokens) - 1} {rows.shape[1]}\n")
        for id_, (token, row) in enumerate(zip(tokens, rows.tolist(), strict=True)):
            if id_ != PAD:
                file.write(token + numbers % tuple(row))


def _opened(path: Path) -> tuple[int, int, Iterator[tuple[list[str], np.ndarray]]]:
    """The size of the vectors of a file, the number of its first line with one, and blocks of words and their rows."""
    if ".bin" in path.suffixes[-2:]:
        raise unexpected(
            path,
            "vectors as text; gensim's KeyedVectors.load_word2vec_format(FILE, binary=True)"
            ".save_word2vec_format(TEXT) makes it of word2vec's binary format",
            ".bin",
            quote=False,
        )
    lines = _lines(path)
    head = next(lines, None)
    header = HEADER.fullmatch(head.text) if head else None
    first = next(lines, None) if header else head
    if head is None or first is None:
        raise unexpected(path, "a word and its numbers in each line", "no such line", quote=False)
    pieces = first.text.rstrip(" ").split(" ")
    size = sum(1 for _ in itertools.takewhile(NUMBER.fullmatch, reversed(pieces[1:])))
    if size == 0:
        raise unexpected(first.place, "a word and its numbers, with a space before each", first.text)
    if header and size != int(header[2]):
        expected = f"a header with the count of the vectors and their size, {size} in the next line"
        raise unexpected(head.place, expected, head.text)
    return size, first.number, _blocks(head, header, itertools.chain([first], lines), size)


def _lines(path: Path) -> Lines:
    with open_bytes(path) as stream:
        yield from decoded_lines(path, stream)


def _blocks(head: Line, header: re.Match | None, lines: Iterable[Line], size: int):
    count = 0
    for chunk in chunked(lines):
        count += len(chunk)
        yield _parsed(chunk, size)
    if header and count != int(header[1]):
        expected = f"a header with the count of the vectors, {count:,} in the lines below, and their size"
        raise unexpected(head.place, expected, head.text)


def _parsed(lines: Sequence[Line], size: int) -> tuple[list[str], np.ndarray]:
    """Lines -> words and their rows, floats of 32 bits (N, E)."""
    words, numbers = map(list, zip(*(_cut(line, size) for line in lines), strict=True))
    try:
        rows = np.loadtxt(numbers, np.float32, comments=None, delimiter=" ", ndmin=2)
        if np.isfinite(rows).all():
            return words, rows
    except ValueError:  # said with its place
        pass
    for line, each in zip(lines, numbers, strict=True):
        for number in each.split(" "):
            if not NUMBER.fullmatch(number) or not np.isfinite(_float(number)):
                raise unexpected(line.place, f"{size} numbers after the word, finite as 32 bits", number)
    raise unexpected(lines[0].place, f"{size} numbers after the word, here and in the lines below", lines[0].text)


def _float(number: str) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(float(number))


def _cut(line: Line, size: int) -> tuple[str, str]:
    """A line -> its word, and its numbers as they are written."""
    text = line.text.rstrip(" ")  # fastText ends a line with a space
    more = text.count(" ") - size
    if more == 0:
        word, _, numbers = text.partition(" ")
        return word, numbers
    word, *pieces = text.rsplit(" ", size)
    others = [piece for piece in word.split(" ")[1:] if piece]
    if more < 0 or others and all(map(NUMBER.fullmatch, others)) or word.strip(" ") and word.endswith(" "):
        expected = f"a word and {size} numbers, with a space before each"
        raise unexpected(line.place, expected, f"{text.count(' ')} spaces: {text}")
    return word, " ".join(pieces)


def _say_duplicates(path: str | Path, first: int, keys: np.ndarray) -> None:
    """Says how many words come again in a file, given a number for each word: as good as never equal by chance."""
    _, places = np.unique(keys, return_index=True)
    if again := len(keys) - len(places):
        line = first + int(np.setdiff1d(np.arange(len(keys)), places)[0])
        s = "" if again == 1 else "s"
        say(f"{path}:{line}: a word that is there before; its first vector counts ({again:,} such line{s} in all).")
