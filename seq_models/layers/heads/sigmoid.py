"""Labels that do not exclude each other: each is there or not, by itself."""

from typing import Any

import keras
from keras import ops

from seq_models.layers.heads.softmax import SoftmaxHead
from seq_models.layers.tensors import Tensor


@keras.saving.register_keras_serializable(package="seq_models")
class SigmoidHead(SoftmaxHead):
    """Any number of K labels for each hidden state:

        logits = h W + b      P(k | h) = sigmoid(logits_k)      prediction_k = P(k | h) >= threshold_k
        loss = -Σ_k y_k log P(k | h) + (1 - y_k) log(1 - P(k | h))

    Weights: kernel W (H, K), bias b (K,), thresholds (K,), which are not trained, at first 0.5.

    Args:
        classes: K, a positive integer.
        kernel_initializer: How W starts.
    Call arguments:
        hidden: h, floats (..., H).
    Returns:
        Logits, floats (..., K). Targets and predictions are (..., K), too, losses (...).
    Raises:
        ValueError: If there is to be `label_smoothing` or `calibrated`.
    """

    def __init__(self, classes: int, **kwargs: Any):
        super().__init__(classes, **kwargs)
        for name in ("label_smoothing", "calibrated"):
            if asked := getattr(self, name):
                raise ValueError(f"{name} needs one softmax over all classes. Received: {name}={asked!r}")

    def build(self, hidden_shape):
        super().build(hidden_shape)
        half = keras.initializers.Constant(0.5)
        self.thresholds = self.add_weight(name="thresholds", shape=(self.classes,), initializer=half, trainable=False)

    def compare(self, hidden: Tensor, targets: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Losses (...), floats of 32 bits, and predictions (..., K), for targets (..., K), 0 or 1."""
        logits = self._logits(hidden)
        # -log sigmoid(x) = softplus(-x), and softplus(-x) = softplus(x) - x
        losses = ops.sum(ops.softplus(logits) - ops.cast(targets, logits.dtype) * logits, axis=-1)
        return losses, self._above(ops.sigmoid(logits))

    def predict(self, hidden: Tensor) -> Tensor:
        """Which labels there are, integers 0 or 1 (..., K)."""
        return self._above(self.probabilities(hidden))

    def probabilities(self, hidden: Tensor) -> Tensor:
        """The probability of each label, floats of 32 bits (..., K), whose sum may be anything from 0 to K."""
        return ops.sigmoid(self._logits(hidden))

    def log_probability(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """log P(y | h) of all labels together, natural (...)."""
        return -self.compare(hidden, targets)[0]

    def _above(self, probabilities):
        return ops.cast(probabilities >= ops.cast(self.thresholds, probabilities.dtype), "int32")
