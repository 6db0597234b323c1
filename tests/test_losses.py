"""The cross-entropy is that of TensorFlow, in value and gradient, also where a softmax underflows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq_models.layers.heads import (
    AdaptiveSoftmaxHead,
    LegalHead,
    SampledSoftmaxHead,
    SoftmaxHead,
    TiedSoftmaxHead,
    cross_entropy,
)

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


SMOOTHED = {
    "softmax": lambda: SoftmaxHead(V, label_smoothing=0.3),
    "tied": lambda: TiedSoftmaxHead(keras.layers.ReversibleEmbedding(V, 4), label_smoothing=0.3),
    "own logits": lambda: OwnLogits(V, label_smoothing=0.3),
}


class OwnLogits(SoftmaxHead):
    def call(self, hidden):
        return super().call(hidden) * 2


@pytest.mark.parametrize("name", SMOOTHED)
def test_label_smoothing_minimizes_the_cross_entropy_to_smoothed_targets(name):
    head = SMOOTHED[name]()
    hidden, targets = tf.random.normal((3, 5, 4)), np.random.randint(0, V, (3, 5))
    head.build(hidden.shape)
    head.set_weights([np.random.normal(size=w.shape) for w in head.get_weights()])

    def of_keras():
        smoothed = 0.7 * np.eye(V)[targets] + 0.3 / V
        return keras.losses.categorical_crossentropy(smoothed, head(hidden), from_logits=True)

    found = []
    for losses in (lambda: head.compare(hidden, targets, training=True)[0], of_keras):
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            value = losses()
        found += [[value, tape.gradient(value, hidden)]]
    for got, expected in zip(*found, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    plain = head.compare(hidden, targets)[0]  # a score has no smoothing
    exact = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, head(hidden))
    np.testing.assert_allclose(plain, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [SampledSoftmaxHead, AdaptiveSoftmaxHead, LegalHead])
def test_a_head_whose_loss_is_another_one_refuses_label_smoothing(make):
    with pytest.raises(ValueError, match="Received: label_smoothing=0.1"):
        make(100, label_smoothing=0.1)
