"""Which epoch is the best, and whether a training still gets better."""

import math
from collections.abc import Mapping, Sequence

import keras

from seq_models.errors import InputError

LOSS = "val_loss"
# How the names of scores end that are good where they are small; all others are good where they are large.
FALLING = ("loss", "perplexity", "_ter")


class Monitor:
    """A score of the validation that says which epoch is the best; of equal ones the one with the smaller loss is.

    Args:
        score: Its name in the logs, "val_…".
    """

    def __init__(self, score: str):
        self.score = score

    def rank(self, logs: Mapping[str, float]) -> list[float]:
        """Of the logs of an epoch two numbers, compared one after the other: those of a better epoch are larger."""
        return [_goodness(name, logs[name]) for name in (self.score, LOSS)]


def _goodness(name, value):
    value = float(value)
    if math.isnan(value):
        return -math.inf
    return -value if name.endswith(FALLING) else value


def check_monitor(name: str, known: Sequence[str]) -> None:
    """Raises an InputError if there is no score of that name."""
    if name not in known:
        raise InputError(f"monitor must be one of {', '.join(known)}. Received: monitor={name!r}")


class Patience(keras.callbacks.Callback):
    """Acts when neither the monitor's score nor the loss has got better for some epochs.

    A score alone may stay where it is, or fall, while a training only begins: entities are not found before most labels
    are right, and the loss says that they will be.

    Args:
        monitor: The score.
        patience: Number of epochs.
    """

    def __init__(self, monitor: Monitor, patience: int):
        super().__init__()
        self.monitor, self.patience = monitor, patience
        self.best: list[float] | None = None  # of each of the two by itself
        self.wait = 0

    def on_epoch_end(self, epoch, logs=None):
        rank = self.monitor.rank(logs)
        best = self.best or [-math.inf] * len(rank)
        is_better = any(now > before for now, before in zip(rank, best, strict=True))
        self.best = list(map(max, rank, best))
        self.wait = 0 if is_better else self.wait + 1
        if self.wait >= self.patience:
            self.wait = 0
            self.act()

    def act(self) -> None:
        """What is done then."""
        raise NotImplementedError


class EarlyStopping(Patience):
    """Stops a training that gets no better. Arguments: see `Patience`."""

    def act(self) -> None:
        self.model.stop_training = True


class ReduceOnPlateau(Patience):
    """Multiplies the learning rate when a training gets no better.

    Args:
        monitor, patience: See `Patience`.
        factor: By which it is multiplied.
    """

    def __init__(self, monitor: Monitor, patience: int, factor: float):
        super().__init__(monitor, patience)
        self.factor = factor

    def act(self) -> None:
        optimizer = self.model.optimizer
        optimizer.learning_rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate)) * self.factor
