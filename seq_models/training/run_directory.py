"""A run directory: everything of one training in one place.

config.toml     the task and its data, and the options of text, network and training
*.txt           vocabularies and labels, one a line, for people to read
sample_texts.json  texts of the validation data, to try exports with
calibration.json  temperature and threshold of the best model, and what they were fitted on
vectors.json    how many words a file of vectors has that the training began with
model.keras     the best model so far, complete in itself
checkpoints/    what a resumed training goes on from
logs/           TensorBoard
metrics.jsonl   the numbers that TensorBoard shows
metrics.json    the scores of every epoch, the best one, and whether training has ended
"""

import contextlib
import json
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tomlkit

from seq_models.errors import InputError, path_of, shortened
from seq_models.files import write_whole
from seq_models.training.lock import LOCK

LONGEST = 120  # characters of a reason
# What config.toml says of the files: `Identity` compares what they hold, and they may have been moved.
OF_FILES = {("data", f"{name}{which}") for name in ("train", "valid") for which in ("", "_contents")}
OF_FILES |= {("data", f"{name}_contents") for name in ("vectors", "target_vectors")}
# Of a file of vectors `Identity` compares the contents; here counts only whether there is one.
NAMES = {("embeddings", name) for name in ("vectors", "target_vectors")}
Config = dict[str, dict[str, Any]]  # tables of plain values


class RunDirectory:
    """Paths and small files of a run directory.

    Args:
        path: The directory; it need not exist.
    Raises:
        InputError: If it is no path.
    """

    def __init__(self, path: str | Path):
        self.path = path_of("directory", path)
        self.config = self.path / "config.toml"
        self.model = self.path / "model.keras"
        self.checkpoints = self.path / "checkpoints"
        self.logs = self.path / "logs"
        self.metrics = self.path / "metrics.json"
        self.sample_texts = self.path / "sample_texts.json"
        self.coverage = self.path / "vectors.json"
        self.calibration = self.path / "calibration.json"

    def check(self, config: Config, changeable: Collection[str] = ()) -> None:
        """Says what is wrong with training a configuration here, before anything is done.

        Args:
            config: A dictionary of tables of plain values.
            changeable: Names of the values that may be others than those of the run.
        Raises:
            InputError: If the path holds something else or a run of another configuration; says what differs.
        """
        if self.config.exists():
            if "model" in self.read_config():
                raise InputError(f"{self.path} must be a run of seq_models 0.2 or later. Received: a run of 0.1")
            differences = _differences(self.read_config(), config, changeable)
            if differences:
                raise InputError(
                    f"{self.path} holds a run of another configuration; choose another directory or the same options. "
                    f"Received: {'; '.join(differences)}"
                )
        elif self.path.exists() and (not self.path.is_dir() or {item.name for item in self.path.iterdir()} - {LOCK}):
            raise InputError(f"{self.path} must be new, empty or a run directory. Received: neither")

    def start(self, config: Config, changeable: Collection[str] = ()) -> None:
        """Makes the directory for a configuration, or finds it made for the same one. Arguments and errors: `check`.

        What is changeable becomes that of the configuration.
        """
        self.check(config, changeable)
        if not self.config.exists() or self.read_config() != config:
            self.path.mkdir(parents=True, exist_ok=True)
            self.write_config(config)

    def read_config(self) -> Config:
        """The contents of config.toml. Raises an InputError if it is damaged, as all that read a run do."""
        with _whole(self.config, "the TOML of a run, tables with a table data"):
            config = tomlkit.parse(self.config.read_text("utf-8")).unwrap()
            config["data"].items()
            if not all(isinstance(table, dict) for table in config.values()):
                raise ValueError("a value outside of a table")
        return config

    def write_config(self, config: Config) -> None:
        write_whole(self.config, tomlkit.dumps(config))

    def read_metrics(self) -> dict[str, Any]:
        """The contents of metrics.json; of a run that has not ended an epoch, what it starts from."""
        if not self.metrics.exists():
            return {"epochs": [], "best": None, "finished": False}
        with _whole(self.metrics, "the JSON of a run, with epochs, best and finished"):
            metrics = json.loads(self.metrics.read_text("utf-8"))
            for name in ("epochs", "best", "finished"):
                metrics[name]
        return metrics

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        write_whole(self.metrics, json.dumps(metrics, indent=1) + "\n")

    def load_model(self) -> Any:
        """The best model.

        Raises:
            InputError: If there is none, its vocabulary is not the one in the directory, or a weight is not finite.
        """
        if not self.model.is_file():
            raise InputError(f"{self.path} must be a run directory with a model.keras. Received: no such file")
        # Opened first, because Keras says of what is no archive that there is no file.
        with _whole(self.model, "a whole model, as a training by this version saves it"), zipfile.ZipFile(self.model):
            model = keras.saving.load_model(self.model)
        for name, lines in model.vocabularies().items():
            path = self.path / f"{name}.txt"
            if path.exists() and path.read_bytes() != _lines(lines).encode():
                raise InputError(f"{path} must be the one that {self.model.name} was trained with. Received: another")
        for weight in model.weights:
            if not np.isfinite(weight).all():
                raise InputError(f"{self.model} must hold finite weights. Received: NaN or infinity in {weight.path}")
        if self.sample_texts.exists():
            with _whole(self.sample_texts, "a JSON list of texts"):
                model.sample_texts = [text + "" for text in json.loads(self.sample_texts.read_text("utf-8"))]
        return model

    def check_model(self) -> None:
        """Refuses a model.keras that is not whole, without loading it."""
        with _whole(self.model, "the best model so far, whole"), zipfile.ZipFile(self.model) as file:
            if (damaged := file.testzip()) is not None:
                raise ValueError(f"damage in {damaged}")

    def write_sample_texts(self, texts: Iterable[str]) -> None:
        write_whole(self.sample_texts, json.dumps(list(texts), ensure_ascii=False, indent=1) + "\n")

    def read_calibration(self) -> dict[str, Any]:
        """The contents of calibration.json; nothing of a run that has none."""
        if not self.calibration.exists():
            return {}
        with _whole(self.calibration, "the JSON of a run, an object"):
            found = json.loads(self.calibration.read_text("utf-8"))
            found.items()
        return found

    def write_coverage(self, coverage: Mapping[str, Any]) -> None:
        """Writes vectors.json, where there is something to say."""
        if coverage:
            write_whole(self.coverage, json.dumps(dict(coverage), ensure_ascii=False, indent=1) + "\n")

    def write_vocabularies(self, model: Any) -> None:
        for name, lines in model.vocabularies().items():
            write_whole(self.path / f"{name}.txt", _lines(lines))


@contextlib.contextmanager
def _whole(path, expected):
    """Within it, whatever reading a damaged file raises, and that may be anything, is one sentence."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} must be {expected}. Received: {shortened(reason, LONGEST)}") from error


def _lines(lines):
    return "\n".join(lines) + "\n"


def _differences(ours, theirs, changeable):
    flat = [{(table, key): value for table in c for key, value in c[table].items()} for c in (ours, theirs)]
    places = (flat[0].keys() | flat[1].keys()) - OF_FILES
    differences = []
    for place in sorted(place for place in places if place[1] not in changeable):
        run, now = (values.get(place) for values in flat)
        if (run is None) != (now is None) if place in NAMES else run != now:
            differences.append(f"{place[1]} = {now!r} where the run has {run!r}")
    return differences
