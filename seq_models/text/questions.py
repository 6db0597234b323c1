"""The texts that a model is asked about: lines of text as they come, or a column of a table."""

import itertools
import re
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from seq_models.errors import InputError
from seq_models.messages import say
from seq_models.text.columns import Columns
from seq_models.text.example_types import LabeledTokens, Text
from seq_models.text.examples import KNOWN, ending_of
from seq_models.text.formats import FORMATS, TEXT
from seq_models.text.lines import Line, Lines, arriving_lines, open_bytes, unexpected

STDIN = Path("<stdin>")


class Question(NamedTuple):
    """A text that a model is asked about.

    Attributes:
        place: `file:line`.
        values: The columns that it comes with, itself among them.
        text: A string, or tokens.
    """

    place: str
    values: dict[str, Any]
    text: Text


class Reading(NamedTuple):
    """How the questions of a task are read.

    Attributes:
        field: What the task calls the text that it is asked about.
        columns: From the ending of a format to the columns, the first of which is that of the text; None where the
            task or the header says which.
        ending: The format, for a file whose name says another one or none. Where neither does, a first line that names
            columns, the one of the text among them, makes it a table; else it has a text a line. What it is taken for
            is said.
        labels: Those of the model: a line that ends in one looks like a row of a table.
    """

    field: str
    columns: Callable[[str], Columns | None] = lambda _: None
    ending: str | None = None
    labels: Collection[str] = ()


def read_questions(path: str | Path | None, reading: Reading) -> Iterator[Iterator[Question]]:
    """The questions of a file, read once; in a text a line, blank lines are some too. None is standard input.

    Returns:
        Iterators over the questions that have come together; see `arriving_lines`.
    Raises:
        InputError: While iterating, if the file cannot be read, or at the first line that is not what was expected.
    """
    if path is None:
        if sys.stdin is None:
            raise InputError("There must be a standard input or a file. Received: neither")
        yield from _questions(STDIN, sys.stdin.buffer, reading)
        return
    path = Path(path)
    if reading.ending is None and ending_of(path) in KNOWN:
        reading = reading._replace(ending=ending_of(path))
    with open_bytes(path) as stream:
        yield from _questions(path, stream, reading)


class _Arrived:
    """The lines of an open file, and whether more have come together with the last one."""

    def __init__(self, path: Path, stream: BinaryIO):
        self.more = False
        self.lines = self._one_by_one(arriving_lines(path, stream))

    def _one_by_one(self, groups: Iterator[Lines]) -> Lines:
        for lines in groups:
            ahead = next(lines, None)
            while ahead is not None:
                line, ahead = ahead, next(lines, None)
                self.more = ahead is not None
                yield line


def _questions(path: Path, stream: BinaryIO, reading: Reading) -> Iterator[Iterator[Question]]:
    arrived = _Arrived(path, stream)
    lines = arrived.lines
    ending = reading.ending
    if ending is None:
        first = list(itertools.islice(lines, 1))
        ending, lines = _ending_by(first, reading), itertools.chain(first, lines)
    form, columns = FORMATS.get(ending), reading.columns(ending)
    found: Iterator[Question]
    if form is not None:
        columns = columns if columns is None else form.checked_columns(columns[:1])
        records = form.questions(lines, columns, reading.field)
        found = (Question(record.line.place, record.values, text) for record, text in records)
    elif columns is None:
        found = (Question(line.place, {"text": line.text}, line.text) for line in lines)
    else:
        expected = "a table to take a column of, as its ending, its header or --format says"
        raise unexpected(path, expected, f"a text a line, columns={columns!r}", quote=False)
    for question in found:
        yield itertools.chain([question], _arrived_with_it(found, arrived))


def _arrived_with_it(questions: Iterator[Question], arrived: _Arrived) -> Iterator[Question]:
    while arrived.more and (question := next(questions, None)) is not None:
        yield question


def _ending_by(first: list[Line], reading: Reading) -> str:
    """The ending of the format that a file has, judged by its first line, if there is one."""
    for line in first:
        for ending, form in FORMATS.items():
            if form.names_columns(line, reading.columns(ending), reading.field):
                say(f"{line.path}: the first line names columns, so this is read as {ending}; or give --format txt")
                return ending
        if _is_like_a_row(line.text, reading):
            say(
                f"{line.path}: each line is read as a text, though the first one looks like a row of a table; if it is "
                "one, say which by --format, as --format tsv"
            )
    return TEXT


def _is_like_a_row(text: str, reading: Reading) -> bool:
    separator = "[ \t]" if reading.field in LabeledTokens.fields else "[,\t]"
    *before, last = re.split(separator, text)
    return "\t" in text or bool(before) and last in reading.labels
