"""Columns by name: which two of a table are the example, and which one is the text that a model is asked about."""

from collections.abc import Iterable, Sequence

from seq_models.errors import InputError
from seq_models.messages import say_once
from seq_models.text.example_types import LabeledText, LabeledTokens, TextPair
from seq_models.text.lines import Line, unexpected

Columns = tuple[str, ...]  # two of an example, one of a question

LISTED = 200  # characters of a header that an error shows
EITHER = "either text and label or source and target, or --columns (columns=… in Python) that names two"

_PAIRS = (LabeledText.fields, TextPair.fields, LabeledTokens.fields)
KNOWN = {*LabeledText.fields, *TextPair.fields, *LabeledTokens.fields}
_HEADER_ALONE = {*LabeledText.fields, *TextPair.fields}
_ALSO = {  # what the columns of published corpora are called, in any case of letters
    "text": ("sentence", "review", "comment", "content", "document", "message", "tweet", "utterance"),
    "label": ("sentiment", "class", "category", "intent", "polarity", "rating", "stars", "topic", "labels"),
    "source": ("src",),
    "target": ("tgt",),
    "tokens": ("words",),
    "tags": ("labels", "ner_tags", "pos_tags"),
}


def pair_in(line: Line, names: Sequence[str]) -> Columns | None:
    """The known pair among the names of a header or object; None if there is nothing known.

    Raises:
        InputError: If there are several pairs, or half of one, so that the line is a header but not which.
    """
    exact = [pair for pair in _PAIRS if set(pair) <= set(names)]
    pairs = exact or [pair for pair in _PAIRS if all(_called(field, names) for field in pair)]
    if not pairs and not _HEADER_ALONE & set(names):
        return None
    found = [_called(field, names) for field in pairs[0]] if len(pairs) == 1 else []
    if not found or any(len(set(called)) > 1 for called in found):
        raise unexpected(line.place, EITHER, ", ".join(names), quote=False, longest=LISTED)
    first, second = (called[0] for called in found)
    if (first, second) != pairs[0]:
        say_once(f"{line.path}: {first!r} is read as {pairs[0][0]} and {second!r} as {pairs[0][1]}")
    return first, second


def question_in(names: Sequence[str], field: str) -> str | None:
    """The name of the column that holds the question of a task, or None.

    Args:
        field: What examples of the task call it, which goes before what others do.
    """
    for known in (field, *(pair[0] for pair in _PAIRS)):
        if called := _called(known, names):
            return called[0]
    return None


def at_position(names: Sequence[str], column: str) -> str | None:
    """The name of a column given by its number, from 1, or from -1 at the end; None if there is none."""
    try:
        number = int(column)
    except ValueError:
        return None
    return names[number - (number > 0)] if number and -len(names) <= number <= len(names) else None


def checked_pair(place: object, columns: Iterable[str]) -> Columns:
    """Two names as a tuple. Raises: InputError if they are something else."""
    # A string of two characters has length 2 as well; it is no pair of names.
    if isinstance(columns, tuple | list) and len(columns) == 2 and all(isinstance(c, str) and c for c in columns):
        return tuple(columns)
    raise unexpected(place, "columns to be two names", f"columns={columns!r}", quote=False)


def missing(line: Line, column: str, names: Sequence[str]) -> InputError:
    """The error of a column that a table has not."""
    listed = ", ".join(names)
    expected = f"a header with the column {column!r} once, or --columns with the names of others"
    return unexpected(line.place, expected, listed, quote=False, longest=LISTED)


def of_tokens(column: str) -> bool:
    """Whether a column is called as that of tokens is."""
    return bool(_called("tokens", [column]))


def _called(field: str, names: Sequence[str]) -> list[str]:
    """The names that a field has in a header: its own if it is there, else the others that it is known by."""
    own = [name for name in names if name.lower() == field]
    return own or [name for name in names if name.lower() in _ALSO[field]]
