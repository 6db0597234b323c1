"""The examples of files: which files there are, how each is read, and what comes out, again and again."""

import contextlib
import functools
import glob
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from seq_models.text.example_types import Example
from seq_models.text.formats import FORMATS, TAKE_COLUMNS, Columns, Format, parallel_text
from seq_models.text.lines import Line, decoded_lines, open_bytes, unexpected


class Part:
    """The examples of one file, or of two parallel ones, read again from the start by every `iter()`.

    Args:
        paths: One path, or two.
        reader: From the lines of each path to examples, each with the line it starts at.
    """

    def __init__(self, paths: tuple[Path, ...], reader: Format):
        self.paths = paths
        self._reader = reader

    def __iter__(self) -> Iterator[Example]:
        with contextlib.closing(self._read()) as found:
            for example, _ in found:
                yield example

    def located(self) -> Generator[tuple[Example, str]]:
        """See `Examples.located`."""
        with contextlib.closing(self._read()) as found:
            for example, line in found:
                yield example, line.place

    def _read(self) -> Generator[tuple[Example, Line]]:
        # Files are opened here and nowhere else, so closing this generator closes them, whatever the reader does.
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(open_bytes(path)) for path in self.paths]
            line = None
            for example, line in self._reader(*map(decoded_lines, self.paths, streams)):
                yield example, line
        if line is None:
            raise unexpected(f"{self.paths[0]}:1", "at least one example", "none in the whole file", quote=False)


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
                raise unexpected(path, "a file that can be read", error.strerror, quote=False) from error
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

    A column or key `weight` is the weight of its example in the loss, a third value of the example.

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


def located(examples: Iterable[Example]) -> Iterator[tuple[Example, str]]:
    """Every example with its place: `file:line` if it is known, else its number, from 1."""
    if hasattr(examples, "located"):
        yield from examples.located()
    else:
        for number, example in enumerate(examples, start=1):
            yield example, f"example {number}"


# Which files, which reader


def _matching(name: str | Path) -> list[Path]:
    """The file of that name, or else all that match the pattern."""
    if Path(name).exists() or not glob.has_magic(str(name)):
        return [Path(name)]
    found = sorted(path for path in map(Path, glob.glob(str(name), recursive=True)) if path.is_file())
    if not found:
        raise unexpected(name, "a pattern that a file matches", "no such file", quote=False)
    return found


def _ending(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix


def _parts(groups: list[list[Path]]) -> list[tuple[tuple[Path, ...], Format]]:
    """From the files of each argument to the files and the reader of each part."""
    paths = [path for group in groups for path in group]
    endings = {_ending(path) for path in paths}
    if len(groups) == 1 or endings <= FORMATS.keys():
        if len(endings) > 1:
            raise unexpected(paths[0], "files of one format", ", ".join(sorted(endings)), quote=False)
        return [((path,), _reader_of_one(path)) for path in paths]
    names = ", ".join(path.name for path in paths)
    if len(groups) != 2:
        expected = "files of one known format, or two files or patterns of parallel text"
        raise unexpected(paths[0], expected, f"{len(groups)} files, {names}", quote=False)
    for path in paths:
        if _ending(path) in FORMATS:
            expected = f"parallel text in two files named by language, as train.en train.de, not {_ending(path)}"
            raise unexpected(path, expected, names, quote=False)
    sources, targets = groups
    if len(sources) != len(targets):
        counts = f"{len(sources)} and {len(targets)}"
        raise unexpected(paths[0], "as many files on one side of parallel text as on the other", counts, quote=False)
    return [(pair, functools.partial(parallel_text, pair)) for pair in zip(sources, targets, strict=True)]


def _reader_of_one(path: Path) -> Format:
    reader = FORMATS.get(_ending(path))
    if reader is None:
        known = ", ".join(FORMATS)
        expected = f"a file name that ends in one of {known}, each also with .gz, or two files of parallel text"
        raise unexpected(path, expected, path.name)
    return reader


def _checked_columns(path: Path, columns: Columns) -> Columns:
    ending = _ending(path)
    if ending not in TAKE_COLUMNS:
        raise unexpected(path, f"columns only for {', '.join(TAKE_COLUMNS)}", f"columns={columns!r}", quote=False)
    # A string of two characters has length 2 as well; it is no pair of names.
    is_pair = isinstance(columns, tuple | list) and len(columns) == 2
    if not is_pair or not all(isinstance(name, str) and name for name in columns):
        raise unexpected(path, "columns to be two names", f"columns={columns!r}", quote=False)
    return columns[0], columns[1]
