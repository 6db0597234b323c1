"""What data hold, as short digests: the same contents are the same data, wherever they lie."""

import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path

from seq_models.text.example_types import Example
from seq_models.text.formats import FORMATS, TEXT
from seq_models.text.kept import kept
from seq_models.text.lines import unexpected

SETTLED = 2_000_000_000  # nanoseconds after which another change of a file gets another time
SIZE = 16  # bytes of a digest


def contents_of(examples: Iterable[Example]) -> list[str]:
    """A digest of each file; of examples that come from no file one of all of them."""
    if hasattr(examples, "contents"):
        return examples.contents()
    digest = hashlib.blake2b(digest_size=SIZE)
    for example in examples:
        digest.update(json.dumps(example, default=repr).encode() + b"\n")
    return [digest.hexdigest()]


def contents_of_file(path: Path, cache: str | Path | None = None) -> str:
    """How a file is read and a digest of what it holds, as `.tsv 9f86d081…`.

    A file is not read again as long as it keeps its place on the disk, size, time of the last change of its contents
    and that of its state (`st_ctime`): the last one no program can set back, so a change that keeps the others is seen.

    Args:
        path: The file.
        cache: A directory where digests are kept.
    Raises:
        InputError: If it cannot be read.
    """
    try:
        state = state_of(path)
        if cache is None or time.time_ns() - state[-1] < SETTLED:
            return _digest(path)
        return kept(cache, ["contents", str(path.resolve()), *state], lambda: _digest(path))
    except OSError as error:
        raise unexpected(path, "a file that can be read", error.strerror, quote=False) from error


def state_of(path: Path) -> tuple[int, ...]:
    """What is another with every change of a file: its place, size, time of its contents and, last, of its state."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digest(path: Path) -> str:
    format_ = "".join(ending for ending in path.suffixes[-2:] if ending in (".gz", TEXT, *FORMATS))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=SIZE))
    return f"{format_} {digest.hexdigest()}".lstrip()
