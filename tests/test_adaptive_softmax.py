"""The adaptive softmax: its probabilities are those of the paper, exact, and rare words cost only where they come."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import seq_models as sm
from seq_models.layers.heads import AdaptiveSoftmaxHead, pieces
from seq_models.networks import LanguageModel

H, K, CUTOFFS, N = 8, 30, [5, 12], 60
BOUNDS = [*CUTOFFS, K]


@pytest.fixture
def head():
    head = AdaptiveSoftmaxHead(K, CUTOFFS)
    head.build((None, H))
    head.set_weights([np.random.normal(size=w.shape) for w in head.get_weights()])
    return head


@pytest.fixture
def rows():
    """Hidden states, and targets in every cluster."""
    return np.random.normal(size=(N, H)).astype("float32"), np.resize(np.arange(K), N).astype("int32")


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def reference(head, h):
    """log P(k | h) of all classes by the equations of the paper, one class after the other, in float64."""
    W, b = (w.numpy().astype("float64") for w in (head.first.kernel, head.first.bias))
    first = log_softmax(h.astype("float64") @ W + b)
    log_p = np.zeros((len(h), K))
    for k in range(K):
        if k < CUTOFFS[0]:
            log_p[:, k] = first[:, k]
            continue
        i = 0 if k < CUTOFFS[1] else 1
        P, W, b = (
            w.numpy().astype("float64") for w in (head.projections[i].kernel, head.tails[i].kernel, head.tails[i].bias)
        )
        log_p[:, k] = first[:, CUTOFFS[0] + i] + log_softmax(h @ P @ W + b)[:, k - CUTOFFS[i]]
    return log_p


@pytest.mark.parametrize("small", [False, True], ids=["whole", "in pieces"])
def test_all_that_it_says_follows_from_the_equations(head, rows, small, monkeypatch):
    if small:
        monkeypatch.setattr(pieces, "FEW", 0)
        monkeypatch.setattr(pieces, "LOGITS", 3 * K)
    (h, y), log_p = rows, reference(head, rows[0])
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-9)
    np.testing.assert_allclose(head(h), log_p, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(head.probabilities(h).numpy().sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(head.probabilities(h), np.exp(log_p), rtol=1e-3, atol=1e-6)
    expected = log_p[np.arange(N), y]
    for training in (False, True):
        losses, predictions = head.compare(h, y, training=training)
        np.testing.assert_allclose(losses, -expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(predictions, log_p.argmax(axis=1))
    np.testing.assert_allclose(head.log_probability(h, y), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(head.predict(h), log_p.argmax(axis=1))
    assert len(set(np.digitize(log_p.argmax(axis=1), CUTOFFS))) == 3  # the best one is now in this cluster, now in that


def test_its_gradient_is_that_of_its_logits(head, rows):
    h, y = tf.constant(rows[0]), rows[1]
    upstream = np.linspace(-1, 1, N).astype("float32")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(h)
        ours = tf.reduce_sum(upstream * head.compare(h, y)[0])
        stock = tf.reduce_sum(-upstream * tf.gather(head(h), y, batch_dims=1))
    values = [h, *(v.value for v in head.trainable_variables)]
    for one, other in zip(tape.gradient(ours, values), tape.gradient(stock, values), strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(one), other, rtol=1e-3, atol=1e-4)


def test_a_cluster_without_a_target_is_not_looked_into(head, rows):
    seen = []
    for tail in head.tails:
        tail.compare = lambda h, y, training, tail=tail: seen.append(len(y)) or type(tail).compare(tail, h, y, training)
    h, y = rows[0][:4], np.array([0, 4, 5, 11])
    with tf.GradientTape() as tape:
        losses, _ = head.compare(h, y)
    assert seen == [2] and tape.gradient(losses, head.tails[1].kernel.value) is None

    @tf.function(input_signature=[tf.TensorSpec([None, H]), tf.TensorSpec([None], tf.int64)])
    def in_graph(h, y):
        with tf.GradientTape() as tape:
            losses, predictions = head.compare(h, y)
        return losses, predictions, tape.gradient(losses, [tail.kernel.value for tail in head.tails])

    again, predictions, (first, second) = in_graph(h, y)
    np.testing.assert_allclose(again, losses, rtol=1e-5)
    assert tf.reduce_any(first != 0) and not tf.reduce_any(second != 0)
    assert [part.shape for part in in_graph(h[:0], y[:0])[:2]] == [(0,), (0,)]


def test_rows_may_have_any_shape(head, rows):
    h, y = rows
    flat, _ = head.compare(h, y)
    shaped, predictions = head.compare(h.reshape(5, 12, H), y.reshape(5, 12))
    np.testing.assert_allclose(shaped, tf.reshape(flat, (5, 12)), rtol=1e-5)
    assert predictions.shape == (5, 12)


def test_clusters_are_smaller_the_rarer_their_words(head):
    assert [p.kernel.shape for p in head.projections] == [(H, H // 4), (H, 1)]
    assert AdaptiveSoftmaxHead(100_000).cutoffs == [4000, 20_000]
    assert AdaptiveSoftmaxHead(8).cutoffs == [4, 6]
    again = AdaptiveSoftmaxHead.from_config(head.get_config())
    assert again.get_config() == head.get_config()
    for cutoffs in ([0, 3], [3, 4], [9, 3], [3, K - 1], []):
        with pytest.raises(ValueError, match="cutoffs must rise"):
            AdaptiveSoftmaxHead(K, cutoffs)


def test_a_network_refuses_what_an_adaptive_softmax_cannot_be():
    with pytest.raises(ValueError, match="softmax=adaptive needs tie_weights=False"):
        LanguageModel(100, units=2, softmax="adaptive", tie_weights=True)
    with pytest.raises(ValueError, match="vocabulary of 8 tokens or more. Received: 7"):
        LanguageModel(7, units=2, softmax="adaptive")


TEXTS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog ran", "the log ran over a mat"]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return sm.LanguageModel.from_examples(TEXTS, units=8, softmax="adaptive", tokenizer="whitespace", unknown_share=0)


def test_ids_of_words_fall_with_their_frequency(model):
    tokens = model.preprocessor.codec.vocabulary.tokens[4:]
    counts = [" ".join(TEXTS).split().count(token) for token in tokens]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_a_step_reading_and_scoring_agree(model):
    network = model.network
    assert isinstance(network.head, AdaptiveSoftmaxHead)
    [tokens] = np.random.randint(4, 12, (1, 6))
    logits = network(tokens[None])
    np.testing.assert_allclose(tf.reduce_logsumexp(logits, axis=-1), np.zeros((1, 6)), atol=1e-5)
    states = network.start(tokens[None])
    for t in range(6):
        step, states = network.step(tokens[None, t], states)
        np.testing.assert_allclose(step, logits[:, t], rtol=1e-4, atol=1e-5)
    total = model.predict_text(TEXTS[:1])[0]["log_probability"]
    inputs, targets, _ = model.batch(TEXTS[:1])
    by_hand = tf.reduce_sum(tf.gather(network(inputs), targets, batch_dims=2))
    assert total == pytest.approx(float(by_hand), rel=1e-4)


@pytest.mark.slow
def test_it_learns_is_saved_and_its_export_passes_the_gate(model, tmp_path):
    before = model.score(TEXTS)["perplexity"]
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(model.dataset(TEXTS, shuffle=True), epochs=20, verbose=0)
    assert model.score(TEXTS)["perplexity"] < before / 2
    model.save_run(tmp_path / "run")
    again = sm.load_run(tmp_path / "run")
    assert again.score_tokens(TEXTS) == model.score_tokens(TEXTS)
    assert again.generate(["the cat"], 5, temperature=0) == model.generate(["the cat"], 5, temperature=0)
    sm.export(again, tmp_path / "export")  # with the gate
