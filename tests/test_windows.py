"""A classifier that reads a long text in windows: each by itself, all pooled together."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy import small

import seq_models as sm
from seq_models.layers.windows import CutWindows, JoinWindows
from seq_models.networks import SequenceClassifier

V, H = 11, 3
TOKENS = np.array([[4, 5, 6, 7, 8, 9, 10], [5, 4, 3, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]], "int32")
POOLINGS = ("max", "mean", "last", "attention")
every_pooling = pytest.mark.parametrize("pooling", POOLINGS)


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def network(**options):
    net = SequenceClassifier(V, 4, units=H, cell="gru", dropout=0.0, **options)
    random = np.random.default_rng(2)
    net.set_weights([random.normal(size=w.shape) for w in net.get_weights()])
    return net


@pytest.mark.parametrize("T", [1, 2, 3, 6, 7])
def test_windows_are_the_slices_of_each_row_and_come_back(T):
    x = np.random.normal(size=(2, T, 5)).astype("float32")
    windows = array(CutWindows(3)(x))
    count = -(-T // 3)
    assert windows.shape == (2 * count, 3, 5)
    for row in range(2):
        for number in range(count):
            part = x[row, 3 * number : 3 * number + 3]
            window = windows[row * count + number]
            np.testing.assert_array_equal(window[: len(part)], part)
            assert not window[len(part) :].any()
    np.testing.assert_array_equal(array(JoinWindows()(windows, x)), x)
    mask = array(CutWindows(3)(x[:, :, 0] > 0))
    assert mask.dtype == bool and mask.shape == (2 * count, 3)


@every_pooling
def test_a_window_as_long_as_the_text_changes_nothing(pooling):
    whole, windows = network(pooling=pooling), network(pooling=pooling, window=7)
    np.testing.assert_allclose(array(windows(TOKENS)), array(whole(TOKENS)), rtol=1e-6, atol=1e-6)


@every_pooling
def test_each_window_is_read_by_itself_and_all_are_pooled(pooling):
    net, one = network(pooling=pooling, window=3), network(pooling=pooling)
    states = keras.Model(one.input, _pool(one).input[0])
    for row, length in ((0, 7), (1, 3)):
        parts = [TOKENS[row : row + 1, start : min(start + 3, length)] for start in range(0, length, 3)]
        h = np.concatenate([array(states(part)) for part in parts], axis=1)
        expected = array(one.head(_pool(one)(h)))
        np.testing.assert_allclose(array(net(TOKENS))[row : row + 1], expected, rtol=1e-5, atol=1e-5)
    assert np.abs(array(net(TOKENS))[0] - array(one(TOKENS))[0]).max() > 1e-3


def _pool(net):
    [pool] = [layer for layer in net.layers if "pooling" in layer.name]
    return pool


@every_pooling
def test_more_padding_and_other_rows_change_nothing(pooling):
    net = network(pooling=pooling, window=2)
    logits = array(net(TOKENS))
    np.testing.assert_allclose(array(net(np.pad(TOKENS, ((0, 0), (0, 4))))), logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(array(net(TOKENS[1:2, :3])), logits[1:2], rtol=1e-5, atol=1e-6)
    graph = tf.function(net, input_signature=[tf.TensorSpec([None, None], tf.int32)])
    np.testing.assert_allclose(graph(TOKENS), logits, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_a_token_stays_in_its_window():
    net = network(window=3, pooling="mean")
    embedding = net.get_layer("embedding")
    states = keras.Model([net.input, embedding.output], _pool(net).input[0])
    e = tf.constant(array(embedding(TOKENS)))
    with tf.GradientTape() as tape:
        tape.watch(e)
        first = tf.reduce_sum(states([tf.constant(TOKENS), e])[0, :3])
    gradient = array(tape.gradient(first, e))
    assert np.abs(gradient[0, :3]).min() > 0 and not gradient[0, 3:].any() and not gradient[1:].any()


@pytest.mark.slow
def test_a_classifier_with_windows_is_saved_explained_and_exported(tmp_path):
    model = small("classifier", window=3, pooling="mean")
    texts = ["a b c d e a b c", "b", ""]
    [explained] = model.explain(texts[:1], "gradient_times_input")
    assert len(explained.contributions) == len(explained.tokens) and np.abs(explained.contributions).min() > 0
    model.save_run(tmp_path / "run")
    assert sm.load_run(tmp_path / "run").predict_text(texts) == model.predict_text(texts)
    model.sample_texts = texts
    served = tf.saved_model.load(str(sm.export(model, tmp_path / "name"))).signatures["serving_default"]
    scores = served(tf.constant(texts))["score"].numpy()
    np.testing.assert_allclose(scores, [answer["score"] for answer in model.predict_text(texts)], rtol=1e-5)


@pytest.mark.parametrize("window", [1, 0, 2.5])
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(ValueError, match=f"window must be an integer at least 2.*Received: window={window}"):
        network(window=window)
