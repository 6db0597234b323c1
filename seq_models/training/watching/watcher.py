"""Callbacks that look at a model at the end of every epoch and, in a share of the training's time, in between."""

import time

import keras

from seq_models.training.variables import steps_of
from seq_models.training.watching.log import TrainingLog


class Watcher(keras.callbacks.Callback):
    """Looks at the model at the end of every epoch, however short, and perhaps every so many steps.

    Between the ends of epochs it looks only if all looks, the first and the coming one included, take no more than
    `share` of the time since the first. It reads the model and changes nothing: not its weights, nor its random state.
    A subclass adds

        look(step, epoch)
        prepare()          what only the first look needs, as a graph of TensorFlow: it takes seconds, once

    Args:
        log: Where what is seen goes.
        every: Steps from one look to the next between the ends of epochs; None for no look there.
        share: Of the training's time that the looks every so many steps may take, in [0, 1].
    """

    def __init__(self, log: TrainingLog, every: int | None = None, share: float = 0.0):
        super().__init__()
        self.log, self.share, self.every = log, share, every and Every(every)
        self.seen, self.epoch = None, 0  # the step of the last look; the epoch, from 1
        self.steps = 0  # before the epoch

    def look(self, step: int, epoch: int) -> None:
        raise NotImplementedError

    def prepare(self) -> None:
        pass

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.steps = epoch + 1, steps_of(self.model)

    def on_train_batch_end(self, batch, logs=None):
        # Counted, for the model's own number takes a tenth of a millisecond to read.
        if self.every and self.every.due(self.steps + batch + 1):
            if self.seen is None or self._is_cheap():
                self._look()

    def on_epoch_end(self, epoch, logs=None):
        if self.seen != steps_of(self.model):
            self._look()

    def _is_cheap(self):
        return self.seconds + self.dearest <= self.share * (time.perf_counter() - self.first)

    def _look(self):
        if self.seen is None:
            self.prepare()
            self.first, self.seconds, self.dearest = time.perf_counter(), 0.0, 0.0
        started = time.perf_counter()
        self.seen = steps_of(self.model)
        self.look(self.seen, self.epoch)
        took = time.perf_counter() - started
        self.seconds, self.dearest = self.seconds + took, max(self.dearest, took)


class Every:
    """Says when so many more steps are done; one call may be about several steps.

    Args:
        steps: A positive integer.
    """

    def __init__(self, steps: int):
        self.steps = steps
        self.before: int | None = None

    def due(self, step: int) -> bool:
        before, self.before = step - 1 if self.before is None else self.before, step
        return step // self.steps > before // self.steps
