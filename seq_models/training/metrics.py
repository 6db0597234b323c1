"""Metrics over tokens."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="seq_models")
class TokenMean(keras.metrics.Mean):
    """Σ_i w_i v_i / Σ_i w_i over all tokens of all batches.

    `keras.metrics.Mean` takes the mean over time within a batch first, so that a token of a short batch counts more.
    """

    def update_state(self, values, sample_weight=None):
        weights = tf.ones_like(values) if sample_weight is None else sample_weight
        super().update_state(tf.reshape(values, [-1]), tf.reshape(weights, [-1]))


@keras.saving.register_keras_serializable(package="seq_models")
class TokenAccuracy(TokenMean):
    """Share of the tokens whose most probable label is the right one."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        right = tf.equal(tf.argmax(y_pred, axis=-1, output_type=y_true.dtype), y_true)
        super().update_state(tf.cast(right, tf.float32), sample_weight)
