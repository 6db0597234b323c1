"""A head that goes through its tokens in pieces says what it says of all at once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq_models.layers.heads import SoftmaxHead, TiedSoftmaxHead, pieces

H, V = 5, 7


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Four rows at once."""
    monkeypatch.setattr(pieces, "LOGITS", 4 * V)
    monkeypatch.setattr(pieces, "FEW", 0)


def softmax_head(**options):
    head = SoftmaxHead(V, **options)
    head.build((None, None, H))
    head.set_weights([np.random.normal(size=w.shape) for w in head.get_weights()])
    return head, head.trainable_variables


def tied_head(**options):
    embedding = keras.layers.ReversibleEmbedding(V, H, **options)
    embedding.build()
    embedding.set_weights([np.random.normal(size=(V, H))])
    return TiedSoftmaxHead(embedding, **options), embedding.trainable_variables


SHAPES = [(0,), (1,), (3,), (4,), (5,), (8,), (9,), (4, 1), (3, 5), (2, 2, 4)]  # of all tokens; 4 are a piece
every_head = pytest.mark.parametrize("make", [softmax_head, tied_head])


def reference(h, targets, upstream, variables):
    """Losses, logits and the gradients of Σ upstream loss by h and the variables, in float64."""
    values = [v.numpy().astype("float64") for v in variables]
    W, b = (values[0], values[1]) if len(values) == 2 else (values[0].T, 0)
    logits = h.astype("float64") @ W + b
    softmax = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    dlogits = (softmax - np.eye(V)[targets]) * upstream[..., None]
    flat_h, flat = h.reshape(-1, H), dlogits.reshape(-1, V)
    dW, db = flat_h.T @ flat, flat.sum(axis=0)
    dweights = [dW, db] if len(values) == 2 else [dW.T]
    return -np.log(np.take_along_axis(softmax, targets[..., None], axis=-1)[..., 0]), logits, [dlogits @ W.T, *dweights]


def measure(head, variables, h, targets, upstream):
    with tf.GradientTape() as tape:
        tape.watch(h)
        losses, predictions = head.compare(h, targets)
        loss = tf.reduce_sum(losses * tf.cast(upstream, losses.dtype))
    gradients = tape.gradient(loss, [h, *(v.value for v in variables)])
    return losses, predictions, [tf.convert_to_tensor(gradient) for gradient in gradients]


@pytest.mark.parametrize(
    ("shape", "known"),
    [*((shape, True) for shape in SHAPES), *((shape, False) for shape in ((0,), (5,), (3, 5)))],
    ids=lambda value: {True: "shape known", False: "shape unknown"}.get(value, str(value)),
)
@every_head
def test_losses_predictions_and_gradients_are_those_of_the_whole(make, shape, known):
    head, variables = make()
    h = np.random.normal(size=(*shape, H)).astype("float32")
    targets, upstream = np.random.randint(0, V, shape), np.random.normal(size=shape).astype("float32")
    signature = [tf.TensorSpec([None] * len(shape) + [H]), tf.TensorSpec([None] * len(shape), tf.int64)]
    signature += [tf.TensorSpec([None] * len(shape))]
    function = tf.function(
        lambda *arguments: measure(head, variables, *arguments), input_signature=None if known else signature
    )
    losses, predictions, gradients = function(tf.constant(h), tf.constant(targets), tf.constant(upstream))
    expected, logits, derived = reference(h, targets, upstream, variables)
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(predictions, logits.argmax(axis=-1))
    for gradient, exact in zip(gradients, derived, strict=True):
        np.testing.assert_allclose(gradient, exact, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(head.predict(h), predictions)
    np.testing.assert_allclose(head.log_probability(h, targets), -expected, rtol=1e-4, atol=1e-5)


@every_head
def test_with_16_bits_too_the_losses_have_32(make):
    head, variables = make(dtype="mixed_bfloat16")
    h, targets, upstream = np.random.normal(size=(9, H)), np.random.randint(0, V, 9), np.ones(9)
    losses, _, gradients = measure(head, variables, tf.constant(h, tf.bfloat16), tf.constant(targets), upstream)
    expected, _, derived = reference(h, targets, upstream, variables)
    assert losses.dtype == "float32" and [g.dtype for g in gradients][1:] == ["float32"] * len(variables)
    np.testing.assert_allclose(losses, expected, atol=0.1)
    for gradient, exact in zip(gradients, derived, strict=True):
        np.testing.assert_allclose(tf.cast(gradient, tf.float32), exact, atol=0.1)


def test_no_piece_has_more_logits_than_there_may_be(monkeypatch):
    made = []
    logits_of = pieces.logits_of
    monkeypatch.setattr(pieces, "logits_of", lambda h, *weights: made.append(h.shape[0]) or logits_of(h, *weights))
    head, variables = softmax_head()
    measure(head, variables, tf.zeros((23, H)), tf.zeros(23, tf.int64), np.ones(23, "float32"))
    assert max(made) <= 4 and sum(made) == 2 * 24  # forward and backward, 24 with padding


def test_predictions_that_nobody_asks_for_are_not_made(monkeypatch):
    calls = []

    def counted(logits, axis):
        there = tf.numpy_function(lambda x: calls.append(1) or x.argmax(axis), [logits], tf.int64, stateful=False)
        return tf.reshape(there, tf.shape(logits)[:-1])

    monkeypatch.setattr(keras.ops, "argmax", counted)
    head, _ = softmax_head()
    signature = [tf.TensorSpec([None, H]), tf.TensorSpec([None], tf.int32)]
    both = tf.function(head.compare, input_signature=signature)
    losses = tf.function(lambda *arguments: head.compare(*arguments)[0], input_signature=signature)
    for N in (3, 23):
        arguments = tf.zeros((N, H)), tf.zeros(N, tf.int32)
        both(*arguments)
        asked = len(calls)
        losses(*arguments)
        assert asked > 0 and len(calls) == asked
        calls.clear()


def test_a_head_with_logits_of_its_own_is_asked_for_them():
    class Sharper(SoftmaxHead):
        def call(self, hidden):
            return 2 * super().call(hidden)

    head, h, targets = Sharper(V), np.random.normal(size=(23, H)).astype("float32"), np.random.randint(0, V, 23)
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, head(h))
    np.testing.assert_allclose(head.compare(h, targets)[0], expected, rtol=1e-5)
