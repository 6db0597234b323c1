"""Loss, metrics, learning rate and speed."""

import time

import keras

from seq_models.training.variables import number_of, steps_of
from seq_models.training.watching.log import TrainingLog
from seq_models.training.watching.watcher import Every


class Scalars(keras.callbacks.Callback):
    """Logs every so many steps and at the end of every epoch: what Keras logs, learning rate, tokens a second.

    Those of steps are `steps/…` and, as in Keras's progress bar, means since the epoch began; those of epochs are
    `epochs/…`. `tokens_a_second` are tokens that count in the loss, over the training steps since the line before. The
    first step of an epoch is left out: it may have had to wait for its data, or for the graph to be built.

    Args:
        log: Where they go.
        every: Steps from one line to the next.
    """

    def __init__(self, log: TrainingLog, every: int):
        super().__init__()
        self.log, self.every = log, Every(every)
        self.begun = False

    def on_epoch_begin(self, epoch, logs=None):
        self.steps = steps_of(self.model)
        if not self.begun:
            self.log.drop_after(self.steps, epoch)
        self.begun, self.epoch = True, epoch + 1
        self.first = self.before = self.last = None

    def on_train_batch_end(self, batch, logs=None):
        if self.first is None:
            self.first = self.before = self._progress()
        if self.every.due(self.steps + batch + 1):
            now = self._progress()
            self._log("steps", steps_of(self.model), logs, self.before, now)
            self.before = now

    def on_test_begin(self, logs=None):
        self.last = self._progress()  # the validation counts its own tokens, and takes its own time

    def on_epoch_end(self, epoch, logs=None):
        self._log("epochs", steps_of(self.model), logs, self.first, self.last or self._progress())
        self.log.flush()

    def on_train_end(self, logs=None):
        self.log.flush()

    def _log(self, section, step, logs, since, now):
        numbers = {**logs, "learning_rate": number_of(self.model.optimizer.learning_rate)}
        if since and now[1] > since[1]:
            numbers["tokens_a_second"] = (now[1] - since[1]) / (now[0] - since[0])
        self.log.numbers(section, step, self.epoch, numbers)

    def _progress(self):
        """Seconds, and the tokens of the epoch so far: those of this worker, times the number of workers."""
        strategy = self.model.distribute_strategy
        count = next(metric for metric in self.model.metrics if metric.name == "loss").count
        local = strategy.experimental_local_results(count.value)  # one a replica here; no worker has to be asked
        tokens = sum(map(number_of, local)) * strategy.num_replicas_in_sync / len(local)
        return time.perf_counter(), tokens
