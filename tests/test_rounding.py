"""Where rounding decides an answer, either one passes the gate, and where a mistake does, none."""

import contextlib
import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from toy import EXAMPLES, small

import seq_models as sm
from seq_models.exports.gate import check_rows, compare
from seq_models.exports.probes import probes_of
from seq_models.exports.rounding import COUNTS, Rounding
from seq_models.tasks import TASKS
from seq_models.tasks.signature import Signature, questions_of, strings

QUESTION = {"text": np.array([b"a"], object)}


def model_of(in_float32, in_float64=None):
    """A model whose answers depend on the number of rows, as `in_float32` says, and its twin."""

    def answering(function):
        def respond(text):
            return {name: tf.repeat(value, tf.shape(text)[0]) for name, value in function(tf.shape(text)[0]).items()}

        return lambda: {"serving_default": Signature(respond, [strings("text")], questions_of("text"))}

    twin = SimpleNamespace(signatures=answering(in_float64 or in_float32))
    return SimpleNamespace(signatures=answering(in_float32), in_float64=lambda: twin)


def one_text(_):
    return {"label": tf.constant(["yes"])}


def a_text_by_the_number_of_rows(count):
    return {"label": tf.where(count > COUNTS[0], ["yes"], ["no"])}


def a_number_by_the_number_of_rows(count):
    return {"place": tf.where(count > COUNTS[1], [1], [2])}


def a_float_by_the_number_of_rows(count):
    return {"label": tf.constant(["yes"]), "score": tf.where(count > 1, [0.1], [0.2])}


@pytest.mark.parametrize(
    ("in_float32", "in_float64", "decides"),
    [
        (one_text, one_text, False),
        (a_text_by_the_number_of_rows, one_text, True),
        (a_number_by_the_number_of_rows, one_text, True),
        (a_float_by_the_number_of_rows, one_text, False),  # nothing is chosen by it
        (a_text_by_the_number_of_rows, a_text_by_the_number_of_rows, False),  # a mistake: it is no matter of rounding
    ],
)
def test_rounding_decides_where_float64_has_one_answer_and_float32_several(in_float32, in_float64, decides, capsys):
    rounding = Rounding(model_of(in_float32, in_float64))
    assert rounding.decides("serving_default", QUESTION) is decides
    assert rounding.decides("serving_default", QUESTION) is decides
    assert len(rounding.undecided) == decides  # it is asked once
    rounding.say()
    assert ("1 of the questions to the export (serving_default)" in capsys.readouterr().err) is decides


def test_rounding_that_differs_with_the_engine_decides_too(monkeypatch):
    serving = []

    @contextlib.contextmanager
    def using(*engines):
        serving.extend(engines)
        yield
        serving.clear()

    def by_the_engine(_):
        return {"label": tf.constant(["yes" if serving else "no"])}

    monkeypatch.setattr("seq_models.layers.engines.using", using)
    assert Rounding(model_of(by_the_engine, one_text)).decides("serving_default", QUESTION)


def test_another_answer_passes_where_the_model_does_not_decide_and_nowhere_else():
    expected = {"label": np.array([b"yes", b"yes"], object), "score": np.array([0.5, 0.5], np.float32)}
    other = {"label": np.array([b"yes", b"no"], object), "score": np.array([0.5, 0.7], np.float32)}
    compare("q", other, expected, decided=lambda row: row != 1)
    with pytest.raises(sm.InputError, match=r"label must be b'yes' at \[1\]. Received: b'no'"):
        compare("q", other, expected, decided=lambda row: row != 0)
    alone = [{name: array[row : row + 1] for name, array in expected.items()} for row in range(2)]
    relative = np.full(2, 1e-4)
    check_rows("q", [other, *alone], relative, decided=lambda row: row != 1)
    with pytest.raises(sm.InputError, match="label of row 1 must be the same"):
        check_rows("q", [other, *alone], relative, decided=lambda row: row != 0)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_model_in_float64_has_its_answers(task):
    model = small(task, **({"beam_width": 3} if task == "encoder-decoder" else {}))
    twin = model.in_float64()
    assert {weight.dtype for weight in twin.weights if "float" in weight.dtype} == {"float64"}
    for name, signature in model.signatures().items():
        inputs = signature.questions([b"a b", b"c"])
        tensors = [tf.constant(inputs[spec.name], spec.dtype) for spec in signature.inputs]
        answers, of_twin = signature.function(*tensors), twin.signatures()[name].function(*tensors)
        for output, expected in answers.items():
            if expected.dtype.is_floating:
                np.testing.assert_allclose(of_twin[output], expected, rtol=1e-4, atol=1e-6)
            else:
                np.testing.assert_array_equal(of_twin[output], expected)


def test_an_export_whose_answers_rounding_decides_is_published_and_says_so(tmp_path, monkeypatch, capsys):
    model = small("classifier")
    model.sample_texts = [text for text, _ in EXAMPLES["classifier"][:2]]
    monkeypatch.setattr(Rounding, "_is_rounding", lambda self, signature, row: row["text"][0] == b"")  # noqa: ARG005

    def other(probe):
        rows = zip(probe.inputs["text"], probe.answer["label"], strict=True)
        labels = np.array([b"other" if text == b"" else label for text, label in rows], object)
        return probe._replace(answer={**probe.answer, "label": labels})

    export = importlib.import_module("seq_models.exports.export")
    monkeypatch.setattr(export, "probes_of", lambda model: [other(probe) for probe in probes_of(model)])
    assert sm.export(model, tmp_path / "mood").name == "1"
    assert "1 of the questions to the export (serving_default) have several answers" in capsys.readouterr().err
