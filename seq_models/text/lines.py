"""From files to decoded lines, each with its place."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seq_models.errors import InputError, shortened

_RECEIVED_LENGTH = 60


class Line(NamedTuple):
    """A decoded line and where it stands."""

    path: Path
    number: int
    text: str

    @property
    def place(self) -> str:
        """`file:line`, as editors and terminals open it."""
        return f"{self.path}:{self.number}"


Lines = Iterator[Line]


def unexpected(place: object, expected: str, received: object, quote: bool = True) -> InputError:
    """The error of something in a file, or of the file, that is not what was expected.

    Args:
        place: The file, or `file:line`.
        expected: What was expected, as a sentence goes on after "expected".
        received: What is there; it is shortened.
        quote: Whether it is shown in quotes, as a value.
    """
    shown = shortened(repr(received) if quote else str(received), _RECEIVED_LENGTH)
    return InputError(f"{place}: expected {expected}. Received: {shown}")


def open_bytes(path: Path) -> BinaryIO:
    """Opens a file, a compressed one if its name ends in `.gz`.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        # GzipFile hands out lines by Python code; a BufferedReader around it does so in C.
        return io.BufferedReader(gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise unexpected(path, "a file that can be read", error.strerror, quote=False) from error


def decoded_lines(path: Path, stream: BinaryIO) -> Lines:
    """The lines of an open file: UTF-8, ended by "\\n" or "\\r\\n" and nothing else, without a byte order mark.

    Raises:
        InputError: While iterating, at the first line that is not UTF-8 or where a gzip file breaks off.
    """
    # Bytes are split at "\n" only; text would be split at U+2028 and the like, too.
    number = 0
    try:
        for number, raw in enumerate(stream, start=1):
            yield Line(path, number, _decoded(path, number, raw))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise unexpected(f"{path}:{number + 1}", "a complete gzip file", error, quote=False) from error


def _decoded(path: Path, number: int, raw: bytes) -> str:
    try:
        text = raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        invalid = raw[error.start : error.end]
        raise unexpected(f"{path}:{number}", f"UTF-8, also at byte {error.start} of the line", invalid) from error
    return text.removeprefix("\ufeff") if number == 1 else text
