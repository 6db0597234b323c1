"""Checkpoints: all that a training needs to go on, in one file that is whole or is not there."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seq_models.files import written_whole

KEPT = 2  # the newest, and one to fall back on
STATE = "state"  # the entry of what is not an array
Arrays = dict[str, np.ndarray]


class Checkpoints:
    """The checkpoints of a run, `<steps>.npz` each.

    Args:
        directory: Where they lie; made when the first one is saved.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)

    def save(self, steps: int, arrays: Arrays, state: dict[str, Any]) -> None:
        """Saves a checkpoint: written aside, made durable, renamed. Older ones but one are deleted then.

        Args:
            steps: Number of training steps so far.
            arrays, state: Arrays and plain values by name.
        Raises:
            InputError: If it cannot be written; the checkpoints before are still there.
        """
        entries: dict[str, Any] = {**arrays, STATE: np.frombuffer(json.dumps(state).encode(), np.uint8)}
        with written_whole(self.directory / f"{steps:010d}.npz") as aside:
            np.savez(aside, **entries)
        for old in self._paths()[KEPT:]:
            old.unlink()

    def newest(self, warn: Callable[[str], None]) -> tuple[Arrays, dict[str, Any]] | None:
        """The newest checkpoint that is whole: (arrays, state), or None.

        Args:
            warn: Called with a sentence for each one that is damaged.
        """
        for path in self._paths():
            try:
                with path.open("rb") as whole, np.load(whole) as file:
                    arrays = {name: file[name] for name in file.files}
                return arrays, json.loads(arrays.pop(STATE).tobytes())
            except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError) as error:
                warn(f"{path} is damaged and left out: {error}")
        return None

    def _paths(self):
        """Newest first."""
        return sorted(self.directory.glob("*.npz"), reverse=True)
