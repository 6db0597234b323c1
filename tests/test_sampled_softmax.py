"""The sampled softmax: its candidates come as often as is said, and its loss is near to the exact one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq_models.layers.heads import SampledSoftmaxHead, TiedSampledSoftmaxHead, pieces
from seq_models.networks import LanguageModel

H, K, S, N = 4, 60, 20, 7


def sampled(candidates=S):
    head = SampledSoftmaxHead(K, candidates=candidates, seed=3)
    head.build((None, H))
    head.set_weights([np.random.normal(size=w.shape) for w in head.get_weights()])
    return head


def tied(candidates=S):
    embedding = keras.layers.ReversibleEmbedding(K, H, embeddings_initializer=keras.initializers.RandomNormal(stddev=1))
    embedding.build()
    return TiedSampledSoftmaxHead(embedding, candidates=candidates, seed=3)


every_head = pytest.mark.parametrize("make", [sampled, tied])


def rows(N=N):
    return tf.random.normal([N, H]), tf.random.uniform([N], 0, K, tf.int32)


def test_candidates_come_once_and_as_often_as_their_probability_says():
    head, draws = sampled(), 3000
    draw = tf.function(head.draw)
    drawn = [draw() for _ in range(draws)]
    counts, pi = np.zeros(K), np.full(K, np.nan)
    for c, log_pi in drawn:
        assert len(set(c.numpy())) == S
        counts[c.numpy()] += 1
        pi[c.numpy()] = np.exp(log_pi)
    np.testing.assert_allclose(counts / draws, pi, atol=0.04)
    assert 0 < head.always() < S and (counts[: head.always()] == draws).all()
    assert pi.sum() == pytest.approx(S, rel=1e-4)


@every_head
def test_the_sum_over_candidates_is_on_average_that_over_all_classes(make):
    head, (h, y) = make(), rows()
    exact = head.compare(h, y)[0].numpy()
    estimate = tf.function(lambda: head.compare(h, y, training=True)[0])
    losses = np.stack([estimate().numpy() for _ in range(2000)])
    # exp(loss) = Z' / exp(logit_y), and Z' is without bias.
    np.testing.assert_allclose(np.exp(losses).mean(axis=0), np.exp(exact), rtol=0.1)
    assert losses.std(axis=0).min() > 0


@every_head
def test_with_all_classes_but_one_nearly_the_loss_is_exact_and_so_is_its_gradient(make):
    near, (h, y) = make(candidates=K - 1), rows()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(h)
        exact, estimate = (tf.reduce_sum(near.compare(h, y, training=training)[0]) for training in (False, True))
    np.testing.assert_allclose(estimate, exact, rtol=0.05)
    np.testing.assert_allclose(tape.gradient(estimate, h), tape.gradient(exact, h), atol=0.3)


@every_head
def test_in_pieces_it_is_the_same(make, monkeypatch):
    whole, parts, (h, y) = make(), make(), rows(23)
    if make is sampled:
        parts.set_weights(whole.get_weights())
    else:
        parts._embedding().set_weights(whole._embedding().get_weights())

    def measured(head):
        with tf.GradientTape() as tape:
            tape.watch(h)
            loss = tf.reduce_sum(head.compare(h, y, training=True)[0] * tf.range(23.0))
        return loss, tape.gradient(loss, h)

    expected = measured(whole)
    monkeypatch.setattr(pieces, "FEW", 0)
    monkeypatch.setattr(pieces, "LOGITS", 4 * S)
    for one, other in zip(measured(parts), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_from_many_words_on_a_language_model_samples_in_training():
    heads = {softmax: LanguageModel(50_000, units=2, softmax=softmax).head for softmax in ("auto", "full", "sampled")}
    assert [isinstance(head, SampledSoftmaxHead) for head in heads.values()] == [True, False, True]
    assert not isinstance(LanguageModel(49_999, units=2).head, SampledSoftmaxHead)
    assert isinstance(LanguageModel(9, units=2, tie_weights=True, softmax="sampled").head, TiedSampledSoftmaxHead)


def test_tied_weights_of_another_size_have_a_projection_that_every_reading_goes_through():
    network = LanguageModel(9, units=4, embedding_units=3, tie_weights=True)
    tokens = np.random.randint(1, 9, (2, 5)).astype("int32")
    E, P = network.embedding.embeddings.numpy(), network.get_layer("projection").kernel.numpy()
    h = keras.Model(network.input, network.stack[-1].output)(tokens)
    logits = network(tokens)
    np.testing.assert_allclose(logits, h @ P @ E.T, rtol=1e-4, atol=1e-6)
    hidden, _ = network.read(tokens, network.start(tokens))
    np.testing.assert_allclose(network.head(hidden), logits, rtol=1e-4, atol=1e-6)
    states = network.start(tokens)
    for t in range(5):
        step, states = network.step(tokens[:, t], states)
        np.testing.assert_allclose(step, logits[:, t], rtol=1e-4, atol=1e-6)
