"""Where the weights are, and how large the gradient is, layer by layer."""

from typing import Any

import tensorflow as tf

from seq_models.training.metrics import mean_over_tokens
from seq_models.training.token_training import TokenTraining
from seq_models.training.watching.forward import examine, trainable_values
from seq_models.training.watching.log import TrainingLog
from seq_models.training.watching.names import named_layers, named_weights
from seq_models.training.watching.watcher import Watcher


class Weights(Watcher):
    """The distribution of each weight, as `weights/LAYER/WEIGHT`."""

    def look(self, step: int, epoch: int) -> None:
        for name, weight in named_weights(self.model.network).items():
            self.log.histogram(f"weights/{name}", step, tf.convert_to_tensor(weight).numpy())


class GradientNorms(Watcher):
    """The norm of the gradient of the loss by the weights of each layer, `gradient_norm/LAYER`, on a batch that stays.

    Args:
        log, every, share: See `Watcher`.
        batch: (inputs, targets, weights).
    """

    def __init__(self, log: TrainingLog, every: int, share: float, batch: tuple):
        super().__init__(log, every, share)
        self.batch, self.norms = batch, tf.function(gradient_norms, autograph=False)

    def prepare(self) -> None:
        self.norms(self.model, *self.batch)

    def look(self, step: int, epoch: int) -> None:
        self.log.numbers("gradient_norm", step, epoch, self.norms(self.model, *self.batch))


def gradient_norms(model: TokenTraining, inputs: Any, targets: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
    """‖∂loss/∂θ‖₂ for the trainable weights θ of each layer, without dropout: scalars by the layer's name."""
    values = trainable_values(model)
    with tf.GradientTape() as tape:
        tape.watch(values)
        losses, _ = examine(model, inputs, targets, values)
        loss = mean_over_tokens(losses, weights)
    gradients = tape.gradient(loss, values, unconnected_gradients="zero")
    # Dense, because the norm of a sparse gradient counts a row that comes twice as two rows.
    by_weight = {id(v): tf.convert_to_tensor(g) for v, g in zip(model.trainable_variables, gradients, strict=True)}
    return {
        name: tf.linalg.global_norm([by_weight[id(weight)] for weight in layer.trainable_weights])
        for name, layer in named_layers(model.network).items()
        if layer.trainable_weights
    }
