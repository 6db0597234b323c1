"""From files to decoded lines, each with its place."""

import codecs
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seq_models.errors import InputError, shortened

_RECEIVED_LENGTH = 60
_BLOCK = 1 << 16  # bytes that are read at once


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


def unexpected(
    place: object, expected: str, received: object, quote: bool = True, longest: int = _RECEIVED_LENGTH
) -> InputError:
    """The error of something in a file, or of the file, that is not what was expected.

    Args:
        place: The file, or `file:line`.
        expected: What was expected, as a sentence goes on after "expected".
        received: What is there; it is shortened.
        quote: Whether it is shown in quotes, as a value.
        longest: Its characters that are shown at most.
    """
    shown = shortened(repr(received) if quote else str(received), longest)
    return InputError(f"{place}: expected {expected}. Received: {shown}")


def open_bytes(path: Path) -> BinaryIO:
    """Opens a file, a compressed one if its name ends in `.gz`.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        return io.BufferedReader(gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise unexpected(path, "a file that can be read", error.strerror, quote=False) from error


def decoded_lines(path: Path, stream: BinaryIO) -> Lines:
    """The lines of an open file, one by one. Lines and errors: see `arriving_lines`."""
    return itertools.chain.from_iterable(arriving_lines(path, stream))


def arriving_lines(path: Path, stream: BinaryIO) -> Iterator[Lines]:
    """The lines of an open file or pipe: UTF-8, ended by "\\n" or "\\r\\n" and nothing else, without a byte order mark.

    Returns:
        Iterators over the lines that have come together, so that a line of a slow pipe need not wait for the next.
    Raises:
        InputError: While iterating, at the first line that is not UTF-8 or where a gzip file breaks off, or if a file
            has no line end but "\\r".
    """
    # Bytes are split at "\n" only; text would be split at U+2028 and the like, too.
    count = 0
    pieces: list[bytes] = []
    try:
        while block := stream.read1(_BLOCK):  # type: ignore[attr-defined] # every binary stream of io has it
            *ended, rest = block.split(b"\n")
            if ended:
                ended[0] = b"".join([*pieces, ended[0]])
                pieces.clear()
                yield _decoded(path, count, ended)
                count += len(ended)
            if rest:
                pieces.append(rest)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise unexpected(f"{path}:{count + 1}", "a complete gzip file", error, quote=False) from error
    except OSError as error:
        raise unexpected(path, "a file that can be read", error.strerror, quote=False) from error
    if last := b"".join(pieces):
        if count == 0 and b"\r" in last[:-1]:
            expected = "lines that end in LF or CRLF, as Unix and Windows write them"
            raise unexpected(f"{path}:1", expected, "CR as the only line end in the whole file", quote=False)
        yield _decoded(path, count, [last])


def _decoded(path: Path, count: int, raw_lines: list[bytes]) -> Lines:
    """The lines that follow the first `count` ones: decoded at once if all are right, in a fraction of the time."""
    try:
        text = b"\n".join(raw_lines).decode("utf-8")
    except UnicodeDecodeError:
        return _judged(path, count, raw_lines)
    if "\0" in text:
        return _judged(path, count, raw_lines)
    texts = [line.removesuffix("\r") for line in (text if count else text.removeprefix("\ufeff")).split("\n")]
    return map(Line._make, zip(itertools.repeat(path), itertools.count(count + 1), texts))


def _judged(path, count, raw_lines):
    """`_decoded`, up to the line that is wrong."""
    for number, raw in enumerate(raw_lines, start=count + 1):
        if number == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise unexpected(f"{path}:1", "UTF-8", "UTF-16, by its byte order mark", quote=False)
        try:
            text = raw.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            expected = f"UTF-8, also at byte {error.start} of the line"
            raise unexpected(f"{path}:{number}", expected, raw[error.start : error.end]) from error
        if "\0" in text:
            raise unexpected(f"{path}:{number}", "UTF-8 text without NUL characters, which UTF-16 is full of", text)
        yield Line(path, number, text.removeprefix("\ufeff") if number == 1 else text)
