"""The examples of files: which files there are, how each is read, and what comes out, again and again."""

import contextlib
import functools
import glob
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from seq_models.errors import InputError, path_of
from seq_models.text.columns import Columns, checked_pair
from seq_models.text.contents import contents_of_file
from seq_models.text.example_types import Example
from seq_models.text.formats import FORMATS, TEXT
from seq_models.text.kept import kept
from seq_models.text.lines import Line, Lines, decoded_lines, open_bytes, unexpected

VERSION = 4  # of what is computed of examples: another one makes all that is kept outdated
KNOWN = (TEXT, *FORMATS)
Located = Iterator[tuple[Example, Line]]
Reader = Callable[..., Located]


def plain_text(lines: Lines) -> Located:
    """A sentence a line; blank lines are skipped."""
    for line in lines:
        sentence = line.text.strip()
        if sentence:
            yield sentence, line


def parallel_text(paths: tuple[Path, Path], sources: Lines, targets: Lines) -> Located:
    """Pairs of line n of one file with line n of the other; lines that are blank in both are skipped.

    Raises:
        InputError: While iterating, if a line is blank in one file only, or one file has more lines.
    """
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
            raise unexpected(empty.place, f"a sentence, as there is one at {filled.place}", empty.text)


def _unequal(alone: Line, rest: Lines, shorter: Path, count: int) -> InputError:
    longer_count = alone.number + sum(1 for _ in rest)
    expected = f"as many lines as in {shorter}, which has {count}, not {longer_count}"
    return unexpected(alone.place, expected, alone.text)


