"""What the model gets wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.metrics import confusion_matrix

from seq_models.plots import plot_confusion
from seq_models.training.metrics import mean_of_rows
from seq_models.training.token_training import TokenTraining
from seq_models.training.watching.forward import examine
from seq_models.training.watching.log import TrainingLog
from seq_models.training.watching.watcher import Watcher

ROWS = 32  # that are looked at together


class ErrorAnalysis(Watcher):
    """Goes through validation examples: the worst of them, and which labels are taken for which.

    The text `worst` has the examples with the highest loss, a mean over their tokens, and what the model answers. The
    picture `confusion`, if the task has labels that exclude each other, has a row for each label expected and a column
    for each one predicted.

    Args:
        log: See `Watcher`.
        model: A task's model.
        examples: A list of examples, not empty.
        worst: Number of examples in the text.
    """

    def __init__(self, log: TrainingLog, model: TokenTraining, examples: Sequence[Any], worst: int = 5):
        super().__init__(log)
        self.examples = sorted(examples, key=lambda example: len(str(example)))  # so that little is padding
        self.batches = [model.batch(self.examples[k : k + ROWS]) for k in range(0, len(examples), ROWS)]
        any_size = tf.nest.map_structure(lambda t: tf.TensorSpec([None] * t.shape.rank, t.dtype), self.batches[0])
        self.examine = tf.function(
            lambda *batch: errors_of(self.model, *batch), input_signature=any_size, autograph=False
        )
        exclusive = self.batches[0][1].dtype.is_integer  # else targets say of each label whether it is there
        self.labels, self.worst = model.vocabularies().get("labels") if exclusive else None, worst

    def prepare(self) -> None:
        self.examine(*self.batches[0])

    def look(self, step: int, epoch: int) -> None:
        losses, targets, predicted = map(np.concatenate, zip(*(self.examine(*b) for b in self.batches), strict=True))
        worst = np.argsort(-losses, kind="stable")[: self.worst]
        answers = self.model.samples([self.examples[k] for k in worst])
        rows = [{"loss": f"{losses[k]:.3f}", **answer} for k, answer in zip(worst, answers, strict=True)]
        self.log.table("worst", step, rows)
        if self.labels:
            seen = targets < len(self.labels)
            counts = confusion_matrix(targets[seen], predicted[seen], labels=range(len(self.labels)))
            self.log.picture("confusion", step, plot_confusion(counts, self.labels), self.labels)


def errors_of(
    model: TokenTraining, inputs: Any, targets: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Losses, targets and predictions of a batch.

    Returns:
        (losses, targets, predicted): the mean loss of the tokens of each example, floats (B,); and of each token with a
        weight, its target and its prediction, integers (N,).
    """
    losses, predicted = examine(model, inputs, targets)
    real = weights > 0
    return mean_of_rows(losses, model.loss_weights(targets, weights)), targets[real], predicted[real]
