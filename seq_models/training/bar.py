"""The bar of a training on a terminal."""

import keras

from seq_models.training.resume import Resume


class Bar(keras.callbacks.ProgbarLogger):
    """Keras's bar, which knows the number of steps from the first epoch on, and where an epoch goes on.

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
        super().on_train_batch_end(self.resume.first + batch, logs)
