"""The recipes of CONTRIBUTING.md work as they stand there, and are short."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from toy import EXAMPLES, TEXTS

import seq_models as sm
from seq_models.layers.derivatives import dropped
from seq_models.training.watching import watchers

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
EXAMPLES = EXAMPLES["classifier"]
OPTIONS = {"units": 6, "embedding_units": 5, "tokenizer": "whitespace"}


def recipe(name):
    """What the code of a recipe defines."""
    code = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL).group(1)
    lines = [line for line in code.splitlines() if line.strip() and not line.strip().startswith(('"', "@"))]
    assert len(lines) <= 15
    namespace = {"sm": sm, "keras": keras, "ops": ops, "dropped": dropped, "__name__": __name__}
    exec(compile(code, f"{PAGE}: {name}", "exec"), namespace)  # noqa: S102
    return namespace


def goes_all_the_way(task, tmp_path, **options):
    """Trains with all watchers, saves, loads, exports through the gate; returns the loaded model."""
    model = task.from_examples(EXAMPLES, **OPTIONS, **options)
    model.compile(keras.optimizers.Adam(0.05))
    data = model.dataset(EXAMPLES, batch_size=4)
    callbacks = watchers(tmp_path / "watched", model, EXAMPLES, {}, every=4, share=1)
    losses = model.fit(data, validation_data=data, epochs=4, verbose=0, callbacks=callbacks).history["loss"]
    assert losses[-1] < losses[0]
    model.sample_texts = TEXTS[:2]
    model.save_run(tmp_path / "run")
    loaded = sm.load_run(tmp_path / "run")
    assert type(loaded) is task and loaded.predict_text(TEXTS) == model.predict_text(TEXTS)
    served = tf.saved_model.load(str(sm.export(loaded, tmp_path / "exports"))).signatures["serving_default"]
    probabilities = served(text=tf.constant(TEXTS))["probabilities"]
    expected = [answer["probabilities"] for answer in model.predict_text(TEXTS)]
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)
    return loaded


@pytest.mark.slow
def test_a_new_unit(tmp_path, monkeypatch):
    monkeypatch.setitem(sm.layers.UNITS, "min_gru", None)
    cell_class = recipe("unit")["MinGRUCell"]
    model = goes_all_the_way(sm.SequenceClassifier, tmp_path, cell="min_gru", bidirectional=True)
    [layer] = (layer for layer in model.network.layers if isinstance(layer, sm.layers.Bidirectional))
    assert isinstance(layer.forward_layer.cell, cell_class)
    with pytest.raises(ValueError, match="a gradient written out. Received: MinGRUCell"):
        sm.layers.gradient_flow(layer.forward_layer, np.ones((1, 2, 5)))


@pytest.mark.slow
def test_a_new_network_for_a_task(tmp_path):
    defined = recipe("network")
    model = goes_all_the_way(defined["BagOfWordsClassifier"], tmp_path)
    assert type(model.network) is defined["BagOfWords"]
    orders = [answer["probabilities"] for answer in model.predict_text(["a b c", "c a b"])]
    np.testing.assert_allclose(*orders, rtol=1e-5)


@pytest.mark.slow
def test_a_new_head(tmp_path):
    defined = recipe("head")
    model = goes_all_the_way(defined["SmoothedClassifier"], tmp_path)
    inputs, targets, _ = model.batch(EXAMPLES)
    log_p = tf.nn.log_softmax(model(inputs)).numpy()
    at_targets = np.take_along_axis(log_p, targets.numpy()[:, None], axis=1)[:, 0]
    expected = -0.9 * at_targets - 0.1 * log_p.mean(axis=1)
    np.testing.assert_allclose(model.compare(inputs, targets)[0], expected, rtol=1e-4)
