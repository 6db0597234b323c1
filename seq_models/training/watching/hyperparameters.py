"""The options of a training, beside the scores that it ended with."""

from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hp

from seq_models.training.watching.log import TrainingLog


class Hyperparameters(hp.KerasCallback):
    """A line in TensorBoard's table of hyper-parameters.

    Its scores are the last validation loss, and the last score that the task is judged by.

    Args:
        log: Where it goes.
        options: By name; what is not a number, a truth value or a string is written as Python writes it.
        monitor: Name in the logs of the score that the task is judged by, "val_…".
    """

    def __init__(self, log: TrainingLog, options: dict[str, Any], monitor: str):
        self.writer = tf.summary.create_file_writer(str(log.logs))
        plain = {name: v if isinstance(v, int | float | str) else repr(v) for name, v in options.items()}
        super().__init__(self.writer, plain, trial_id=str(log.logs.parent))  # a line for each run directory
        self.names = list(plain)
        self.scores = dict.fromkeys(f"epochs/{name.removeprefix('val_')}" for name in ("val_loss", monitor))

    def on_train_begin(self, logs=None):
        with self.writer.as_default():
            hp.hparams_config(
                [hp.HParam(name) for name in self.names], [hp.Metric(tag, group="validation") for tag in self.scores]
            )
        super().on_train_begin(logs)
        self.writer.flush()

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self.writer.flush()
