"""Files that are never seen half written."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from seq_models.errors import InputError


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to; what is there takes the place of `path` at the end, all at once.

    Args:
        path: What it holds stays until the new contents are on the disk.
    Raises:
        InputError: If the disk is full or does not let it be written.
    """
    aside = path.with_name(f".{os.getpid()}.{path.name}")  # the ending stays, for Keras looks at it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        flush(aside)
        aside.replace(path)
        flush(path.parent)
    except OSError as error:
        raise InputError(
            f"{path} must be on a disk that can be written to and has room; what it held is still there. "
            f"Received: {error.strerror or error}"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def write_whole(path: Path, text: str) -> None:
    """Writes a text file whole."""
    with written_whole(path) as aside:
        aside.write_text(text, "utf-8")


def flush(path: Path) -> None:
    """Waits until a file, or what a directory says of its files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
