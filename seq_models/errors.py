"""The exceptions of this package: for what a user handed in, and for a worker that is lost; and what words them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """A file, option or value from outside is not what was expected.

    The message is one sentence that says what was expected and, for data, starts with `file:line:`.
    The command line prints it and leaves with exit code 2.
    """


class ExportRefused(InputError):
    """An export does not hold what a server needs, or does not answer as the model does."""


class WorkerLost(RuntimeError):
    """Another worker of a training has not come, or has gone: all started again go on from the last checkpoint."""


def sentence_of(error: OSError | ValueError) -> str | None:
    """What a user is told of an exception that comes from what was handed in, or from a disk; None for another one."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError):
        place = error.filename or "Every file and the output"
        return f"{place} must be there, be of the right kind and have room. Received: {error.strerror or error}"
    if isinstance(error, UnicodeEncodeError):
        return (
            f"Names of files and the output must be such as {error.encoding} can hold. Received: {error.object!r:.60}"
        )
    if "embedded null" in str(error):
        return "The name of a file must be without NUL characters. Received: one with it"
    return None


def path_of(name: str, value: Any) -> Path:
    """The path that an argument names.

    Raises:
        InputError: If it is none.
    """
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise InputError(f"{name} must be a path. Received: {name}={value!r:.60}")
    return Path(value)


def positive(**numbers: Any) -> None:
    """Raises a ValueError for the first of the numbers that is no positive integer."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number <= 0:
            raise ValueError(f"{name} must be a positive integer. Received: {name}={number!r}")


def shortened(text: str, longest: int) -> str:
    """A text of so many characters at most, for a sentence or a table."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


@contextmanager
def options_from_outside(place: str = "") -> Iterator[None]:
    """Within it, a ValueError about an argument is an InputError: the argument came from the command line.

    Args:
        place: Where else it came from: what the message starts with.
    """
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(f"{place}: {error}" if place else str(error)) from error
