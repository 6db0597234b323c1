"""The cross-entropy of every token."""

import tensorflow as tf


def cross_entropy(targets, logits):
    """-log softmax(logits)[target] of every token.

    Its gradient is softmax(logits), less one at the target. The softmax is computed once for both; what is left are two
    maxima, a gather and a scatter.

        log Σ_v exp(logits_v) = max_v logits_v - log max_v softmax(logits)_v

    where the last maximum is at least 1/V, so that nothing underflows.

    Args:
        targets: Integers (...).
        logits: Floats (..., V).
    Returns:
        Floats (...).
    """
    V = tf.shape(logits)[-1]
    losses = _cross_entropy(tf.reshape(targets, [-1]), tf.reshape(logits, [-1, V]))
    return tf.reshape(losses, tf.shape(targets))


@tf.custom_gradient
def _cross_entropy(targets, logits):
    softmax = tf.nn.softmax(logits)  # (N, V)
    at_targets = tf.stack([tf.range(tf.size(targets)), tf.cast(targets, tf.int32)], axis=1)  # (N, 2)
    log_sum = tf.reduce_max(logits, axis=-1) - tf.math.log(tf.reduce_max(softmax, axis=-1))

    def gradient(upstream):
        return None, tf.tensor_scatter_nd_sub(softmax * upstream[:, None], at_targets, upstream)

    return log_sum - tf.gather_nd(logits, at_targets), gradient
