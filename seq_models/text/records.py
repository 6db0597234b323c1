"""What every format makes of lines: records of named values, of which examples and questions take some."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from seq_models.text.columns import Columns, at_position, missing, of_tokens
from seq_models.text.example_types import TORN, Example, Text
from seq_models.text.lines import Line, Lines, unexpected

WEIGHT = "weight"  # the column, or the key, of an example's weight in the loss


class Record(NamedTuple):
    """The values of one example, by column.

    Attributes:
        lines: Where it stands; of a sentence, the line of each token.
        values: Strings, or lists with a string for each token.
    """

    lines: Sequence[Line]
    values: dict[str, Any]

    @property
    def line(self) -> Line:
        """The line that it starts at."""
        return self.lines[0]


Records = Iterator[Record]


class Format:
    """A way to write examples in a file; each format adds `records` and says which columns it takes by itself."""

    def records(self, lines: Lines, columns: Columns | None, field: str | None) -> Records:
        """The records of a file.

        Args:
            lines: The lines of the file.
            columns: The columns that will be taken, if they were named.
            field: What the task calls a question, if only that is wanted; None if whole examples are.
        """
        raise NotImplementedError

    def pair(self, record: Record) -> Columns:
        """The two columns of an example where none are named."""
        raise NotImplementedError

    def question_column(self, record: Record, field: str) -> str:
        """The column of a question where none is named; `field` is what the task calls it."""
        return self.pair(record)[0]

    def names_columns(self, line: Line, columns: Columns | None, field: str) -> bool:
        """Whether a line cannot be a text, for it names columns of this format, that of the question among them.

        Args:
            columns: Its name is the first of them, where they are known.
            field: What the task calls a question.
        """
        return False

    def checked_columns(self, columns: Columns) -> Columns:
        """Columns as named by a user. Raises: InputError if the format can have none of these names."""
        return columns

    def examples(self, lines: Lines, columns: Columns | None = None) -> Iterator[tuple[Example, Line]]:
        """The examples of a file, each with the line that it starts at."""
        for record in self.records(lines, columns, None):
            columns = columns or self.pair(record)
            yield self.example(record, columns), record.line

    def example(self, record: Record, columns: Columns) -> Example:
        """Two columns of a record: two strings, a string and a list, or tokens and tags; its weight, if it has one."""
        first, second = (self.value(record, column) for column in columns)
        weights = [weight(record)] if WEIGHT in record.values and WEIGHT not in columns else []
        if not isinstance(first, list):
            first = filled(record.line, columns[0], first)
            if not isinstance(second, list):
                second = filled(record.line, columns[1], second)
            elif of_tokens(columns[0]):
                raise unexpected(record.line.place, f"a list of {len(second)} in {columns[0]!r}", first)
            return first, second, *weights
        if not isinstance(second, list) or len(first) != len(second):
            raise unexpected(record.line.place, f"a list of {len(first)} in {columns[1]!r}", second)
        return first, second, *weights

    def questions(self, lines: Lines, columns: Columns | None, field: str) -> Iterator[tuple[Record, Text]]:
        """The records of a file, each with the text that a model is asked about, which may be empty."""
        for record in self.records(lines, columns, field):
            columns = columns or (self.question_column(record, field),)
            value = self.value(record, columns[0])
            yield record, tuple(value) if isinstance(value, list) else value

    def value(self, record: Record, column: str) -> str | list[str]:
        """The value of a column, which is a name or a number: a string, or tokens, none of them empty."""
        name = column if column in record.values else at_position(list(record.values), column)
        if name is None:
            raise missing(record.line, column, list(record.values))
        value = record.values[name]
        if isinstance(value, list):
            lines = record.lines if len(record.lines) == len(value) else [record.line] * len(value)
            return [whole(line, name, string(line, name, part)) for line, part in zip(lines, value, strict=True)]
        return string(record.line, name, value)


def weight(record: Record) -> float:
    """The weight of an example; that it is 0 or more, the task checks."""
    try:
        return float(record.values[WEIGHT])
    except (TypeError, ValueError) as error:
        raise unexpected(record.line.place, f"a number in {WEIGHT!r}", record.values[WEIGHT]) from error


def string(line: Line, name: str, value: Any) -> str:
    """A value as a string: a label may well be a number of a class; Python's text of it is the name of the class."""
    if not isinstance(value, str | int):  # a bool is an int
        raise unexpected(line.place, f"a string, an integer or a boolean in {name!r}", value)
    value = str(value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot
            raise unexpected(line.place, f"Unicode text in {name!r}", value) from error
    return value


def filled(line: Line, name: str, value: str) -> str:
    """A value without the white space around it, of which something is left."""
    value = value.strip()
    if not value:
        raise unexpected(line.place, f"text in {name!r}, not nothing", line.text)
    return value


def whole(line: Line, name: str, token: str) -> str:
    """A token or tag that nothing tears apart."""
    if not token:
        raise unexpected(line.place, f"text in {name!r}, not nothing", line.text)
    if torn := TORN.search(token):
        expected = f"no U+{ord(torn[0]):04X} in a token or tag, which would tear it in two"
        raise unexpected(line.place, expected, token)
    return token
