"""An end to a training that has gone wrong."""

import math
from collections.abc import Callable

import keras

from seq_models.errors import InputError, shortened
from seq_models.training.variables import steps_of

SHOWN = 3  # texts
LONGEST = 60  # characters of a text


class StopOnNaN(keras.callbacks.Callback):
    """Stops a training whose loss or gradient is not finite, with an error that names the step and the batch.

    To come before the callbacks that save a checkpoint. Of several steps in one call (`steps_per_execution`) it is not
    known which one it was.

    Args:
        texts_at: `texts_at(epoch, batch)` gives the texts of a training batch again. Both numbers are
            those of `keras.callbacks.Callback`: from 0, that of the batch since this `fit` began the epoch.
    Raises:
        InputError: If the mean loss or the mean norm of the gradients since the epoch began is not finite.
    """

    def __init__(self, texts_at: Callable[[int, int], list[str]]):
        super().__init__()
        self.texts_at = texts_at

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self.first = batch

    def on_train_batch_end(self, batch, logs=None):
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(logs.get(name, 0.0)):
                raise InputError(self._message(name, logs[name]))

    def _message(self, name, value):
        step, calls = steps_of(self.model), self.model.steps_per_execution
        place = f"step {step}" if calls == 1 else f"one of the steps {step - calls + 1} to {step}, the first of them"
        texts = ", ".join(repr(shortened(text, LONGEST)) for text in self.texts_at(self.epoch, self.first)[:SHOWN])
        return f"{name} must be finite. Received: {value} in epoch {self.epoch + 1}, {place} on the batch of {texts}, …"
