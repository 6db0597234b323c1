"""Heads over whole sentences: which tag a token gets depends on those of its neighbours."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from seq_models.layers.crf import Chain
from seq_models.layers.heads.cross_entropy import cross_entropy
from seq_models.layers.heads.pieces import NEVER
from seq_models.layers.heads.softmax import SoftmaxHead
from seq_models.layers.tensors import Tensor


@keras.saving.register_keras_serializable(package="seq_models")
class LegalHead(SoftmaxHead):
    """`SoftmaxHead` that predicts the most probable tags y of a sentence x all of whose steps are legal:

        P(y | x) ∝ Π_t softmax(logits_t)[y_t]   if every step from a tag to the next one is legal, else 0

    The loss is that of the softmax; probabilities are the marginals P(y_t = k | x).

    Args:
        classes: K.
        legal: Whether tag k may come after tag i, (K + 1, K + 1) of booleans or 0 and 1. The last row says which tags
            may be the first of a sentence, the last column which may be the last. None: all may.
        kernel_initializer: See `SoftmaxHead`.
    Raises:
        ValueError: If there is to be `label_smoothing`.
    Call arguments:
        inputs: A pair, here and wherever a head takes hidden states: these, floats (B, T, H), and a mask, booleans
            (B, T), True on the tokens that have a tag. On others predictions and probabilities are 0.
    Returns:
        Logits, floats (B, T, K).
    """

    def __init__(self, classes: int, legal: Sequence[Sequence[int]] | None = None, **kwargs: Any):
        super().__init__(classes, **kwargs)
        if self.label_smoothing:
            received = f"label_smoothing={self.label_smoothing!r}"
            raise ValueError(f"label_smoothing needs a softmax of each token by itself. Received: {received}")
        if self.calibrated:
            raise ValueError("The marginals of a head over sentences have no temperature. Received: calibrated=True")
        self.legal = legal

    def build(self, input_shapes):
        super().build(input_shapes[0])

    def call(self, inputs):
        return super().call(inputs[0])

    def compute_output_shape(self, input_shapes):
        return super().compute_output_shape(input_shapes[0])

    def transitions(self) -> Tensor:
        """The score of each step that is legal, as in a `Chain`."""
        return ops.zeros((self.classes + 1, self.classes + 1))

    def chain(self, inputs: tuple[Tensor, Tensor]) -> Chain:
        """The scores of all tags of some sentences."""
        logits = self._logits(inputs)
        transitions = ops.cast(self.transitions(), logits.dtype)
        if self.legal is not None:
            transitions = ops.where(np.array(self.legal, bool), transitions, NEVER)
        return Chain(logits, transitions, inputs[1])

    def compare(self, inputs: tuple[Tensor, Tensor], targets: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        chain = self.chain(inputs)
        return cross_entropy(targets, chain.logits), chain.viterbi()

    def predict(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """The most probable tags, integers (B, T)."""
        return self.chain(inputs).viterbi()

    def probabilities(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """P(y_t = k | x), floats of 32 bits (B, T, K)."""
        return self.chain(inputs).marginals()

    def log_probability(self, inputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        """log P(y_t | y_1 … y_{t-1}, x) of the targets, natural: their sum is log P(y | x)."""
        return self.chain(inputs).log_likelihood(targets)

    def get_config(self):
        return {**super().get_config(), "legal": self.legal}


@keras.saving.register_keras_serializable(package="seq_models")
class CRFHead(LegalHead):
    """A linear-chain conditional random field over the tags of a sentence; see `seq_models.layers.crf`.

    The loss of a token is -log P(y_t | y_1 … y_{t-1}, x), so that over a sentence the sum is -log P(y | x), and a mean
    over tokens is one. Targets that are illegal, which no training could make probable, have no loss.

    Weights: those of `SoftmaxHead`, and transitions (K + 1, K + 1), as in a `Chain`.

    Args, call arguments: see `LegalHead`.
    """

    def build(self, input_shapes):
        super().build(input_shapes)
        shape = (self.classes + 1, self.classes + 1)
        self._transitions = self.add_weight(name="transitions", shape=shape, initializer="zeros")

    def transitions(self) -> Tensor:
        return self._transitions.value

    def compare(self, inputs: tuple[Tensor, Tensor], targets: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        chain = self.chain(inputs)
        losses = ops.where(chain.is_legal(targets), -chain.log_likelihood(targets), 0.0)
        return losses, chain.viterbi()
