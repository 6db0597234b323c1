"""Attention: how much each source step matters to a query, and the mean of the steps under these weights.

    α_j = softmax_j(score(q, k_j))      c = Σ_j α_j v_j

with q (B, Q) the query, v (B, S, D) the values and k_j the key made from v_j once for a whole sequence. Padded steps
get weight 0; a row with no real step gets weights 0 and context 0.
"""

from typing import Any

import keras
from keras import ops

from seq_models.errors import positive
from seq_models.layers.derivatives import product_over_steps
from seq_models.layers.tensors import Mask, Tensor, Tensors


class Attention(keras.layers.Layer):
    """Attention with a score that a subclass adds.

    Call arguments:
        query: q, floats (B, Q).
        values: v, floats (B, S, D).
        keys: What `self.keys(values)` gave; kept by a caller that asks many times.
        mask: Booleans (B, S), True on real steps, or None.
    Returns:
        (context c (B, D), weights α (B, S)).
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True  # the mask is used here and not passed on

    def build(self, query_shape, values_shape, keys_shape=None):
        raise NotImplementedError

    def keys(self, values: Tensor) -> Tensor:
        """Keys (B, S, …) of the values (B, S, D): the part of the score that no query changes."""
        return values

    def key_units(self, value_units: int) -> int:
        """The size of a key of values of size D."""
        return value_units

    def score_weights(self) -> Tensors:
        """The weights that `score` needs: tensors, for a custom gradient may not see variables."""
        return []

    def score(self, query: Tensor, keys: Tensor, weights: Tensors) -> Tensor:
        """Scores (B, S); `weights` is what `score_weights` gives."""
        raise NotImplementedError

    def gradient(self) -> "ScoreGradient | None":
        """The derivative of `score`; None where it is not written out, and the backend derives it step by step."""
        return None

    def call(self, query, values, keys=None, mask=None):
        keys = self.keys(values) if keys is None else keys
        return self.look(query, values, keys, mask, self.score_weights())

    def look(self, query: Tensor, values: Tensor, keys: Tensor, mask: Mask, weights: Tensors) -> tuple[Tensor, Tensor]:
        """As a call, with what `score_weights` gives."""
        alpha = masked_softmax(self.score(query, keys, weights), mask)  # (B, S)
        return ops.squeeze(ops.matmul(alpha[:, None], values), 1), alpha  # (B, 1, S) (B, S, D) -> (B, D)

    def compute_mask(self, query, mask=None):
        return None

    def compute_output_spec(self, query, values, keys=None, mask=None):
        context = keras.KerasTensor((values.shape[0], values.shape[2]), self.compute_dtype)
        return context, keras.KerasTensor((values.shape[0], values.shape[1]), self.compute_dtype)


def masked_softmax(scores: Tensor, mask: Mask) -> Tensor:
    """Softmax over the last axis, 0 where `mask` is False, also where it is False everywhere."""
    if mask is None:
        return ops.softmax(scores)
    low = ops.cast(-6e4, scores.dtype)  # float16 ends at 65504
    return ops.softmax(ops.where(mask, scores, low)) * ops.cast(mask, scores.dtype)


class ScoreGradient:
    """The derivative of a score, over all steps of a decoder: what one step needs in its loop, the rest after it.

    A score compares the keys with the query as it is projected, p = q W, (B, P); without a W, p = q. Here for the
    product, score = p · k_j.
    """

    def project(self, queries: Tensor, weights: Tensors) -> Tensor:
        """p of the queries of all steps: (T, B, Q) -> (T, B, P)."""
        return ops.matmul(queries, weights[0]) if weights else queries

    def back(self, dscore: Tensor, p: Tensor, keys: Tensor, weights: Tensors) -> Tensor:
        """The gradient of p (B, P) from that of the scores of one step (B, S)."""
        return ops.squeeze(ops.matmul(dscore[:, None], keys), 1)  # (B, 1, S) (B, S, P) -> (B, P)

    def dquery(self, dp: Tensor, weights: Tensors) -> Tensor:
        """The gradient of the query (B, Q) from that of p (B, P)."""
        return ops.matmul(dp, ops.transpose(weights[0])) if weights else dp

    def over_steps(
        self, dscores: Tensor, queries: Tensor, p: Tensor, dp: Tensor, keys: Tensor, weights: Tensors
    ) -> tuple[Tensor, Tensors]:
        """The gradients of the keys and of the weights from all steps: dscores (T, B, S), the others (T, B, …)."""
        dkeys = ops.matmul(ops.transpose(dscores, (1, 2, 0)), ops.transpose(p, (1, 0, 2)))  # (B, S, T) (B, T, P)
        return dkeys, [product_over_steps(queries, dp) for _ in weights]


@keras.saving.register_keras_serializable(package="seq_models")
class AdditiveAttention(Attention):
    """score(q, v_j) = u · tanh(W_q q + W_k v_j), the small feed-forward network of Bahdanau et al. [1, appendix A.1.2].

    Weights: query_kernel (Q, A), key_kernel (D, A), bias (A,), score_kernel u (A, 1).

    Args:
        units: A, a positive integer.
    Call arguments, returns: see `Attention`.
    References:
        [1] Bahdanau, Cho and Bengio 2015, arXiv:1409.0473.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        positive(units=units)
        self.units = units

    def build(self, query_shape, values_shape, keys_shape=None):
        A = self.units
        self.query_kernel = self.add_weight(name="query_kernel", shape=(query_shape[-1], A))
        self.key_kernel = self.add_weight(name="key_kernel", shape=(values_shape[-1], A))
        self.bias = self.add_weight(name="bias", shape=(A,), initializer="zeros")
        self.score_kernel = self.add_weight(name="score_kernel", shape=(A, 1))

    def keys(self, values: Tensor) -> Tensor:
        return ops.matmul(values, self.key_kernel) + self.bias  # (B, S, A)

    def key_units(self, value_units: int) -> int:
        return self.units

    def score_weights(self) -> Tensors:
        return [ops.copy(self.query_kernel), ops.copy(self.score_kernel)]

    def score(self, query: Tensor, keys: Tensor, weights: Tensors) -> Tensor:
        W, u = weights
        hidden = ops.tanh(ops.matmul(query, W)[:, None] + keys)  # (B, S, A)
        return ops.squeeze(ops.matmul(hidden, u), -1)  # (B, S)

    def gradient(self) -> "AdditiveScoreGradient":
        return AdditiveScoreGradient()

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class AdditiveScoreGradient(ScoreGradient):
    """score = u · tanh(p + k_j), p = q W; weights W, u."""

    def back(self, dscore: Tensor, p: Tensor, keys: Tensor, weights: Tensors) -> Tensor:
        hidden = ops.tanh(p[:, None] + keys)  # (B, S, A)
        return ops.sum(dscore[:, :, None] * weights[1][:, 0] * (1 - hidden * hidden), axis=1)

    def over_steps(
        self, dscores: Tensor, queries: Tensor, p: Tensor, dp: Tensor, keys: Tensor, weights: Tensors
    ) -> tuple[Tensor, Tensors]:
        _, u = weights

        def add(t, sums):
            # Step by step once more, so that no array of T, S and A exists.
            squares, du = sums
            hidden, ds = ops.tanh(p[t][:, None] + keys), dscores[t][:, :, None]
            return squares + ds * (1 - hidden * hidden), du + product_over_steps(hidden, ds)

        nothing = ops.zeros_like(keys), ops.zeros_like(u)
        squares, du = ops.fori_loop(0, ops.shape(p)[0], add, nothing)
        return squares * u[:, 0], [product_over_steps(queries, dp), du]


