"""The cross-entropy is that of TensorFlow, in value and gradient, also where a softmax underflows."""

import numpy as np
import pytest
import tensorflow as tf

from seq_models.layers.heads import cross_entropy

V = 7


def value_and_gradient(loss, targets, logits, weights, jit_compile):
    @tf.function(jit_compile=jit_compile)
    def run(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = loss(targets, logits)
            total = tf.reduce_sum(losses * weights)
        return losses, tape.gradient(total, logits)

    return [part.numpy() for part in run(tf.constant(logits))]


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (0,)], ids="{}".format)
@pytest.mark.parametrize("scale", [1, 50, 1000])
def test_the_cross_entropy_and_its_gradient_are_those_of_tensorflow(shape, scale, jit_compile):
    logits = (scale * np.random.normal(size=(*shape, V))).astype("float32")
    targets = np.random.randint(0, V, shape)
    weights = np.random.uniform(size=shape).astype("float32")
    ours, expected = (
        value_and_gradient(loss, targets, logits, weights, jit_compile)
        for loss in (cross_entropy, tf.nn.sparse_softmax_cross_entropy_with_logits)
    )
    for got, value in zip(ours, expected, strict=True):
        assert np.isfinite(got).all()
        np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-5)


def test_a_target_that_is_all_but_impossible_has_a_finite_loss():
    losses = cross_entropy(tf.constant([1]), tf.constant([[500.0, -500.0]]))
    np.testing.assert_allclose(losses, [1000.0])
