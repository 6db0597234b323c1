"""From files to examples: one function for every format, one line at a time.

`read_examples` looks the ending up in a table of readers. A reader takes lines and yields examples; it opens nothing
and keeps nothing, so a corpus may be larger than memory.
"""

import contextlib
import csv
import functools
import glob
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seq_models.errors import InputError

Example = str | tuple[str, str] | tuple[list[str], list[str]]

PAIR_NAMES = (("text", "label"), ("source", "target"))
CONLLU_FIELDS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")

_RECEIVED_LENGTH = 60
_BLANKS = re.compile("[ \t]+")
_WORD_ID = re.compile("[0-9]+")
_SKIPPED_ID = re.compile(r"[0-9]+[-.][0-9]+")


class Line(NamedTuple):
    """A decoded line and where it stands."""

    path: Path
    number: int
    text: str

    @property
    def place(self) -> str:
        """`file:line`, as editors and terminals open it."""
        return f"{self.path}:{self.number}"


Lines = Iterator[Line]
Found = Iterator[tuple[Example, Line]]
Records = Iterator[tuple[Line, list[str]]]
Columns = tuple[str, str]


class Part:
    """The examples of one file, or of two parallel ones, read again from the start by every `iter()`.

    Args:
        paths: One path, or two.
        reader: From the lines of each path to examples, each with the line it starts at.
    """

    def __init__(self, paths: tuple[Path, ...], reader: Callable[..., Found]):
        self.paths = paths
        self._reader = reader

    def __iter__(self) -> Iterator[Example]:
        with contextlib.closing(self._read()) as found:
            for example, _ in found:
                yield example

    def located(self) -> Iterator[tuple[Example, str]]:
        """See `Examples.located`."""
        with contextlib.closing(self._read()) as found:
            for example, line in found:
                yield example, line.place

    def _read(self) -> Found:
        # Files are opened here and nowhere else, so closing this generator closes them, whatever the reader does.
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(_open(path)) for path in self.paths]
            line = None
            for example, line in self._reader(*map(_lines, self.paths, streams)):
                yield example, line
        if line is None:
            raise _error(f"{self.paths[0]}:1", "at least one example", "none in the whole file", quote=False)


class Examples:
    """The examples of files, read again from the start by every `iter()`, file after file.

    Made by `read_examples`. Nothing is kept between or during iterations but the example at hand.

    Attributes:
        parts: A `Part` for each file, or for each pair of parallel ones.
        cache: Where what was found in them is kept; None for nowhere.

    Raises:
        InputError: While iterating, at the first line that is not what was expected, or if a file has no example.

    Example:
        >>> examples = read_examples("train.txt")
        >>> list(examples) == list(examples)
        True
    """

    def __init__(self, parts: tuple[Part, ...], columns: Columns | None = None, cache: str | Path | None = None):
        self.parts = parts
        self.cache = cache
        self._columns = columns

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return tuple(path for part in self.parts for path in part.paths)

    def __iter__(self) -> Iterator[Example]:
        for part in self.parts:
            yield from part

    def located(self) -> Iterator[tuple[Example, str]]:
        """Yield every example with the `file:line` it starts at.

        Returns:
            An iterator of `(example, place)`; of two parallel files, the place is in the first.
        Raises:
            InputError: While iterating, at the first line that is not what was expected.

        Example:
            >>> for (text, label), place in read_examples("train.tsv").located():
            ...     print(place, label)
        """
        for part in self.parts:
            yield from part.located()

    def fingerprint(self) -> list:
        """Plain values that are others when a file is another: path, size and time of the last change of each."""
        files = []
        for path in self.paths:
            try:
                status = path.stat()
            except OSError as error:
                raise _error(path, "a file that can be read", error.strerror, quote=False) from error
            files.append([str(path.resolve()), status.st_size, status.st_mtime_ns])
        return [files, self._columns]

    def __repr__(self) -> str:
        arguments = [repr(str(path)) for path in self.paths]
        if self._columns is not None:
            arguments.append(f"columns={self._columns!r}")
        return f"Examples({', '.join(arguments)})"


