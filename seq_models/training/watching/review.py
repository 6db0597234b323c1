"""What the model gets wrong."""

import numpy as np
import tensorflow as tf
from sklearn.metrics import confusion_matrix

from seq_models.plots import plot_confusion
from seq_models.training.losses import cross_entropy
from seq_models.training.watching.forward import logits_of
from seq_models.training.watching.watcher import Watcher

ROWS = 32  # that are looked at together


class Review(Watcher):
    """Goes through validation examples: the worst of them, and which labels are taken for which.

    The text `worst` has the examples with the highest loss, a mean over their tokens, and what the model answers. The
    picture `confusion`, if the task has labels, has a row for each label expected and a column for each one predicted.

    Args:
        log, share: See `Watcher`.
        model: A task's model.
        examples: A list of examples, not empty.
        worst: Number of examples in the text.
    """

    def __init__(self, log, share, model, examples, worst=5):
        super().__init__(log, share)
        self.examples = sorted(examples, key=lambda example: len(str(example)))  # so that little is padding
        self.batches = [model.batch(self.examples[k : k + ROWS]) for k in range(0, len(examples), ROWS)]
        any_size = tf.nest.map_structure(lambda t: tf.TensorSpec([None] * t.shape.rank, t.dtype), self.batches[0])
        self.review = tf.function(lambda *batch: review(self.model, *batch), input_signature=any_size)
        self.labels, self.worst = model.vocabularies().get("labels"), worst

    def prepare(self):
        self.review(*self.batches[0])

    def look(self, step, epoch):
        losses, targets, predicted = map(np.concatenate, zip(*(self.review(*b) for b in self.batches), strict=True))
        worst = np.argsort(-losses, kind="stable")[: self.worst]
        answers = self.model.samples([self.examples[k] for k in worst])
        rows = [{"loss": f"{losses[k]:.3f}", **answer} for k, answer in zip(worst, answers, strict=True)]
        self.log.table("worst", step, rows)
        if self.labels:
            counts = confusion_matrix(targets, predicted, labels=range(len(self.labels)))
            self.log.picture("confusion", step, plot_confusion(counts, self.labels))


def review(model, inputs, targets, weights):
    """Losses, targets and predictions of a batch.

    Returns:
        (losses, targets, predicted): the mean loss of the tokens of each example, floats (B,); and of each token with a
        weight, its target and its most probable label, integers (N,).
    """
    logits = logits_of(model, inputs)
    B = tf.shape(weights)[0]
    losses = tf.reshape(cross_entropy(targets, logits) * weights, [B, -1])
    tokens = tf.reduce_sum(tf.reshape(weights, [B, -1]), axis=1)
    real = weights > 0
    predicted = tf.argmax(logits, axis=-1, output_type=targets.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(losses, axis=1), tokens), targets[real], predicted[real]
