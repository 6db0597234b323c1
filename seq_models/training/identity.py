"""The data of a training, a part of its identity: it goes on with the same contents or not at all."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import keras

from seq_models.errors import InputError
from seq_models.text.contents import contents_of, contents_of_file, state_of
from seq_models.text.example_types import Example
from seq_models.training.run_directory import RunDirectory


class Identity(keras.callbacks.Callback):
    """What the data of a training hold when it begins; at the end of each epoch they must hold it still.

    To come before the callbacks that save something.

    Args:
        files: What else it began with and does not read again, as vectors, by name.
        data: The examples by what they are for, train and valid.
    Attributes:
        contents: Digests by name, as config.toml holds them.
    Raises:
        InputError: At the end of an epoch, if a file is another by then.
    """

    def __init__(self, files: Mapping[str, str] | None = None, **data: Iterable[Example]):
        super().__init__()
        self._read = {name: getattr(examples, "paths", ()) for name, examples in data.items()}
        self._found = {path: state_of(path) for paths in self._read.values() for path in paths}
        self.contents = {f"{name}_contents": contents_of(examples) for name, examples in data.items()}
        self._paths = {**self._read, **{name: [Path(path)] for name, path in (files or {}).items()}}
        self.contents |= {f"{name}_contents": [contents_of_file(Path(path))] for name, path in (files or {}).items()}

    def check(self, run: RunDirectory) -> None:
        """Refuses to go on with a run that was begun with other contents; names their files, wherever these lie."""
        begun = run.read_config()["data"] if run.config.exists() else {}
        for name, paths in self._paths.items():
            ours = self.contents[f"{name}_contents"]
            theirs = begun.get(f"{name}_contents", ours)
            if ours != theirs:
                others = [str(path) for path, one, other in zip(paths, ours, theirs, strict=False) if one != other]
                raise InputError(
                    f"{' and '.join(others) or f'The {name} data'} must hold what {run.path} was begun with; "
                    "choose another directory for other data. Received: other contents"
                )

    def check_unchanged(self) -> None:
        """Refuses files that are not what they were when the training began; names the first."""
        for name, paths in self._read.items():
            for path, before in zip(paths, self.contents[f"{name}_contents"], strict=False):
                if _found(path) != self._found[path] and contents_of_file(path) != before:
                    raise InputError(f"{path} must stay as it is while it is trained on. Received: other contents")

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """Within it, what goes wrong because a file has changed is told as that."""
        try:
            yield
        except Exception:
            self.check_unchanged()
            raise

    def on_epoch_end(self, epoch, logs=None):
        self.check_unchanged()


def _found(path):
    try:
        return state_of(path)
    except OSError:  # said where it is read
        return None
