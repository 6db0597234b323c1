"""The options of a training, beside the scores of the epoch that it kept."""

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hp

from seq_models.training.run_directory import RunDirectory
from seq_models.training.variables import steps_of
from seq_models.training.watching.log import TrainingLog


class Hyperparameters(hp.KerasCallback):
    """A line in TensorBoard's table of hyper-parameters, with `best/loss` and `best/SCORE`.

    These are the validation loss, and the validation score that the task is judged by, of the best epoch as
    metrics.json has it; of the last one where there is none, as after a `fit` without the callback that writes it.

    Args:
        log: Where it goes.
        options: By name; what is not a number, a truth value or a string is written as Python writes it.
        monitor: Name in the logs of the score that the task is judged by, "val_…".
        directory: The run directory.
    """

    def __init__(self, log: TrainingLog, options: dict[str, Any], monitor: str, directory: str | Path):
        self.writer, self.run = log.writer, RunDirectory(directory)
        plain = {name: v if isinstance(v, int | float | str) else repr(v) for name, v in options.items()}
        super().__init__(self.writer, plain, trial_id=str(log.logs.parent))  # a line for each run directory
        self.names = list(plain)
        self.scores = dict.fromkeys(("val_loss", monitor)).keys()

    def on_train_begin(self, logs=None):
        metrics = [hp.Metric(_best(score), display_name=_best(score)) for score in self.scores]
        with self.writer.as_default():
            hp.hparams_config([hp.HParam(name) for name in self.names], metrics)
        super().on_train_begin(logs)
        self.writer.flush()

    def on_epoch_end(self, epoch, logs=None):
        best = self.run.read_metrics()["best"] or {"epoch": epoch + 1, **logs}
        if best["epoch"] == epoch + 1:
            with self.writer.as_default(steps_of(self.model)):
                for score in self.scores & best.keys():  # a `fit` without validation has none
                    tf.summary.scalar(_best(score), float(best[score]))

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self.writer.flush()


def _best(score):
    return f"best/{score.removeprefix('val_')}"
