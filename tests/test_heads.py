"""A head's losses, predictions and probabilities are those of the softmax over its logits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq_models.layers.heads import SoftmaxHead, TiedSoftmaxHead

B, T, H, K = 3, 4, 5, 6


def softmax_head():
    head = SoftmaxHead(K)
    head.build((None, None, H))
    head.set_weights([np.random.normal(size=w.shape) for w in head.get_weights()])
    return head, *map(keras.ops.convert_to_numpy, (head.kernel, head.bias))


def tied_head():
    embedding = keras.layers.ReversibleEmbedding(K, H)
    embedding.build((None, None))
    embedding.set_weights([np.random.normal(size=(K, H))])
    return TiedSoftmaxHead(embedding), keras.ops.convert_to_numpy(embedding.embeddings).T, np.zeros(K)


every_head = pytest.mark.parametrize("make", [softmax_head, tied_head])


@pytest.mark.parametrize("shape", [(B,), (B, T)], ids=str)
@every_head
def test_all_that_a_head_says_follows_from_its_logits(make, shape):
    head, W, b = make()
    h = np.random.normal(size=(*shape, H)).astype("float32")
    targets = np.random.randint(0, K, shape).astype("int32")
    logits = h.astype("float64") @ W + b
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(head(h), logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(head.probabilities(h), shares, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(head.predict(h), logits.argmax(axis=-1))
    losses, predictions = head.compare(h, targets)
    expected = -np.log(np.take_along_axis(shares, targets[..., None], axis=-1)[..., 0])
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(predictions, logits.argmax(axis=-1))
    np.testing.assert_allclose(head.log_probability(h, targets), -expected, rtol=1e-4, atol=1e-5)


@every_head
def test_the_gradient_by_the_hidden_states_is_that_of_the_cross_entropy(make):
    head, W, b = make()
    h, targets = tf.constant(np.random.normal(size=(B, T, H)), tf.float32), np.random.randint(0, K, (B, T))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(h)
        ours = tf.reduce_sum(head.compare(h, targets)[0] * tf.range(T, dtype=tf.float32))
        logits = tf.tensordot(h, tf.constant(W, tf.float32), 1) + tf.constant(b, tf.float32)
        stock = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        theirs = tf.reduce_sum(stock * tf.range(T, dtype=tf.float32))
    np.testing.assert_allclose(tape.gradient(ours, h), tape.gradient(theirs, h), rtol=1e-4, atol=1e-5)


def test_losses_and_probabilities_have_32_bits_at_least():
    for policy, dtype in (("mixed_bfloat16", "float32"), ("float64", "float64")):
        head = SoftmaxHead(K, dtype=policy)
        h = np.random.normal(size=(B, H)).astype(dtype)
        losses, _ = head.compare(h, np.zeros(B, "int32"))
        assert losses.dtype == head.probabilities(h).dtype == dtype
        assert head(h).dtype == head.compute_dtype


def test_the_tied_head_owns_no_weight_and_follows_its_embedding():
    embedding = keras.layers.ReversibleEmbedding(K, H)
    head = TiedSoftmaxHead(embedding)
    h = np.random.normal(size=(B, H)).astype("float32")
    head(h)
    assert head.weights == []
    embedding.set_weights([np.zeros((K, H))])
    np.testing.assert_array_equal(head(h), np.zeros((B, K)))


def test_a_head_survives_its_configuration():
    head = SoftmaxHead(K, kernel_initializer="zeros", name="logits")
    again = SoftmaxHead.from_config(head.get_config())
    assert again.get_config() == head.get_config()
    np.testing.assert_array_equal(again(np.ones((B, H))), np.zeros((B, K)))
