"""Penalties on weights that Keras does not have."""

import keras
from keras import ops

from seq_models.layers.tensors import Tensor


@keras.saving.register_keras_serializable(package="seq_models")
class NormPenalty(keras.regularizers.Regularizer):
    """λ ‖W‖₂, with the Frobenius norm, not its square [1].

    Args:
        rate: λ, a number at least 0.
    References:
        [1] Press and Wolf 2017, Using the Output Embedding to Improve Language Models, section 3.2.
    """

    def __init__(self, rate: float):
        self.rate = rate

    def __call__(self, weights: Tensor) -> Tensor:
        return self.rate * ops.norm(weights)

    def get_config(self):
        return {"rate": self.rate}
