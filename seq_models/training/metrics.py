"""Metrics over tokens."""

from typing import Any

import keras
import tensorflow as tf


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


def mean_over_tokens(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Σ_i w_i v_i / Σ_i w_i, a scalar; 0 where nothing has a weight."""
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), tf.reduce_sum(weights))
