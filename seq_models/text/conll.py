"""Sentences with a token a line, a blank line after each: CoNLL-U, and CoNLL in its dialects."""

import itertools
import re
from collections.abc import Iterator, Sequence

from seq_models.text.columns import Columns, at_position
from seq_models.text.example_types import Example
from seq_models.text.lines import Line, Lines, unexpected
from seq_models.text.records import Format, Record, Records

CONLLU_FIELDS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
NOTHING_IS_A_VALUE = ("FEATS", "DEPS", "MISC")  # of the others `_` says that it is not known

_BLANKS = re.compile("[ \t]+")
_WORD_ID = re.compile("[0-9]+")
_SKIPPED_ID = re.compile(r"[0-9]+[-.][0-9]+")
_COMMENT = re.compile(r"#\s*(\w+\s*=|(begin|end) document\b|newdoc\b|newpar\b)")


class Conllu(Format):
    """Ten columns separated by tabs, with the names of CoNLL-U."""

    def records(self, lines: Lines, columns: Columns | None, field: str | None) -> Records:
        for block in _blocks(lines):
            words = [(line, fields) for line in block if (fields := _conllu_fields(line)) is not None]
            if words:
                yield _sentence(words, CONLLU_FIELDS)

    def pair(self, record: Record) -> Columns:
        return "FORM", "UPOS"

    def checked_columns(self, columns: Columns) -> Columns:
        for column in columns:
            if column not in CONLLU_FIELDS and at_position(CONLLU_FIELDS, column) is None:
                raise unexpected("columns", f"two of {' '.join(CONLLU_FIELDS)}", column)
        return tuple(at_position(CONLLU_FIELDS, column) or column for column in columns)

    def example(self, record: Record, columns: Columns) -> Example:
        tags = columns[1]
        for line, tag in zip(record.lines, record.values[tags], strict=True):
            if tag == "_" and tags not in NOTHING_IS_A_VALUE:
                raise unexpected(line.place, f"a tag, but there is no {tags} tag", line.text)
        return super().example(record, columns)


class Conll(Format):
    """Columns separated by tabs, or else by blanks; the token is in the first and the tag in the last."""

    def records(self, lines: Lines, columns: Columns | None, field: str | None) -> Records:
        model, checked = None, columns is not None
        for block in _blocks(lines):
            model = next((line for line in block if not line.text.startswith("#")), model)
            words = [(line, _split(line, model)) for line in block if model and not _is_comment(line, model)]
            if not words:
                continue
            needed = 2 if field is None else 1
            _check_widths(words, needed)
            if not checked and len(words) > 1:
                _check_not_numbered(words, needed)
                checked = True
            yield _sentence(words, [str(at) for at in range(1, len(words[0][1]) + 1)])

    def pair(self, record: Record) -> Columns:
        return "1", "-1"

    def checked_columns(self, columns: Columns) -> Columns:
        for column in columns:
            if not re.fullmatch("-?[1-9][0-9]*", column):
                expected = "columns only for .tsv, .csv, .jsonl, .conllu, or numbers such as 1 and -1"
                raise unexpected("columns", expected, f"columns={columns!r}", quote=False)
        return columns


def _blocks(lines: Lines) -> Iterator[list[Line]]:
    """The lines between blank ones."""
    return (list(block) for is_blank, block in itertools.groupby(lines, key=_is_boundary) if not is_blank)


def _is_boundary(line: Line) -> bool:
    # Only blanks and tabs are blank: an ideographic space may be a token. -DOCSTART- parts documents.
    return not line.text.strip(" \t") or (line.text.startswith("-DOCSTART-") and line.text.split()[0] == "-DOCSTART-")


def _sentence(words: Sequence[tuple[Line, list[str]]], names: Sequence[str]) -> Record:
    lines, rows = zip(*words, strict=True)
    return Record(lines, {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})


def _conllu_fields(line: Line) -> list[str] | None:
    """The fields of a word; None if the line has none."""
    if line.text.startswith("#"):
        return None
    fields = [field.strip(" ") for field in line.text.split("\t")]
    if len(fields) != len(CONLLU_FIELDS):
        raise unexpected(line.place, "10 columns separated by tabs", f"{len(fields)} in {line.text!r}", quote=False)
    if not _WORD_ID.fullmatch(fields[0]):
        if _SKIPPED_ID.fullmatch(fields[0]):  # 3-4 spans the words that follow, 8.1 is not in the text
            return None
        raise unexpected(line.place, "an id such as 8, 3-4 or 8.1", fields[0])
    return fields


def _split(line: Line, model: Line) -> list[str]:
    """The fields of a line: between tabs if it has some, else between blanks; a line of both as `model` does."""
    text = line.text.strip(" \t")
    blanks = _BLANKS.split(text)
    if "\t" not in text or ("\t" not in model.text and len(blanks) == len(_BLANKS.split(model.text.strip(" \t")))):
        return blanks
    return [field.strip(" ") for field in text.split("\t")]


def _is_comment(line: Line, model: Line) -> bool:
    """Whether a line that starts with # is no token: it is written other than the tokens are."""
    if not line.text.startswith("#"):
        return False
    if _COMMENT.match(line.text) or ("\t" in line.text) != ("\t" in model.text):
        return True
    return len(_split(line, model)) != len(_split(model, model))


def _check_widths(words: Sequence[tuple[Line, list[str]]], needed: int) -> None:
    first, model = words[0]
    for line, fields in words:
        if len(fields) < needed:
            raise unexpected(line.place, "a token and a tag separated by blanks", line.text)
        if len(fields) != len(model):
            expected = f"{len(model)} columns, as in line {first.number}"
            raise unexpected(line.place, expected, f"{len(fields)} in {line.text!r}", quote=False)


def _check_not_numbered(words: Sequence[tuple[Line, list[str]]], needed: int) -> None:
    """Refuses a sentence of which the first column counts 1, 2, 3 or 0, 1, 2 beside the columns that are needed."""
    line, fields = words[0]
    numbers = [fields[0] for _, fields in words]
    if len(fields) > needed and any(numbers == [str(start + at) for at in range(len(words))] for start in (0, 1)):
        expected = "a token in the first column, but it counts the words: --columns 2 -1 takes the next and the last"
        raise unexpected(line.place, expected, line.text)
