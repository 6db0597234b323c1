"""The texts that a model is asked about: lines of text as they come, or a column of a table."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from seq_models.errors import InputError
from seq_models.text.columns import Columns
from seq_models.text.example_types import Text
from seq_models.text.examples import ending_of
from seq_models.text.formats import FORMATS
from seq_models.text.lines import arriving_lines, decoded_lines, open_bytes

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


def read_questions(path: str | Path | None, columns: Columns | None, field: str) -> Iterator[Iterator[Question]]:
    """The questions of a file, read once.

    Args:
        path: A table, which its ending says; any other file has a text a line, blank ones too. None is standard input.
        columns: The first names the column of the text in a table.
        field: What the task calls it, where no column is named.
    Returns:
        Iterators over the questions that have come together; see `arriving_lines`.
    Raises:
        InputError: While iterating, if the file cannot be read, or at the first line that is not what was expected.
    """
    if path is None:
        if sys.stdin is None:
            raise InputError("There must be a standard input or a file. Received: neither")
        yield from _lines(STDIN, sys.stdin.buffer)
        return
    path = Path(path)
    form = FORMATS.get(ending_of(path))
    if columns is not None and form is not None:
        columns = form.checked_columns(columns[:1])
    with open_bytes(path) as stream:
        if form is None:
            yield from _lines(path, stream)
        else:
            found = form.questions(decoded_lines(path, stream), columns, field)
            yield (Question(record.line.place, record.values, text) for record, text in found)


def _lines(path: Path, stream: BinaryIO) -> Iterator[Iterator[Question]]:
    for lines in arriving_lines(path, stream):
        yield (Question(line.place, {"text": line.text}, line.text) for line in lines)
