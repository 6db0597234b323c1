"""Tables: columns separated by tabs or commas, and JSON objects."""

import csv
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from seq_models.errors import InputError
from seq_models.messages import say_once
from seq_models.text.columns import EITHER, KNOWN, LISTED, Columns, at_position, missing, pair_in, question_in
from seq_models.text.lines import Line, Lines, unexpected
from seq_models.text.records import Format, Record, Records

csv.field_size_limit(sys.maxsize)  # one number for the process; 131,072 characters are a long letter

_NAME = re.compile("[A-Za-z_][A-Za-z_0-9]*")
WINDOW, FEWEST, FEW = 1000, 20, 5  # rows that are looked at to tell a header; at least by its label, by its words
_NUMBERS = ("the first column", "the second column")

Row = tuple[Line, list[str]]
Rows = Iterator[Row]


class Table(Format):
    """Rows of columns, with a header or without.

    Args:
        rows: From lines to rows; it may ask whether fields are a header.
        separator: What separates columns, in words.
    """

    def __init__(self, rows: Callable[[Lines, Callable[[Line, list[str]], bool]], Rows], separator: str):
        self._rows, self._separator = rows, separator

    def records(self, lines: Lines, columns: Columns | None, field: str | None) -> Records:
        def is_header(line: Line, names: list[str]) -> bool:
            return _is_header(line, names, columns, field)

        rows = self._rows(lines, is_header)
        first = next(rows, None)
        if first is None:
            return
        line, names = first[0], [name.strip() for name in first[1]]
        if is_header(line, names):
            _check_once(line, names, columns or (field is None and pair_in(line, names)) or ())
            names = [f"{name}.{at}" if name in names[:at] else name for at, name in enumerate(names)]
        else:
            rows = self._without_header(first, rows, columns, field)
            names = [*_NUMBERS[: len(names)], *(f"column {at}" for at in range(3, len(names) + 1))]
        for line, fields in rows:
            if len(fields) != len(names):
                expected = f"{len(names)} columns separated by {self._separator}"
                raise unexpected(line.place, expected, f"{len(fields)} in {line.text!r}", quote=False)
            yield Record((line,), dict(zip(names, fields, strict=True)))

    def names_columns(self, line: Line, columns: Columns | None, field: str) -> bool:
        try:
            _, fields = next(self._rows(iter([line]), lambda *_: True), (line, []))
        except InputError:
            return False
        if columns is not None:
            return len(fields) > 1 and columns[0] in [name.strip() for name in fields]
        return len(fields) > 1 and all(map(_NAME.fullmatch, fields)) and question_in(fields, field) is not None

    def pair(self, record: Record) -> Columns:
        return _NUMBERS if list(record.values) == list(_NUMBERS) else known_pair(record)

    def question_column(self, record: Record, field: str) -> str:
        return question_in(list(record.values), field) or next(iter(record.values))

    def _without_header(self, first: Row, rows: Rows, columns: Columns | None, field: str | None) -> Rows:
        line, fields = first
        if columns is None and (len(fields) != 2 if field is None else len(fields) > 2):
            expected = f"2 columns separated by {self._separator}, or a header with {EITHER}"
            received = f"{len(fields)} in {line.text!r}"
            if len(fields) > 1:
                raise unexpected(line.place, expected, received, quote=False, longest=LISTED)
            raise unexpected(line.place, expected, received, quote=False)
        if columns is not None:
            say_once(f"{line.path}: the first line is read as an example, for the columns are given by number")
        rows = itertools.chain([first], rows)
        return _like_each_other(rows) if columns is None and field is None else rows


def known_pair(record: Record) -> Columns:
    """The two columns of an example by their names. Raises: InputError if no two are known."""
    names = list(record.values)
    pair = pair_in(record.line, names)
    if pair is None:
        raise unexpected(record.line.place, EITHER, ", ".join(names), quote=False, longest=LISTED)
    return pair


def _is_header(line: Line, names: list[str], columns: Columns | None, field: str | None) -> bool:
    if columns is not None:
        if any(column in names for column in columns):
            return True
        for column in columns:
            if at_position(names, column) is None:
                raise missing(line, column, names)
    if field is None:
        return pair_in(line, names) is not None
    name = question_in(names, field)
    if name is not None and name.lower() not in KNOWN:
        say_once(f"{line.path}: the first line is read as a header, and {name!r} as the text")
    return name is not None


