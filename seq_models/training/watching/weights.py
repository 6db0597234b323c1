"""Where the weights are."""

import tensorflow as tf

from seq_models.training.watching.names import named_weights
from seq_models.training.watching.watcher import Watcher


class Weights(Watcher):
    """The distribution of each weight, as `weights/LAYER/WEIGHT`."""

    def look(self, step: int, epoch: int) -> None:
        for name, weight in named_weights(self.model.network).items():
            self.log.histogram(f"weights/{name}", step, tf.convert_to_tensor(weight).numpy())