def read_examples(
    path: str | Path, *more: str | Path, columns: Columns | None = None, cache: str | Path | None = None
) -> Examples:
    """Read a corpus; the ending of the file names says how.

    | file | example |
    |---|---|
    | `.txt`, a sentence a line, blank lines skipped | `str` |
    | `.tsv` (no quoting at all), `.csv`, `.jsonl` (an object a line) | `(text, label)` or `(source, target)` |
    | `.conllu` | `(tokens, tags)`: FORM and UPOS |
    | `.conll`, `.bio`: first and last column | `(tokens, tags)` |
    | two files with other endings, as `train.en`, `train.de` | `(source, target)`: line n with line n |

    Each may be compressed: append `.gz`. Text is UTF-8; a byte order mark is dropped, a line ends with "\\n" or
    "\\r\\n" and nothing else. Texts and labels lose the whitespace around them; empty lines between them are skipped.

    A path may be a pattern, as "news-*.txt.gz" (`*`, `?`, `[…]`, and `**` for any folders): all files that match,
    sorted by name. Two patterns of parallel text, as "news-*.en" and "news-*.de", pair up their sorted files.

    A `.tsv` or `.csv` whose first line has the names text and label, or source and target, has a header: its columns
    come in any order and further ones are ignored. Just one of the four names is an error: it looks like a header with
    another name for the rest, which `columns` can give. Without a header there must be exactly two columns, in order.

    Args:
        path: The file, or a pattern.
        more: More files of the same format, or the second side of parallel text.
        columns: Which two columns to take: names in the header (which then must be there), keys of the JSON objects,
            or CoNLL-U fields such as `("FORM", "XPOS")`.
        cache: A directory in which vocabularies and counts of these files are kept, so that the files are not read for
            them again as long as they stay the same.
    Returns:
        A re-iterable of examples; see `Examples`.
    Raises:
        InputError: If no file matches, an ending is unknown or another one, a file cannot be read, or the first example
            of a file is not what was expected. What is wrong further down is raised while iterating.

    Example:
        >>> for source, target in read_examples("train.en.gz", "train.de.gz"):
        ...     print(source, "->", target)
    """
    parts = _parts([_matching(name) for name in (path, *more)])
    if columns is not None:
        columns = _checked_columns(parts[0][0][0], columns)
        parts = [(paths, functools.partial(reader, columns=columns)) for paths, reader in parts]
    examples = Examples(tuple(Part(*part) for part in parts), columns, cache)
    for part in examples.parts:
        with contextlib.closing(part.located()) as found:
            next(found)  # so that a wrong file is an error here, not minutes later in training
    return examples


def _error(place: object, expected: str, received: object, quote: bool = True) -> InputError:
    shown = repr(received) if quote else str(received)
    if len(shown) > _RECEIVED_LENGTH:
        shown = shown[: _RECEIVED_LENGTH - 1] + "…"
    return InputError(f"{place}: expected {expected}. Received: {shown}")


# Which files, which reader


def _matching(name: str | Path) -> list[Path]:
    """The file of that name, or else all that match the pattern."""
    if Path(name).exists() or not glob.has_magic(str(name)):
        return [Path(name)]
    found = sorted(path for path in map(Path, glob.glob(str(name), recursive=True)) if path.is_file())
    if not found:
        raise _error(name, "a pattern that a file matches", "no such file", quote=False)
    return found


