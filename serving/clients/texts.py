"""Texts from a file, a line each."""

from pathlib import Path

from retrying import ServingError


def read_texts(path):
    """The lines of a file in UTF-8, which end in LF or CRLF; a byte order mark at its start is dropped.

    Raises:
        ServingError: If a line is in another encoding.
        OSError: If the file cannot be read.
    """
    lines = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()  # the last line ends, too
    return [_decoded(line.removesuffix(b"\r"), f"{path}:{number}") for number, line in enumerate(lines, 1)]


def _decoded(line, place):
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ServingError(f"{place}: a text must be UTF-8. Received: {line[error.start : error.end]!r}") from error
