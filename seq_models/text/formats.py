"""From lines to examples, a function a format.

It takes lines and yields examples, one at a time, each with the line it starts at; it opens nothing and keeps nothing,
so a corpus may be larger than memory.
"""

import csv
import functools
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from seq_models.errors import InputError
from seq_models.text.example_types import Example, LabeledText, TextPair
from seq_models.text.lines import Line, Lines, unexpected

CONLLU_FIELDS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")

_PAIRS = (LabeledText.fields, TextPair.fields)
WEIGHT = "weight"  # the column, or the key, of an example's weight in the loss
_BLANKS = re.compile("[ \t]+")
_WORD_ID = re.compile("[0-9]+")
_SKIPPED_ID = re.compile(r"[0-9]+[-.][0-9]+")

Located = Iterator[tuple[Example, Line]]
Format = Callable[..., Located]
Records = Iterator[tuple[Line, list[str]]]
Columns = tuple[str, str]


# Plain text


def _text(lines: Lines) -> Located:
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


# Two columns


def _tsv(lines: Lines, columns: Columns | None = None) -> Located:
    records = ((line, line.text.split("\t")) for line in lines if line.text)
    return _table(records, "a tab", columns)


def _csv(lines: Lines, columns: Columns | None = None) -> Located:
    return _table(_csv_records(lines), "a comma", columns)


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
            raise unexpected(pulled[0].place, f"a CSV record, but {error}", pulled[0].text) from error
        if fields:
            yield pulled[0], fields


def _table(records: Records, separator: str, columns: Columns | None) -> Located:
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
    weights = [_position(line, header, WEIGHT)] if WEIGHT in header and WEIGHT not in names else []
    for line, fields in records:
        if len(fields) != len(header):
            expected = f"{len(header)} columns separated by {separator}"
            raise unexpected(line.place, expected, f"{len(fields)} in {line.text!r}", quote=False)
        first_value, second_value = (_filled(line, name, fields[at]) for name, at in zip(names, positions, strict=True))
        yield (first_value, second_value, *(_weight(line, fields[at]) for at in weights)), line


def _weight(line: Line, value: Any) -> float:
    """The weight of an example; that it is 0 or more, the task checks."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise unexpected(line.place, f"a number in {WEIGHT!r}", value) from error


def _names_in_header(line: Line, header: list[str]) -> Columns | None:
    """The known pair that a first line has; None if it is no header."""
    # A field that is just `label` next to an unknown name is a header, too: read as data, it would swap the columns.
    if not any(name in header for pair in _PAIRS for name in pair):
        return None
    return _known_pair(line, header)


def _known_pair(line: Line, names: list[str]) -> Columns:
    pairs = [pair for pair in _PAIRS if set(pair) <= set(names)]
    if len(pairs) != 1:
        expected = "either text and label or source and target, or columns=(…, …) that says which two"
        raise unexpected(line.place, expected, ", ".join(names), quote=False)
    return pairs[0]


def _position(line: Line, header: list[str], name: str) -> int:
    if header.count(name) != 1:
        raise unexpected(line.place, f"a header with the column {name!r} once", line.text)
    return header.index(name)


def _filled(line: Line, name: str, value: str) -> str:
    value = value.strip()
    if not value:
        raise unexpected(line.place, f"text in {name!r}, not nothing", line.text)
    return value


# JSON lines


def _jsonl(lines: Lines, columns: Columns | None = None) -> Located:
    for line in lines:
        if not line.text.strip():
            continue
        record = _json_object(line)
        columns = columns or _known_pair(line, list(record))
        first, second = (_json_value(line, record, key) for key in columns)
        if not isinstance(first, str):
            raise unexpected(line.place, f"a string in {columns[0]!r}", first)
        # A label may well be a number of a class; Python's text of it is the name of the class.
        weights = [_weight(line, record[WEIGHT])] if WEIGHT in record and WEIGHT not in columns else []
        yield (_filled(line, columns[0], first), _filled(line, columns[1], str(second)), *weights), line


def _json_object(line: Line) -> dict:
    try:
        record = json.loads(line.text)
    except (ValueError, RecursionError) as error:  # RecursionError: brackets in brackets, thousands deep
        raise unexpected(line.place, f"a JSON object, but {error}", line.text) from error
    if not isinstance(record, dict):
        raise unexpected(line.place, "a JSON object", line.text)
    return record


def _json_value(line: Line, record: dict, key: str) -> str | int:
    if key not in record:
        raise unexpected(line.place, f"the key {key!r}", line.text)
    value = record[key]
    if not isinstance(value, str | int):  # a bool is an int
        raise unexpected(line.place, f"a string, an integer or a boolean in {key!r}", value)
    try:
        str(value).encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot
        raise unexpected(line.place, f"Unicode text in {key!r}", value) from error
    return value


# Tokens and tags


def _conllu(lines: Lines, columns: Columns = ("FORM", "UPOS")) -> Located:
    return _sentences(lines, functools.partial(_conllu_word, positions=[_conllu_position(name) for name in columns]))


def _conll(lines: Lines) -> Located:
    return _sentences(lines, _conll_word)


def _sentences(lines: Lines, word_of: Callable[[Line], tuple[str, str] | None]) -> Located:
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


def _conllu_word(line: Line, positions: Sequence[int]) -> tuple[str, str] | None:
    if line.text.startswith("#"):
        return None
    fields = line.text.split("\t")
    if len(fields) != len(CONLLU_FIELDS):
        raise unexpected(line.place, "10 columns separated by tabs", f"{len(fields)} in {line.text!r}", quote=False)
    if not _WORD_ID.fullmatch(fields[0]):
        if _SKIPPED_ID.fullmatch(fields[0]):  # 3-4 spans the words that follow, 8.1 is not in the text
            return None
        raise unexpected(line.place, "an id such as 8, 3-4 or 8.1", fields[0])
    token, tag = (_filled(line, CONLLU_FIELDS[at], fields[at]) for at in positions)
    if tag == "_":
        raise unexpected(line.place, f"a tag, but there is no {CONLLU_FIELDS[positions[1]]} tag", line.text)
    return token, tag


def _conllu_position(name: str) -> int:
    if name not in CONLLU_FIELDS:
        raise unexpected("columns", f"two of {' '.join(CONLLU_FIELDS)}", name)
    return CONLLU_FIELDS.index(name)


def _conll_word(line: Line) -> tuple[str, str]:
    fields = _BLANKS.split(line.text.strip(" \t"))
    if len(fields) < 2:
        raise unexpected(line.place, "a token and a tag separated by blanks", line.text)
    return fields[0], fields[-1]


FORMATS: dict[str, Format] = {
    ".txt": _text,
    ".tsv": _tsv,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".conllu": _conllu,
    ".conll": _conll,
    ".bio": _conll,
}
TAKE_COLUMNS = (".tsv", ".csv", ".jsonl", ".conllu")
