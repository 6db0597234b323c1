"""Metrics over tokens."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from seq_models.text.entities import entity_counts, tag_codes


@keras.saving.register_keras_serializable(package="seq_models")
class TokenMean(keras.metrics.Mean):
    """Σ_i w_i v_i / Σ_i w_i over all tokens of all batches.

    `keras.metrics.Mean` takes the mean over time within a batch first, so that a token of a short batch counts more.
    `_direction` tells Keras's callbacks whether more of it is better.
    """

    _direction = "down"

    def update_state(self, values, sample_weight=None):
        weights = tf.ones_like(values) if sample_weight is None else sample_weight
        super().update_state(tf.reshape(values, [-1]), tf.reshape(weights, [-1]))


@keras.saving.register_keras_serializable(package="seq_models")
class TokenAccuracy(TokenMean):
    """Share of the tokens whose prediction is the target."""

    _direction = "up"

    def __init__(self, name: str = "accuracy", dtype: Any = None):
        super().__init__(name, dtype)

    def update_state(self, targets, predictions, sample_weight=None):
        right = tf.equal(tf.cast(predictions, targets.dtype), targets)
        super().update_state(tf.cast(right, tf.float32), sample_weight)


class ExactMatch(TokenMean):
    """Share of the texts that have the labels which are predicted, and no others."""

    _direction = "up"

    def __init__(self, name: str = "exact_match", dtype: Any = None):
        super().__init__(name, dtype)

    def update_state(self, targets, predictions, sample_weight=None):
        right = tf.reduce_all(tf.equal(targets, with_unseen(predictions, targets.dtype)), axis=-1)
        super().update_state(tf.cast(right, tf.float32), sample_weight)


@keras.saving.register_keras_serializable(package="seq_models")
class MicroF1(keras.metrics.Metric):
    """F1 of the labels of all texts together: 2 correct / (there + predicted), by the weights of the texts."""

    _direction = "up"

    def __init__(self, name: str = "micro_f1", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self.sums = [self.add_variable((), "zeros", self.dtype, name=name) for name in ("correct", "all")]

    def update_state(self, targets, predictions, sample_weight=None):
        predictions = with_unseen(predictions, targets.dtype)
        for variable, values in zip(self.sums, (targets * predictions, targets + predictions), strict=True):
            counts = tf.reduce_sum(values, axis=-1)
            weighted = counts if sample_weight is None else counts * sample_weight
            variable.assign_add(tf.cast(tf.reduce_sum(weighted), variable.dtype))

    def result(self) -> tf.Tensor:
        correct, both_sides = (tf.convert_to_tensor(each) for each in self.sums)
        return tf.math.divide_no_nan(2 * correct, both_sides)


def with_unseen(predictions: tf.Tensor, dtype: Any) -> tf.Tensor:
    """Predictions of L labels (B, L) as targets are, whose last one says if there is an unseen label: (B, L + 1)."""
    return tf.cast(tf.pad(predictions, [[0, 0], [0, 1]]), dtype)


@keras.saving.register_keras_serializable(package="seq_models")
class EntityF1(keras.metrics.Metric):
    """F1 of the entities that tags spell out: 2 correct / (there + predicted), counted over all batches [1].

    Tokens without a weight are outside of any entity. An entity counts as its row: the largest weight there.

    Args:
        labels: The L tags; targets and predictions are their numbers, those of unseen ones as `Labels.ids` says.
    References:
        [1] Tjong Kim Sang and De Meulder 2003, section 2.3.
    """

    _direction = "up"

    def __init__(self, labels: Sequence[str], name: str = "entity_f1"):
        super().__init__(name=name)
        self.codes = tag_codes(tf.constant(labels)).numpy()
        counts = ("there", "predicted", "correct")
        self.counts = [self.add_variable((), "zeros", self.dtype, name=count) for count in counts]

    def update_state(self, targets, predictions, sample_weight=None):
        real = tf.ones_like(targets, tf.bool) if sample_weight is None else sample_weight > 0
        sides = (tf.where(real, self._codes(ids), 0) for ids in (targets, predictions))
        counts = tf.cast(entity_counts(*sides), self.dtype)  # (B, 3)
        if sample_weight is not None:
            counts *= tf.cast(tf.reduce_max(sample_weight, axis=1, keepdims=True), self.dtype)
        for variable, count in zip(self.counts, tf.unstack(tf.reduce_sum(counts, axis=0)), strict=True):
            variable.assign_add(count)

    def _codes(self, ids):
        ids, L = tf.cast(ids, tf.int32), len(self.codes)
        return tf.where(ids < L, tf.gather(self.codes, tf.minimum(ids, L - 1)), ids - L)

    def result(self) -> tf.Tensor:
        there, predicted, correct = (tf.convert_to_tensor(count) for count in self.counts)
        return tf.math.divide_no_nan(2 * correct, there + predicted)


def mean_of_rows(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Σ_t w_t v_t / Σ_t w_t of each row (B,), of values and weights (B,) or (B, T); 0 where nothing has a weight."""
    flat = [tf.reshape(each, [tf.shape(each)[0], -1]) for each in (values * weights, weights)]
    return tf.math.divide_no_nan(*(tf.reduce_sum(each, axis=1) for each in flat))


def mean_over_tokens(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Σ_i w_i v_i / Σ_i w_i, a scalar; 0 where nothing has a weight."""
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), tf.reduce_sum(weights))