def _check_once(line: Line, names: list[str], columns: Columns) -> None:
    for column in columns:
        if names.count(column) != 1 and at_position(names, column) is None:
            raise missing(line, column, names)


def _like_each_other(rows: Rows) -> Rows:
    """The rows; an error if the first of them looks like a header with unknown names.

    It does if its label comes only there, and every other label of the next rows comes twice or more; or if its fields
    are words alone, as no others are, and the second one comes only there.
    """
    line, fields = first = next(rows)
    labels: Counter[str] = Counter()
    words = 0  # rows of words alone
    for row in itertools.chain([first], itertools.islice(rows, WINDOW)):
        yield row
        labels[row[1][-1]] += 1
        words += all(map(_NAME.fullmatch, row[1]))
    alone = [label for label, count in labels.items() if count == 1] == fields[-1:]
    named = words == 1 and all(map(_NAME.fullmatch, fields)) and labels[fields[-1]] == 1
    if alone and labels.total() > FEWEST or named and labels.total() > FEW:
        expected = (
            "an example, but no other row is like it: if it is a header, --columns names two of its columns; "
            "if it is an example, --columns 1 2 says so"
        )
        raise unexpected(line.place, expected, line.text)
    yield from rows


def tsv_rows(lines: Lines, is_header: Callable[[Line, list[str]], bool]) -> Rows:
    """Rows as they stand, without any quoting; unless the header is in quotes, for then all of the file is."""
    filled = (line for line in lines if line.text)
    first = next(filled, None)
    if first is None:
        return
    names = first.text.split("\t")
    quoted = all(len(name) > 1 and name[0] == name[-1] == '"' for name in names)
    if quoted and is_header(first, [name[1:-1].strip() for name in names]):
        yield from _csv_rows(itertools.chain([first], lines), "\t")
        return
    yield first, names
    for line in filled:
        yield line, line.text.split("\t")


def csv_rows(lines: Lines, _is_header: Callable[[Line, list[str]], bool]) -> Rows:
    """Rows by RFC 4180: a field in quotes may hold commas, quotes and line ends."""
    return _csv_rows(lines, ",")


def _csv_rows(lines: Iterable[Line], delimiter: str) -> Rows:
    pulled: list[Line] = []  # the lines of one record: a quoted field may hold line ends

    def texts() -> Iterator[str]:
        for line in lines:
            pulled.append(line)
            yield line.text + "\n"

    rows = csv.reader(texts(), strict=True, delimiter=delimiter)
    while True:
        pulled.clear()
        try:
            fields = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            problem = "a carriage return in it stands outside of quotes" if "new-line" in str(error) else error
            raise unexpected(pulled[0].place, f"a CSV record, but {problem}", pulled[0].text) from error
        if fields:
            yield pulled[0], fields


class JsonLines(Format):
    """A JSON object a line; the columns are its keys."""

    def records(self, lines: Lines, columns: Columns | None, field: str | None) -> Records:
        for line in lines:
            if line.text.strip():
                yield Record((line,), _json_object(line))

    def pair(self, record: Record) -> Columns:
        return known_pair(record)

    def names_columns(self, line: Line, columns: Columns | None, field: str) -> bool:
        try:
            record = Record((line,), _json_object(line))
            return (columns or (self.question_column(record, field),))[0] in record.values
        except InputError:
            return False

    def question_column(self, record: Record, field: str) -> str:
        names = list(record.values)
        column = question_in(names, field)
        if column is None:
            expected = f"the key {field!r}, or --columns with the name of another"
            raise unexpected(record.line.place, expected, ", ".join(names), quote=False, longest=LISTED)
        return column

    def example(self, record: Record, columns: Columns) -> Any:
        text = record.values.get(columns[0], "")
        if not isinstance(text, str | list):
            raise unexpected(record.line.place, f"a string in {columns[0]!r}", text)
        return super().example(record, columns)

    def value(self, record: Record, column: str) -> str | list[str]:
        if column not in record.values:
            raise unexpected(record.line.place, f"the key {column!r}", record.line.text)
        return super().value(record, column)


def _json_object(line: Line) -> dict[str, Any]:
    try:
        record = json.loads(line.text)
    except (ValueError, RecursionError) as error:  # RecursionError: brackets in brackets, thousands deep
        raise unexpected(line.place, f"a JSON object, but {error}", line.text) from error
    if not isinstance(record, dict):
        raise unexpected(line.place, "a JSON object", line.text)
    return record
