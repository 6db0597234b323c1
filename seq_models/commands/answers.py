"""Where answers go: standard output, or a new file that is there when all of them are."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from seq_models.errors import InputError
from seq_models.text.lines import unexpected
from seq_models.text.questions import Question


class Output(Protocol):
    """Takes answers one by one."""

    def write(self, question: Question, answer: Mapping[str, Any], line: str) -> None:
        """Takes an answer: as a dictionary, and as one line of text."""


class Print(AbstractContextManager):
    """Lines on standard output, each at once."""

    def __init__(self, whole: bool):
        self._whole = whole

    def __exit__(self, *_: Any) -> None:
        pass

    def write(self, question: Question, answer: Mapping[str, Any], line: str) -> None:
        print(json.dumps(answer, ensure_ascii=False) if self._whole else line, flush=True)


class TextFile:
    """A line an answer."""

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, question: Question, answer: Mapping[str, Any], line: str) -> None:
        self._file.write(line + "\n")


class JsonFile:
    """An object an answer: the columns of the input, then those of the answer."""

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, question: Question, answer: Mapping[str, Any], line: str) -> None:
        self._file.write(json.dumps(beside(question.values, answer), ensure_ascii=False) + "\n")


class CsvFile:
    """A row an answer under a header: the columns of the input, then those of the answer; lists are JSON."""

    def __init__(self, file: TextIO):
        self._rows = csv.writer(file, lineterminator="\n")
        self._names: list[str] | None = None

    def write(self, question: Question, answer: Mapping[str, Any], line: str) -> None:
        values = beside(question.values, answer)
        if self._names is None:
            self._names = list(values)
            self.row(question, self._names)
        if unknown := [name for name in values if name not in self._names]:
            raise unexpected(question.place, "the columns of the rows before it; .jsonl takes any", unknown[0])
        self.row(question, [_cell(values.get(name, "")) for name in self._names])

    def row(self, question: Question, cells: list[str]) -> None:
        self._rows.writerow(cells)


class TsvFile(CsvFile):
    """As `CsvFile`, with tabs and without any quoting."""

    def __init__(self, file: TextIO):
        super().__init__(file)
        self._file = file

    def row(self, question: Question, cells: list[str]) -> None:
        for cell in cells:
            if any(mark in cell for mark in "\t\n\r"):
                raise unexpected(question.place, "no tab or line end in a .tsv; .csv and .jsonl take them", cell)
        self._file.write("\t".join(cells) + "\n")


OUTPUTS: dict[str, Callable[[TextIO], Output]] = {
    ".txt": TextFile,
    ".tsv": TsvFile,
    ".csv": CsvFile,
    ".jsonl": JsonFile,
}


@contextmanager
def opened(name: str) -> Iterator[Output]:
    """A new file for answers, which is there when all of them are.

    Raises:
        InputError: If there is such a file, or its ending says no format.
    """
    from seq_models.files import written_whole

    path = Path(name)
    if path.suffix not in OUTPUTS:
        raise InputError(f"--output must end in one of {' '.join(OUTPUTS)}. Received: {name}")
    if path.exists():
        raise InputError(f"--output must be a new file. Received: {name}, which is there")
    with written_whole(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        yield OUTPUTS[path.suffix](file)


def beside(values: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the input and those of the answer; one that both have is `predicted_…` in the answer."""
    return {**values, **{f"predicted_{name}" if name in values else name: answer[name] for name in answer}}


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
