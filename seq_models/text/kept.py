"""Plain values on disk that can be computed again: whatever happens to them costs time and nothing else."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seq_models.errors import InputError
from seq_models.files import write_whole
from seq_models.messages import say_once


def kept(directory: str | Path, question: list, compute: Callable[[], Any]) -> Any:
    """`compute()`, or what it gave when the same question was asked before.

    Args:
        directory: Where answers are kept; one that cannot be written to is named, once.
        question: Plain values on which the answer depends.
        compute: A function without arguments that returns plain values.
    """
    path = Path(directory) / f"{_digest(json.dumps(question))}.json"
    found = _read(path)
    if found is None:
        found = [compute()]
        _write(path, json.dumps(found, ensure_ascii=False))
    return found[0]


def _read(path: Path) -> list | None:
    """The contents of a file, a list of one; None if there is no file or it is damaged."""
    try:
        digest, _, text = path.read_text("utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return json.loads(text) if digest == _digest(text) else None


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, f"{_digest(text)}\n{text}")
    except InputError as error:
        reason = getattr(error.__cause__, "strerror", error)
        say_once(f"{path.parent} cannot keep what was found in the data, so the next training looks again: {reason}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