def _ending(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix


def _parts(groups: list[list[Path]]) -> list[tuple[tuple[Path, ...], Callable[..., Found]]]:
    """From the files of each argument to the files and the reader of each part."""
    paths = [path for group in groups for path in group]
    endings = {_ending(path) for path in paths}
    if len(groups) == 1 or endings <= _READERS.keys():
        if len(endings) > 1:
            raise _error(paths[0], "files of one format", ", ".join(sorted(endings)), quote=False)
        return [((path,), _reader_of_one(path)) for path in paths]
    names = ", ".join(path.name for path in paths)
    if len(groups) != 2:
        expected = "files of one known format, or two files or patterns of parallel text"
        raise _error(paths[0], expected, f"{len(groups)} files, {names}", quote=False)
    for path in paths:
        if _ending(path) in _READERS:
            expected = f"parallel text in two files named by language, as train.en train.de, not {_ending(path)}"
            raise _error(path, expected, names, quote=False)
    sources, targets = groups
    if len(sources) != len(targets):
        counts = f"{len(sources)} and {len(targets)}"
        raise _error(paths[0], "as many files on one side of parallel text as on the other", counts, quote=False)
    return [(pair, functools.partial(_read_parallel, pair)) for pair in zip(sources, targets, strict=True)]


def _reader_of_one(path: Path) -> Callable[..., Found]:
    reader = _READERS.get(_ending(path))
    if reader is None:
        known = ", ".join(_READERS)
        expected = f"a file name that ends in one of {known}, each also with .gz, or two files of parallel text"
        raise _error(path, expected, path.name)
    return reader


def _checked_columns(path: Path, columns: Columns) -> Columns:
    ending = _ending(path)
    if ending not in _TAKE_COLUMNS:
        raise _error(path, f"columns only for {', '.join(_TAKE_COLUMNS)}", f"columns={columns!r}", quote=False)
    # A string of two characters has length 2 as well; it is no pair of names.
    is_pair = isinstance(columns, tuple | list) and len(columns) == 2
    if not is_pair or not all(isinstance(name, str) and name for name in columns):
        raise _error(path, "columns to be two names", f"columns={columns!r}", quote=False)
    return tuple(columns)


# Lines


def _open(path: Path) -> BinaryIO:
    try:
        # GzipFile hands out lines by Python code; a BufferedReader around it does so in C.
        return io.BufferedReader(gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise _error(path, "a file that can be read", error.strerror, quote=False) from error


def _lines(path: Path, stream: BinaryIO) -> Lines:
    # Bytes are split at "\n" only; text would be split at U+2028 and the like, too.
    number = 0
    try:
        for number, raw in enumerate(stream, start=1):
            yield Line(path, number, _decode(path, number, raw))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _error(f"{path}:{number + 1}", "a complete gzip file", error, quote=False) from error


def _decode(path: Path, number: int, raw: bytes) -> str:
    try:
        text = raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        invalid = raw[error.start : error.end]
        raise _error(f"{path}:{number}", f"UTF-8, also at byte {error.start} of the line", invalid) from error
    return text.removeprefix("\ufeff") if number == 1 else text


# Plain text


def _read_text(lines: Lines) -> Found:
    for line in lines:
        sentence = line.text.strip()
        if sentence:
            yield sentence, line


def _read_parallel(paths: tuple[Path, Path], sources: Lines, targets: Lines) -> Found:
    for number, (source, target) in enumerate(itertools.zip_longest(sources, targets), start=1):
        if target is None:
            raise _unequal(source, sources, paths[1], number - 1)
        if source is None:
            raise _unequal(target, targets, paths[0], number - 1)
        texts = source.text.strip(), target.text.strip()
        if all(texts):
            yield texts, source
        elif any(texts):
            filled, empty = (source, target) if texts[0] else (target, source)
            raise _error(empty.place, f"a sentence, as there is one at {filled.place}", empty.text)


def _unequal(alone: Line, rest: Lines, shorter: Path, count: int) -> InputError:
    longer_count = alone.number + sum(1 for _ in rest)
    expected = f"as many lines as in {shorter}, which has {count}, not {longer_count}"
    return _error(alone.place, expected, alone.text)


# Two columns


def _read_tsv(lines: Lines, columns: Columns | None = None) -> Found:
    records = ((line, line.text.split("\t")) for line in lines if line.text)
    return _read_table(records, "a tab", columns)


def _read_csv(lines: Lines, columns: Columns | None = None) -> Found:
    return _read_table(_csv_records(lines), "a comma", columns)


def _csv_records(lines: Lines) -> Records:
    pulled: list[Line] = []  # the lines of one record: a quoted field may hold line ends

    def texts() -> Iterator[str]:
        for line in lines:
            pulled.append(line)
            yield line.text + "\n"

    records = csv.reader(texts(), strict=True)
    while True:
        pulled.clear()
        try:
            fields = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            raise _error(pulled[0].place, f"a CSV record, but {error}", pulled[0].text) from error
        if fields:
            yield pulled[0], fields


def _read_table(records: Records, separator: str, columns: Columns | None) -> Found:
    first = next(records, None)
    if first is None:
        return
    line, fields = first
    header = [name.strip() for name in fields]
    names = columns or _names_in_header(line, header)
    if names is None:
        records = itertools.chain([first], records)
        names, header = ("the first column", "the second column"), ["the first column", "the second column"]
    positions = [_position(line, header, name) for name in names]
    for line, fields in records:
        if len(fields) != len(header):
            expected = f"{len(header)} columns separated by {separator}"
            raise _error(line.place, expected, f"{len(fields)} in {line.text!r}", quote=False)
        yield tuple(_filled(line, name, fields[at]) for name, at in zip(names, positions, strict=True)), line


def _names_in_header(line: Line, header: list[str]) -> Columns | None:
    """The known pair that a first line has; None if it is no header."""
    # A field that is just `label` next to an unknown name is a header, too: read as data, it would swap the columns.
    if not any(name in header for pair in PAIR_NAMES for name in pair):
        return None
    return _known_pair(line, header)


def _known_pair(line: Line, names: list[str]) -> Columns:
    pairs = [pair for pair in PAIR_NAMES if set(pair) <= set(names)]
    if len(pairs) != 1:
        expected = "either text and label or source and target, or columns=(…, …) that says which two"
        raise _error(line.place, expected, ", ".join(names), quote=False)
    return pairs[0]


def _position(line: Line, header: list[str], name: str) -> int:
    if header.count(name) != 1:
        raise _error(line.place, f"a header with the column {name!r} once", line.text)
    return header.index(name)


def _filled(line: Line, name: str, value: str) -> str:
    value = value.strip()
    if not value:
        raise _error(line.place, f"text in {name!r}, not nothing", line.text)
    return value


# JSON lines


def _read_jsonl(lines: Lines, columns: Columns | None = None) -> Found:
    for line in lines:
        if not line.text.strip():
            continue
        record = _json_object(line)
        columns = columns or _known_pair(line, list(record))
        first, second = (_json_value(line, record, key) for key in columns)
        if not isinstance(first, str):
            raise _error(line.place, f"a string in {columns[0]!r}", first)
        # A label may well be a number of a class; Python's text of it is the name of the class.
        yield (_filled(line, columns[0], first), _filled(line, columns[1], str(second))), line


def _json_object(line: Line) -> dict:
    try:
        record = json.loads(line.text)
    except (ValueError, RecursionError) as error:  # RecursionError: brackets in brackets, thousands deep
        raise _error(line.place, f"a JSON object, but {error}", line.text) from error
    if not isinstance(record, dict):
        raise _error(line.place, "a JSON object", line.text)
    return record


def _json_value(line: Line, record: dict, key: str) -> str | int:
    if key not in record:
        raise _error(line.place, f"the key {key!r}", line.text)
    value = record[key]
    if not isinstance(value, str | int):  # a bool is an int
        raise _error(line.place, f"a string, an integer or a boolean in {key!r}", value)
    try:
        str(value).encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot
        raise _error(line.place, f"Unicode text in {key!r}", value) from error
    return value


# Tokens and tags


def _read_conllu(lines: Lines, columns: Columns = ("FORM", "UPOS")) -> Found:
    positions = tuple(_conllu_position(name) for name in columns)
    return _sentences(lines, functools.partial(_conllu_word, positions=positions))


def _read_conll(lines: Lines) -> Found:
    return _sentences(lines, _conll_word)


def _sentences(lines: Lines, word_of: Callable[[Line], tuple[str, str] | None]) -> Found:
    """Group words into sentences: a blank line ends one; a line without a word, `None`, does not."""
    for is_blank, block in itertools.groupby(lines, key=_is_boundary):
        if is_blank:
            continue
        words = [(word, line) for line in block if (word := word_of(line)) is not None]
        if words:
            tokens, tags = zip(*(word for word, _ in words), strict=True)
            yield (list(tokens), list(tags)), words[0][1]


def _is_boundary(line: Line) -> bool:
    # Only blanks and tabs are blank: an ideographic space may be a token. -DOCSTART- parts documents.
    return not line.text.strip(" \t") or (line.text.startswith("-DOCSTART-") and line.text.split()[0] == "-DOCSTART-")


def _conllu_word(line: Line, positions: tuple[int, int]) -> tuple[str, str] | None:
    if line.text.startswith("#"):
        return None
    fields = line.text.split("\t")
    if len(fields) != len(CONLLU_FIELDS):
        raise _error(line.place, "10 columns separated by tabs", f"{len(fields)} in {line.text!r}", quote=False)
    if not _WORD_ID.fullmatch(fields[0]):
        if _SKIPPED_ID.fullmatch(fields[0]):  # 3-4 spans the words that follow, 8.1 is not in the text
            return None
        raise _error(line.place, "an id such as 8, 3-4 or 8.1", fields[0])
    token, tag = (_filled(line, CONLLU_FIELDS[at], fields[at]) for at in positions)
    if tag == "_":
        raise _error(line.place, f"a tag, but there is no {CONLLU_FIELDS[positions[1]]} tag", line.text)
    return token, tag


def _conllu_position(name: str) -> int:
    if name not in CONLLU_FIELDS:
        raise _error("columns", f"two of {' '.join(CONLLU_FIELDS)}", name)
    return CONLLU_FIELDS.index(name)


def _conll_word(line: Line) -> tuple[str, str]:
    fields = _BLANKS.split(line.text.strip(" \t"))
    if len(fields) < 2:
        raise _error(line.place, "a token and a tag separated by blanks", line.text)
    return fields[0], fields[-1]


_READERS: dict[str, Callable[..., Found]] = {
    ".txt": _read_text,
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".conllu": _read_conllu,
    ".conll": _read_conll,
    ".bio": _read_conll,
}
_TAKE_COLUMNS = (".tsv", ".csv", ".jsonl", ".conllu")
