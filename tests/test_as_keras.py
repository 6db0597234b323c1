"""A task used as any Keras model: metrics, callbacks, wrong data, order, copies, pictures."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy import EXAMPLES, PLAIN, TEXTS, small

from seq_models.cli import main
from seq_models.tasks import TASKS
from seq_models.text.examples import read_examples

array = keras.ops.convert_to_numpy


@pytest.mark.parametrize("metrics", ["accuracy", ["accuracy"], {"logits": "accuracy"}, []])
def test_metrics_of_compile_may_be_one_a_list_or_a_dictionary(metrics):
    model = small("classifier", **PLAIN)
    model.compile(metrics=metrics)
    scores = model.evaluate(model.dataset(EXAMPLES["classifier"]), return_dict=True, verbose=0)
    assert scores.keys() == {"loss", "accuracy"}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["labeler", "classifier"])
def test_accuracy_of_compile_is_ours_under_padding_and_buckets(task):
    model = small(task)
    model.compile(metrics=["accuracy", keras.metrics.SparseCategoricalAccuracy(name="theirs")])
    data = model.dataset(EXAMPLES[task], 3)
    model.fit(data, validation_data=data, epochs=1, verbose=0)
    scores = model.evaluate(data, return_dict=True, verbose=0)
    ours = model.score(EXAMPLES[task])["accuracy"]
    assert scores["accuracy"] == pytest.approx(ours) and scores["theirs"] == pytest.approx(ours)


@pytest.mark.parametrize(
    "task, score, better", [("classifier", "val_accuracy", 1), ("language-model", "val_perplexity", -1)]
)
def test_callbacks_know_which_way_a_score_is_better(task, score, better, tmp_path):
    monitored = [
        keras.callbacks.EarlyStopping(score, patience=9),
        keras.callbacks.ReduceLROnPlateau(score, patience=9),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", score, save_best_only=True),
    ]
    model = small(task)
    model.compile("sgd")
    data = model.dataset(EXAMPLES[task], 4)
    model.fit(data, validation_data=data, epochs=1, callbacks=monitored, verbose=0)
    for callback in monitored:
        assert callback._is_improvement(1.0 + better, 1.0) and not callback._is_improvement(1.0 - better, 1.0)
    assert model.evaluate(data, return_dict=True, verbose=0).keys() == {"loss", score.removeprefix("val_")}


class Table:
    """Looks like a DataFrame of texts to NumPy and to Keras."""

    columns, ndim = ["text"], 2

    def __array__(self, dtype=None, copy=None):
        return np.array([[text] for text in TEXTS], object)

    def __getitem__(self, key):
        return TEXTS

    def __iter__(self):
        return iter(self.columns)


@pytest.mark.parametrize(
    "data",
    [
        TEXTS,
        [],
        EXAMPLES["classifier"],
        (TEXTS, ["long"] * len(TEXTS)),
        np.array(TEXTS),
        Table(),
        tf.constant(TEXTS),
        tf.data.Dataset.from_tensor_slices(TEXTS),
    ],
    ids=lambda data: type(data).__name__,
)
def test_texts_are_pointed_to_the_verb_that_takes_them(data):
    model = small("classifier")
    model.compile()
    for verb in (model.fit, model.evaluate, model.predict):
        with pytest.raises(
            ValueError, match=rf"^{verb.__name__} takes .*dataset.*predict_text.*score.*Received: [^\n]*$"
        ):
            verb(data)
    with pytest.raises(ValueError, match="fit takes"):
        model.fit(model.dataset(EXAMPLES["classifier"]), validation_data=data)


def test_examples_of_a_file_are_pointed_to_dataset_and_know_their_number(tmp_path):
    (tmp_path / "a.txt").write_text("a b\n\nc\nb\n", "utf-8")
    examples = read_examples(tmp_path / "a.txt")
    assert len(examples) == 3 and examples
    (tmp_path / "a.txt").write_text("a b\n\nc\nb\nb\na\n", "utf-8")
    assert len(examples) == 5
    with pytest.raises(ValueError, match="evaluate takes .*Received: Examples"):
        small("language-model").evaluate(examples)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_predict_answers_in_the_order_of_the_examples(task):
    model = small(task)
    alone = [array(model(model.batch([example])[0]))[0] for example in EXAMPLES[task]]
    for shuffle in (False, True):
        answers = model.predict(model.dataset(EXAMPLES[task], 3, shuffle=shuffle), verbose=0)
        assert answers.shape[0] == len(TEXTS)  # of texts of different lengths a ragged tensor
        for row, expected in enumerate(alone):
            answer = array(answers[row])
            answer = answer[: len(expected)] if expected.ndim > 1 else answer
            np.testing.assert_allclose(answer, expected, atol=1e-5)


@pytest.mark.slow
def test_arrays_of_ids_and_generators_are_data_as_ever():
    model = small("classifier")
    model.compile()
    inputs, targets, weights = (array(each) for each in model.batch(EXAMPLES["classifier"]))
    model.fit(inputs, targets, verbose=0)
    model.fit((each for each in [(inputs, targets, weights)]), verbose=0)
    assert model.predict(inputs, verbose=0).shape == (len(TEXTS), 2)


def test_a_fit_that_would_do_nothing_is_one_sentence():
    model = small("classifier")
    model.compile()
    data = model.dataset(EXAMPLES["classifier"])
    model.network.trainable = False
    with pytest.raises(ValueError, match="a weight with trainable=True"):
        model.fit(data)


@pytest.mark.parametrize("task", TASKS)
def test_no_layer_of_a_network_is_called_twice(task):
    network = small(task, dropout=0.3, layers=2).network
    assert {layer.name: len(layer._inbound_nodes) for layer in network.layers} == {
        layer.name: 1 for layer in network.layers
    }


def test_layers_of_dropout_draw_as_one_that_is_called_at_all_places():
    from seq_models.layers.dropout import dropouts

    keras.utils.set_random_seed(1)
    layers = dropouts(0.0, 0.4, 0.4, 0.4)[1:]
    keras.utils.set_random_seed(1)
    one, x = keras.layers.Dropout(0.4), np.ones((5, 7), np.float32)
    for layer in layers:
        np.testing.assert_array_equal(array(layer(x, training=True)), array(one(x, training=True)))
    np.testing.assert_array_equal(array(layers[1](x)), x)


@pytest.mark.parametrize("task", TASKS)
def test_a_network_can_be_cloned(task):
    model = small(task, dropout=0.3)
    clone = keras.models.clone_model(model.network)
    clone.set_weights(model.network.get_weights())
    inputs, *_ = model.batch(EXAMPLES[task])
    np.testing.assert_array_equal(array(clone(inputs)), array(model.network(inputs)))


def test_a_network_with_a_tied_head_says_how_to_copy_it():
    network = small("language-model", tie_weights=True, units=4).network
    with pytest.raises(Exception, match=r"network.from_config\(network.get_config\(\)\)"):
        keras.models.clone_model(network)
    copy = network.from_config(network.get_config())
    assert len(copy.weights) == len(network.weights)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_length": 3.5}, r"max_length must be 1 to \d+. Received: max_length=3.5"),
        ({"max_length": True}, "max_length must be"),
        ({"temperature": float("nan")}, "temperature must be 0 or more. Received: temperature=nan"),
        ({"temperature": "hot"}, "temperature must be 0 or more. Received: temperature='hot'"),
        ({"seed": -1}, "seed must be an integer from 0 to .*Received: seed=-1"),
        ({"seed": 0.5}, "seed must be"),
        ({"seed": 2**31}, "seed must be"),
    ],
)
def test_a_wrong_argument_of_generate_is_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        small("language-model").generate(["a"], **options)


@pytest.mark.parametrize(
    "texts",
    ["a b", None, 3, {"a": 1}, {"a", "b"}, Table(), [b"a"], ["a", None]],
    ids=lambda texts: type(texts).__name__,
)
def test_texts_that_are_no_list_of_strings_are_one_sentence(texts):
    with pytest.raises(ValueError, match="texts must be a list of strings. Received: "):
        small("classifier").predict_text(texts)


@pytest.mark.parametrize("size", [0, -1, 2.0, None, True])
def test_a_wrong_batch_size_of_predict_text_is_one_sentence(size):
    with pytest.raises(ValueError, match="batch_size must be a positive integer. Received"):
        small("classifier").predict_text(["a"], batch_size=size)


def test_texts_may_be_an_array_of_strings():
    model = small("classifier")
    assert model.predict_text(np.array(TEXTS)) == model.predict_text(TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong", [["--count", "0"], ["--count", "-2"], ["--seed", "-1"], ["--temperature", "nan"], ["--max-length", "0"]]
)
def test_a_wrong_number_on_the_command_line_is_one_sentence_and_code_2(wrong, tmp_path, capsys):
    small("language-model").save_run(tmp_path / "run")
    assert main(["generate", str(tmp_path / "run"), *wrong]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{wrong[0].strip('-').replace('-', '_')} must be" in said


REGISTERED = """
import importlib, pkgutil
import keras
import seq_models
from seq_models.catalog import MODELS
of_ours = lambda: {name for name in keras.saving.get_custom_objects() if name.startswith("seq_models")}
with_the_models = of_ours()
for module in pkgutil.walk_packages(seq_models.__path__, "seq_models."):
    if not module.name.endswith("replay"):  # it forbids this package
        importlib.import_module(module.name)
print(sorted(of_ours() - with_the_models), len(with_the_models) > 40)
"""


@pytest.mark.slow
def test_whatever_a_saved_model_may_hold_is_known_where_the_models_are():
    """As schedules and optimizers of the training, which nothing else of a run needs."""
    done = subprocess.run([sys.executable, "-c", REGISTERED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] True"