@keras.saving.register_keras_serializable(package="seq_models")
class BilinearAttention(Attention):
    """score(q, v_j) = q W_s v_j: query and values may differ in size ("general" in Luong et al. 2015, eq. 8).

    Weights: kernel W_s (Q, D). Call arguments, returns: see `Attention`.
    """

    def build(self, query_shape, values_shape, keys_shape=None):
        self.kernel = self.add_weight(name="kernel", shape=(query_shape[-1], values_shape[-1]))

    def score_weights(self) -> Tensors:
        return [ops.copy(self.kernel)]

    def score(self, query: Tensor, keys: Tensor, weights: Tensors) -> Tensor:
        [W] = weights
        return _dot(ops.matmul(query, W), keys)

    def gradient(self) -> ScoreGradient:
        return ScoreGradient()


@keras.saving.register_keras_serializable(package="seq_models")
class DotAttention(Attention):
    """score(q, v_j) = q · v_j, for query and values of one size (Luong et al. 2015, eq. 8).

    Call arguments, returns: see `Attention`.
    Raises:
        ValueError: If query and values differ in size.
    """

    def build(self, query_shape, values_shape, keys_shape=None):
        if query_shape[-1] != values_shape[-1]:
            raise ValueError(
                "Dot attention needs a query and values of one size (bilinear attention does not). "
                f"Received: query {query_shape[-1]}, values {values_shape[-1]}"
            )

    def score(self, query: Tensor, keys: Tensor, weights: Tensors) -> Tensor:
        return _dot(query, keys)

    def gradient(self) -> ScoreGradient:
        return ScoreGradient()


@keras.saving.register_keras_serializable(package="seq_models")
class ScaledDotAttention(DotAttention):
    """score(q, v_j) = q · v_j / √D, whose variance does not grow with the size (Vaswani et al. 2017, section 3.2.1).

    Call arguments, returns, errors: see `DotAttention`.
    """

    def keys(self, values: Tensor) -> Tensor:
        return values / values.shape[-1] ** 0.5


def _dot(query, keys):
    return ops.squeeze(ops.matmul(keys, query[:, :, None]), -1)  # (B, S, D) (B, D, 1) -> (B, S)
