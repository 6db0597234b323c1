"""One vector from a sequence of vectors, padding left out: the last, the mean, the maximum [1, section 8.3.2], or a
mean under weights that are learned.

Each takes h (B, T, H) and a mask (B, T), True on real tokens, and gives (B, H). A row with no real token gives zeros.

References:
    [1] Jurafsky and Martin, chapter 8.
"""

from typing import Any

import keras
from keras import ops

from seq_models.layers.attention import masked_softmax
from seq_models.layers.tensors import Tensor


class Pooling(keras.layers.Layer):
    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        mask = ops.ones(ops.shape(inputs)[:2], dtype="bool") if mask is None else ops.cast(mask, "bool")
        return self.pool(inputs, ops.cast(mask, inputs.dtype)[:, :, None])

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])


@keras.saving.register_keras_serializable(package="seq_models")
class LastPooling(Pooling):
    """h of the last real token; of the first one where a backward layer ended.

    Args:
        bidirectional: Whether the second half of h was read from the end: [h^f_n; h^b_1].
    """

    def __init__(self, bidirectional: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.bidirectional = bidirectional

    def pool(self, h: Tensor, mask: Tensor) -> Tensor:
        seen = ops.cumsum(ops.cast(mask, "int32"), axis=1)  # not in the dtype of h: bfloat16 counts to 256 only
        last = mask * ops.cast(seen == seen[:, -1:], h.dtype)  # (B, T, 1), one at the last real token
        if not self.bidirectional:
            return ops.sum(h * last, axis=1)
        first = mask * ops.cast(seen == 1, h.dtype)
        forward, backward = ops.split(h, 2, axis=-1)
        return ops.concatenate([ops.sum(forward * last, axis=1), ops.sum(backward * first, axis=1)], axis=-1)

    def get_config(self):
        return {**super().get_config(), "bidirectional": self.bidirectional}


@keras.saving.register_keras_serializable(package="seq_models")
class MeanPooling(Pooling):
    """Σ_t m_t h_t / Σ_t m_t."""

    def pool(self, h: Tensor, mask: Tensor) -> Tensor:
        return ops.sum(h * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1)


@keras.saving.register_keras_serializable(package="seq_models")
class MaxPooling(Pooling):
    """The element-wise maximum of h over real tokens."""

    def pool(self, h: Tensor, mask: Tensor) -> Tensor:
        low = ops.cast(-3e4, h.dtype)
        highest = ops.max(ops.where(ops.cast(mask, "bool"), h, low), axis=1)
        return ops.where(ops.max(mask, axis=1) > 0, highest, 0)


@keras.saving.register_keras_serializable(package="seq_models")
class AttentionPooling(Pooling):
    """Σ_t α_t h_t, with α_t = softmax_t(u · tanh(W h_t + b)) over real tokens [1, equations 5 to 7].

    Weights: kernel W (H, H), bias b (H,), score_kernel u (H, 1).

    References:
        [1] Yang et al. 2016, Hierarchical Attention Networks for Document Classification.
    """

    def build(self, input_shape):
        H = input_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(H, H))
        self.bias = self.add_weight(name="bias", shape=(H,), initializer="zeros")
        self.score_kernel = self.add_weight(name="score_kernel", shape=(H, 1))

    def pool(self, h: Tensor, mask: Tensor) -> Tensor:
        hidden = ops.tanh(ops.matmul(h, self.kernel) + self.bias)  # (B, T, H)
        scores = ops.squeeze(ops.matmul(hidden, self.score_kernel), -1)
        weights = masked_softmax(scores, ops.squeeze(mask, -1) > 0)  # α (B, T)
        return ops.sum(h * weights[:, :, None], axis=1)
