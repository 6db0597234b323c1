"""From lines to examples, a format for each ending of a file.

It takes lines and yields examples, one at a time, each with the line it starts at; it opens nothing and keeps nothing,
so a corpus may be larger than memory.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

from seq_models.errors import InputError
from seq_models.text.conll import Conll, Conllu
from seq_models.text.example_types import Example
from seq_models.text.lines import Line, Lines, unexpected
from seq_models.text.records import Format
from seq_models.text.tables import JsonLines, Table, csv_rows, tsv_rows

Located = Iterator[tuple[Example, Line]]


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


TEXT = ".txt"
FORMATS: dict[str, Format] = {  # apart from plain text
    ".tsv": Table(tsv_rows, "a tab"),
    ".csv": Table(csv_rows, "a comma"),
    ".jsonl": JsonLines(),
    ".conllu": Conllu(),
    ".conll": Conll(),
    ".bio": Conll(),
}