class Part:
    """The examples of one file, or of two parallel ones, read again from the start by every `iter()`.

    Args:
        paths: One path, or two.
        reader: From the lines of each path to examples, each with the line it starts at.
    """

    def __init__(self, paths: tuple[Path, ...], reader: Reader):
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
        self._counted: tuple[list | None, int] = (None, 0)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return tuple(path for part in self.parts for path in part.paths)

    def __iter__(self) -> Iterator[Example]:
        for part in self.parts:
            yield from part

    def __len__(self) -> int:
        """Number of examples; all files are read for it, once as long as they stay the same."""
        known = self.fingerprint()
        if self._counted[0] != known:
            self._counted = known, sum(1 for _ in iter(self))
        return self._counted[1]

    def __bool__(self) -> bool:
        return True  # there is a first example, and no file is read to the end to say so

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

    def contents(self) -> list[str]:
        """What each of `paths` holds; see `contents_of_file`."""
        return [contents_of_file(path, self.cache) for path in self.paths]

    def fingerprint(self) -> list:
        """Plain values that are others when other examples are read: the contents of all files, and the columns."""
        return [self.contents(), self._columns]

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
    | `.tsv`, `.csv` | `(text, label)` or `(source, target)` |
    | `.jsonl` (an object a line) | the same, or `(tokens, tags)` |
    | `.conllu` | `(tokens, tags)`: FORM and UPOS |
    | `.conll`, `.bio`: first and last column | `(tokens, tags)` |
    | two files with other endings, as `train.en`, `train.de` | `(source, target)`: line n with line n |

    Each may be compressed: append `.gz`. Text is UTF-8; a byte order mark is dropped, a line ends with "\\n" or
    "\\r\\n" and nothing else. Texts and labels lose the whitespace around them; empty lines between them are skipped.
    A file must be a regular one, not a pipe: it is read again in every epoch.

    A path may be a pattern, as "news-*.txt.gz" (`*`, `?`, `[…]`, and `**` for any folders): all files that match,
    sorted by name. Two patterns of parallel text, as "news-*.en" and "news-*.de", pair up their sorted files.

    A column or key `weight` is the weight of its example in the loss, a third value of the example.

    A `.tsv` or `.csv` whose first line has the names text and label, or source and target, has a header: its columns
    come in any order and further ones are ignored. Names that published corpora use instead (review, sentence, …,
    sentiment, class, …) are taken, and said; any other names are for `columns`. Without a header there must be exactly
    two columns, in order; a first line whose label alone comes nowhere else is refused, for it may be a header. There
    is no quoting in a `.tsv`, unless its header is in quotes.

    In `.conll` and `.bio` columns are separated by tabs in a line that has some, else by blanks. Lines that start with
    `#` and are not written as tokens are comments; a column that counts the words is refused unless `columns` says
    which to take.

    Args:
        path: The file, or a pattern.
        more: More files of the same format, or the second side of parallel text.
        columns: Which two columns to take: names in the header, keys of the JSON objects, CoNLL-U fields such as
            `("FORM", "XPOS")`, or numbers as strings, `("1", "-1")` for the first and the last, where there are no
            names; a table then has no header, unless the known names are in it.
        cache: A directory in which vocabularies and counts of these files are kept, so that the files are not read for
            them again as long as they stay the same.
    Returns:
        A re-iterable of examples; see `Examples`.
    Raises:
        InputError: If a path is none, no file matches, an ending is unknown or another one, a file cannot be read, or
            the first example of a file is not what was expected. What is wrong further down is raised while iterating.

    Example:
        >>> for source, target in read_examples("train.en.gz", "train.de.gz"):
        ...     print(source, "->", target)
    """
    paths = [_matching(path_of("path", name)) for name in (path, *more)]
    if columns is not None:
        columns = _checked_columns(paths[0][0], columns)
    parts = _parts(paths, columns)
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


def remembered(examples: Iterable[Example], question: list, compute: Callable[[], Any]) -> Any:
    """`compute()`, or what it gave when the same question was asked of the same contents; see `Examples.fingerprint`.

    Answers are kept in the directory `examples.cache`; without one, as for a list, it is always computed.

    Args:
        examples: `Examples`, or any iterable of examples.
        question: What is computed, with all that it depends on apart from the files: plain values.
        compute: A function without arguments that returns plain values.
    """
    if not isinstance(examples, Examples) or examples.cache is None:
        return compute()
    return kept(examples.cache, [VERSION, examples.fingerprint(), question], compute)


# Which files, which reader


def _matching(name: str | Path) -> list[Path]:
    """The file of that name, or else all that match the pattern."""
    if Path(name).exists() or not glob.has_magic(str(name)):
        return [Path(name)]
    found = sorted(path for path in map(Path, glob.glob(str(name), recursive=True)) if path.is_file())
    if not found:
        raise unexpected(name, "a pattern that a file matches", "no such file", quote=False)
    return found


def ending_of(path: Path) -> str:
    """The ending that says how a file is read, without `.gz`."""
    return Path(path.name.removesuffix(".gz")).suffix


def _check_regular(path: Path) -> None:
    if path.exists() and not path.is_file() and not path.is_dir():
        expected = "a regular file, for it is read again in every epoch"
        raise unexpected(path, expected, "a pipe or device, which can be read once", quote=False)


def _parts(groups: list[list[Path]], columns: Columns | None) -> list[tuple[tuple[Path, ...], Reader]]:
    """From the files of each argument to the files and the reader of each part."""
    paths = [path for group in groups for path in group]
    for path in paths:
        _check_regular(path)
    endings = {ending_of(path) for path in paths}
    if len(groups) == 1 or endings <= set(KNOWN):
        if len(endings) > 1:
            raise unexpected(paths[0], "files of one format", ", ".join(sorted(endings)), quote=False)
        return [((path,), _reader_of_one(path, columns)) for path in paths]
    names = ", ".join(path.name for path in paths)
    if len(groups) != 2:
        expected = "files of one known format, or two files or patterns of parallel text"
        raise unexpected(paths[0], expected, f"{len(groups)} files, {names}", quote=False)
    for path in paths:
        if ending_of(path) in KNOWN:
            expected = f"parallel text in two files named by language, as train.en train.de, not {ending_of(path)}"
            raise unexpected(path, expected, names, quote=False)
    sources, targets = groups
    if len(sources) != len(targets):
        counts = f"{len(sources)} and {len(targets)}"
        raise unexpected(paths[0], "as many files on one side of parallel text as on the other", counts, quote=False)
    return [(pair, functools.partial(parallel_text, pair)) for pair in zip(sources, targets, strict=True)]


def _reader_of_one(path: Path, columns: Columns | None) -> Reader:
    ending = ending_of(path)
    if ending == TEXT:
        return plain_text
    if ending not in FORMATS:
        known = ", ".join(KNOWN)
        expected = f"a file name that ends in one of {known}, each also with .gz, or two files of parallel text"
        raise unexpected(path, expected, path.name)
    return functools.partial(FORMATS[ending].examples, columns=columns)


def _checked_columns(path: Path, columns: Columns) -> Columns:
    form = FORMATS.get(ending_of(path))
    if form is None:
        expected = f"columns only for {', '.join(FORMATS)}"
        raise unexpected(path, expected, f"columns={columns!r}", quote=False)
    return form.checked_columns(checked_pair(path, columns))
