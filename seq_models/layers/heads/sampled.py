"""The softmax over a large vocabulary, estimated in training by some of its classes."""

import math
from typing import Any

import keras
from keras import ops

from seq_models.layers.heads.pieces import by_size, log_sum_exp, log_sum_exp_in_pieces
from seq_models.layers.heads.softmax import SoftmaxHead, TiedSoftmaxHead, loss_beside
from seq_models.layers.tensors import Tensor

CANDIDATES = 8192  # as many as in [2]


@keras.saving.register_keras_serializable(package="seq_models")
class SampledSoftmaxHead(SoftmaxHead):
    """`SoftmaxHead` whose loss in training sums over some candidates c instead of all classes [1, 2]:

        loss = -log P'(y | h)      P'(y | h) = exp(logit_y) / (exp(logit_y) + Σ_{c ≠ y} exp(logit_c) / π_c)

    The sum is on average that over all classes. π_c is the probability that c is among the candidates: classes are in
    the order of falling counts, and their log-uniform distribution log((c + 2) / (c + 1)) / log(K + 1) is near to that
    of words. As many candidates as are asked for are drawn without one that comes twice: the first classes always,
    the others at equal distances along the distribution, from a random start on. All that is no training is exact.

    Args:
        classes: K.
        candidates: Number of candidates for all tokens of a batch; the loss is exact if it is K or more.
        seed: Of the candidates.
    Raises:
        ValueError: If there is to be `label_smoothing`.
    References:
        [1] Jean et al. 2015, On Using Very Large Target Vocabulary, section 3. [2] Jozefowicz et al. 2016, Exploring
        the Limits of Language Modeling, section 3.1.
    """

    def __init__(self, classes: int, candidates: int = CANDIDATES, seed: int | None = None, **kwargs: Any):
        super().__init__(classes, **kwargs)
        if self.label_smoothing:
            received = f"label_smoothing={self.label_smoothing!r}"
            raise ValueError(
                f"label_smoothing needs a loss over all classes, not over candidates. Received: {received}"
            )
        self.candidates, self.seed = candidates, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def compare(self, hidden: Tensor, targets: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """As of every head; in training the losses are those above."""
        if not training or self.candidates >= self.classes:
            return super().compare(hidden, targets, training)
        return self._estimated(hidden, targets), self.predict(hidden)

    def draw(self) -> tuple[Tensor, Tensor]:
        """The candidates, integers (S,), and log π of each."""
        K, S, always = self.classes, self.candidates, self.always()
        drawn, span = S - always, math.log((K + 1) / (always + 1))
        place = (ops.arange(drawn, dtype="float32") + keras.random.uniform((), seed=self.seed_generator)) / drawn
        others = ops.cast((always + 1) * ops.exp(span * place), "int32") - 1
        c = ops.concatenate([ops.arange(always, dtype="int32"), ops.clip(others, always, K - 1)])
        log_pi = ops.log(drawn / span * ops.log1p(1 / (ops.cast(c, "float32") + 1)))
        return c, ops.where(c < always, 0.0, log_pi)

    def always(self) -> int:
        """How many of the first classes are always candidates: those whose π would be 1 or more, were they drawn."""
        K, S = self.classes, self.candidates
        return next(a for a in range(S) if (S - a) * math.log((a + 2) / (a + 1)) <= math.log((K + 1) / (a + 1)))

    def _estimated(self, hidden, targets):
        y = ops.reshape(ops.cast(targets, "int32"), (-1,))
        h = ops.cast(ops.reshape(hidden, (-1, hidden.shape[-1])), self.compute_dtype)  # (N, H)
        c, log_pi = self.draw()
        W, *b = self.affine(c)
        weights = [W, sum(b, -ops.cast(log_pi, W.dtype))]
        several = [log_sum_exp, log_sum_exp_in_pieces]
        others = by_size(h, self.candidates, *(lambda how=how: how(h, y, c, weights) for how in several))
        return ops.reshape(loss_beside(others, h, self.affine(y)), ops.shape(targets))

    def get_config(self):
        return {**super().get_config(), "candidates": self.candidates, "seed": self.seed}


class TiedSampledSoftmaxHead(SampledSoftmaxHead, TiedSoftmaxHead):
    """`TiedSoftmaxHead` with the loss of `SampledSoftmaxHead` in training. Args: those of both."""
