"""The bar of a training on a terminal."""

import shutil
from collections.abc import Mapping

import keras

from seq_models.training.resume import Resume

LONGEST = 20  # characters of a bar


class Bar(keras.callbacks.ProgbarLogger):
    """Keras's bar in one line, which knows the number of steps from the first epoch on, and where an epoch goes on.

    Args:
        steps: Steps in an epoch.
        resume: Says how many of them were done before.
    """

    def __init__(self, steps: int, resume: Resume):
        super().__init__()
        self.steps, self.resume = steps, resume

    def on_epoch_begin(self, epoch, logs=None):
        self.target = self.steps
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(self.resume.first + batch, self._fitting(logs or {}))

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.verbose != 1:
            super().on_epoch_end(epoch, logs)
            return
        validation = [name for name in logs if name.startswith("val_")]
        super().on_epoch_end(epoch, self._fitting({name: logs[name] for name in logs if name not in validation}))
        print(*(f"{name}: {logs[name]:.4f}" for name in validation), sep=" - ", flush=True)

    def _fitting(self, logs: Mapping[str, float]) -> dict[str, float]:
        """The loss and, as many as fit into a line, the other values, with a bar as short as they need it.

        A longer line could not be written over, and each step would leave one behind.
        """
        shown: dict[str, float] = {}
        room = shutil.get_terminal_size().columns - 1 - len(f"{self.target}/{self.target}  1:00:00 100ms/step")
        for name in sorted(logs, key=lambda name: (name != "loss", name == "gradient_norm")):
            value = logs[name]
            room -= len(f" - {name}: {value:.4{'f' if abs(value) > 1e-3 else 'e'}}")  # as Keras writes it
            if room < 0:
                break
            shown[name] = value
            self.progbar.width = min(LONGEST, room)
        return shown
