"""What a few steps of a training spend their time on."""

import warnings
from pathlib import Path

import keras
import tensorflow as tf


def step_range(text: str) -> tuple[int, int]:
    """The first and the last step of a text such as "10,20".

    Raises:
        ValueError: If it is not the first and the last step, counted from 1.
    """
    numbers = str(text).split(",")
    if len(numbers) == 2 and all(number.strip().isdecimal() for number in numbers):
        first, last = map(int, numbers)
        if 1 <= first <= last:
            return first, last
    raise ValueError(f"profile_steps must be a first and a last step, as `10,20`. Received: profile_steps={text!r}")


class Profile(keras.callbacks.Callback):
    """Writes a profile of a few steps, for the profile plugin of TensorBoard.

    Args:
        logs: The directory of TensorBoard's logs; the profile is in its `plugins/profile`.
        first, last: Steps, counted from 1 since this training began or went on. Where several are made in one call
            (`steps_per_execution`), those are added that are in a call with these.
    """

    def __init__(self, logs: str | Path, first: int, last: int):
        super().__init__()
        self.logs, self.first, self.last = str(logs), first, last
        self.steps, self.running = 0, False

    def on_train_batch_begin(self, batch, logs=None):
        before, self.steps = self.steps, self.steps + self.model.steps_per_execution
        if before < self.first <= self.steps:
            tf.profiler.experimental.start(self.logs)
            self.running = True

    def on_train_batch_end(self, batch, logs=None):
        if self.running and self.steps >= self.last:
            self._stop()

    def on_train_end(self, logs=None):
        if self.running:
            self._stop()
        if self.steps < self.first:
            warnings.warn(f"There is no profile of step {self.first}: training has ended before it.", stacklevel=1)

    def _stop(self):
        tf.profiler.experimental.stop()
        self.running = False
