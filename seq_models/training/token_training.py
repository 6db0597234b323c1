"""Training steps whose loss is a mean over the real tokens of the global batch.

Overrides of `keras.Model`, checked on Keras 3.15 with TensorFlow 2.20 and 2.21.
"""

import keras
import tensorflow as tf

from seq_models.training.losses import cross_entropy
from seq_models.training.metrics import TokenMean


class TokenTraining:
    """Mixed into a `keras.Model` of logits: training on (inputs, targets, weights).

        loss = Σ_i w_i (-log softmax(logits_i)[target_i]) / Σ_i w_i

    Both sums run over the whole global batch, so that padding, bucketing and the number of replicas change nothing:
    each replica divides its sum by the number of tokens on all replicas, and the gradients are summed. The `loss` in
    the logs is the mean over all tokens of an epoch. Penalties of regularizers are added to what is minimized.
    """

    def compile(self, optimizer="adam", clip_norm=None, **kwargs):
        """As `keras.Model.compile`; the loss is the one above.

        Args:
            optimizer: A name or a Keras optimizer, without clipping of its own.
            clip_norm: Largest norm of all gradients together [1], or None. It acts on the gradients of the whole
                global batch; that of a Keras optimizer would act on the part of each replica.
            kwargs: Other arguments of `keras.Model.compile`.
        References:
            [1] Pascanu, Mikolov and Bengio 2013, algorithm 1.
        """
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"clip_norm must be a positive number. Received: clip_norm={clip_norm!r}")
        if "loss" in kwargs:
            raise ValueError(f"The task brings its own loss. Received: loss={kwargs['loss']!r}")
        super().compile(optimizer=optimizer, **{"jit_compile": False, **kwargs})
        self._loss_tracker = TokenMean(name="loss")
        self.clip_norm = clip_norm

    def get_compile_config(self):
        if not self.compiled:
            return None
        optimizer = keras.saving.serialize_keras_object(self.optimizer)
        return {"optimizer": optimizer, "clip_norm": self.clip_norm}

    def compile_from_config(self, config):
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"])
        self.compile(optimizer, clip_norm=config["clip_norm"])
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, *args, shuffle=False, **kwargs):
        """As `keras.Model.fit`, on a dataset that shuffles by itself."""
        return super().fit(x, *args, shuffle=shuffle, **kwargs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Stock Keras calls the model on the sum of the replicas' batches, which fails where their shapes differ.

        A functional model and its metrics are built already; only the optimizer's variables are not.
        """
        if not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    def train_step(self, data):
        inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            logits = self(inputs, training=True)
            loss = self.token_loss(targets, logits, weights)
            loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(loss, [v.value for v in variables])
        self.optimizer.apply_gradients(zip(self._clip(gradients), variables, strict=True))
        return self.compute_metrics(inputs, targets, logits, weights)

    def test_step(self, data):
        inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
        logits = self(inputs, training=False)
        self.token_loss(targets, logits, weights)
        return self.compute_metrics(inputs, targets, logits, weights)

    def token_loss(self, targets, logits, weights):
        """This replica's share of the loss of the global batch, a scalar; the logs take note of it."""
        logits = tf.cast(logits, tf.float32)
        losses = cross_entropy(targets, logits)  # (B,) or (B, T)
        weights = tf.ones_like(losses) if weights is None else weights
        self._loss_tracker.update_state(losses, sample_weight=weights)
        tokens = _over_replicas(tf.reduce_sum(weights))
        loss = tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tokens)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return loss + sum(self.losses) / replicas if self.losses else loss

    def _clip(self, gradients):
        if self.clip_norm is None:
            return gradients
        # Dense, because the norm of sparse gradients counts a row that comes twice as two rows.
        gradients = _over_replicas([tf.convert_to_tensor(gradient) for gradient in gradients])
        clipped, _ = tf.clip_by_global_norm(gradients, self.clip_norm)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return [gradient / replicas for gradient in clipped]  # the optimizer sums over replicas


def _over_replicas(values):
    """The sum over all replicas."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)
