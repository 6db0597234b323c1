"""What was found in a corpus once, kept on disk for the next time."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from seq_models.files import write_whole
from seq_models.text.example_types import Example
from seq_models.text.examples import Examples

VERSION = 3  # of what is computed: another one makes all that is kept outdated


def remembered(examples: Iterable[Example], question: list, compute: Callable[[], Any]) -> Any:
    """`compute()`, or what it gave when the same question was asked of the same files.

    A file is the same if its path, size and time of the last change are: reading 2 GB for a hash of its contents would
    take about as long as the answer. Answers are kept in the directory `examples.cache`; without one, as for a list, it
    is always computed.

    Args:
        examples: `Examples`, or any iterable of examples.
        question: What is computed, with all that it depends on apart from the files: plain values.
        compute: A function without arguments that returns plain values.
    Raises:
        InputError: If the directory cannot be written to.
    """
    if not isinstance(examples, Examples) or examples.cache is None:
        return compute()
    path = Path(examples.cache) / f"{_digest(json.dumps([VERSION, examples.fingerprint(), question]))}.json"
    kept = _read(path)
    if kept is None:
        kept = [compute()]
        _write(path, json.dumps(kept, ensure_ascii=False))
    return kept[0]


def _read(path: Path) -> list | None:
    """The contents of a file, a list of one; None if there is no file or it is damaged."""
    try:
        digest, _, text = path.read_text("utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return json.loads(text) if digest == _digest(text) else None


def _write(path: Path, text: str) -> None:
    write_whole(path, f"{_digest(text)}\n{text}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
