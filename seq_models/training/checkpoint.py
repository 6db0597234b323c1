"""Checkpoints: all that a training needs to go on, in one file that is whole or is not there."""

import json
import zipfile
from pathlib import Path

import numpy as np

from seq_models.files import written_whole

KEPT = 2  # the newest, and one to fall back on
STATE = "state"  # the entry of what is not an array


class Checkpoints:
    """The checkpoints of a run, `<steps>.npz` each.

    Args:
        directory: Where they lie; made when the first one is saved.
    """

    def __init__(self, directory):
        self.directory = Path(directory)

    def save(self, steps, arrays, state):
        """Saves a checkpoint: written aside, made durable, renamed. Older ones but one are deleted then.

        Args:
            steps: Number of training steps so far.
            arrays: A dictionary of arrays.
            state: A dictionary of plain values.
        Raises:
            InputError: If it cannot be written; the checkpoints before are still there.
        """
        path = self.directory / f"{steps:010d}.npz"
        with written_whole(path) as aside:
            np.savez(aside, **arrays, **{STATE: np.frombuffer(json.dumps(state).encode(), np.uint8)})
        for old in self._paths()[KEPT:]:
            old.unlink()

    def newest(self, warn):
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
                warn(f"{path} is damaged ({error}); going on from the one before.")
        return None

    def _paths(self):
        """Newest first."""
        return sorted(self.directory.glob("*.npz"), reverse=True)
