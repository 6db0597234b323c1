"""The gate: everything that a server could not load or would get wrong is found, and named, before it is published."""

import importlib
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.prediction_log_pb2 import ClassifyLog, PredictionLog, PredictLog
from toy import small

import seq_models as sm
from seq_models import cli
from seq_models.exports.audit import problems_of
from seq_models.exports.export import traced
from seq_models.exports.gate import Process, check, check_rows, check_text, compare, tolerances
from seq_models.exports.graphs import Artifact
from seq_models.exports.operations import LOADING, OWN, known
from seq_models.exports.probes import Probe, probes_of
from seq_models.exports.records import predict_request, write_records
from seq_models.exports.server_config import check_name
from seq_models.exports.warmup import FILE, read, requests_of
from seq_models.tasks.signature import Signature, strings

STRINGS = tf.TensorSpec([None], tf.string, name="text")


def lengths(text):
    """A signature that nothing is wrong with."""
    text = tf.ensure_shape(text, [None])
    return {"length": tf.strings.length(text)}


def saved(path, function=lengths, spec=STRINGS, key="serving_default", edit=None, **attributes):
    """Writes a SavedModel of one signature; `edit` then changes its protocol buffer."""
    module = tf.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    tf.saved_model.save(module, str(path), signatures={key: tf.function(function, input_signature=[spec])})
    if edit:
        file = path / "saved_model.pb"
        message = SavedModel.FromString(file.read_bytes())
        edit(message.meta_graphs[0])
        file.write_bytes(message.SerializeToString())
    return path


@pytest.mark.slow
def test_what_is_right_passes_alone_and_by_the_command(tmp_path, capsys):
    path = saved(tmp_path / "1")
    assert problems_of(Artifact(path)) == []
    answer = {"length": np.array([1, 2], np.int32)}
    probe = Probe("serving_default", {"text": np.array([b"a", b"bc"], object)}, answer)
    check(path, [probe], Process(sys.executable))  # one that has to import all
    assert cli.main(["gate", str(path)]) == 0
    assert "passed" in capsys.readouterr().out


@pytest.mark.slow
def test_an_input_may_be_handed_on_before_its_rank_is_checked(tmp_path):
    assert problems_of(Artifact(saved(tmp_path / "1", lambda text: lengths(tf.identity(text))))) == []


# Each of these is wrong in one way.


def of(function):
    return lambda path: saved(path, lambda text: function(tf.ensure_shape(text, [None])))


def edited(change):
    return lambda path: saved(path, edit=change)


STRINGS_OF_REST = tf.TensorSpec([None], tf.string, name="inputs")
LARGE = np.random.default_rng(0).random(400_000)


def first_string_length(graph):
    """The node that counts characters."""
    nodes = [node for function in graph.graph_def.library.function for node in function.node_def]
    return next(node for node in nodes if node.op == "StringLength")


def rename_operation(name):
    def change(graph):
        first_string_length(graph).op = name

    return change


def mark_for_xla(graph):
    graph.graph_def.library.function[0].attr["_XlaMustCompile"].b = True


@tf.function(jit_compile=True)
def compiled(x):
    return x + 1


WRONG = {
    "no serving_default": (lambda path: saved(path, key="other"), "must be a signature serving_default"),
    "another tag": (edited(lambda graph: graph.meta_info_def.tags.append("gpu")), "with the tag serve"),
    "another method": (
        edited(lambda graph: setattr(graph.signature_def["serving_default"], "method_name", "x")),
        "must have the method",
    ),
    "a name of REST itself": (
        lambda path: saved(path, lambda inputs: {"x": tf.ensure_shape(inputs, [None])}, STRINGS_OF_REST),
        "a name of an input",
    ),
    "a capital in a name": (of(lambda text: {"Length": tf.strings.length(text)}), "a name of an output"),
    "a scalar output": (of(lambda text: {"n": tf.size(text)}), "must have a row for each request"),
    "a fixed batch": (
        lambda path: saved(path, lambda text: {"x": tf.ensure_shape(text, [3])}, tf.TensorSpec([3], tf.string, "text")),
        "must have a row for each request",
    ),
    "floats of 16 bits": (
        of(lambda text: {"x": tf.cast(tf.strings.length(text), tf.float16)}), "must have a type that JSON carries"
    ),
    "a ragged output": (of(lambda text: {"x": tf.strings.split(text)}), "must be a dense tensor"),
    "no check of the rank": (
        lambda path: saved(path, lambda text: {"x": tf.strings.length(text)}),
        "must be EnsureShape. Received: .'StringLength'",
    ),
    "a Python function": (
        of(lambda text: {"x": tf.ensure_shape(tf.numpy_function(lambda t: t, [text], tf.string), [None])}),
        "a Python function",
    ),
    "cuDNN": (edited(rename_operation("CudnnRNNV3")), "a recurrence of cuDNN"),
    "an operation of the future": (
        edited(rename_operation("DecodeJxl")),
        "one of TensorFlow Serving 2.20. Received: DecodeJxl",
    ),
    "XLA": (of(lambda text: {"x": compiled(tf.strings.length(text))}), "must be compiled by XLA"),
    "XLA for a function alone": (edited(mark_for_xla), "must be compiled by XLA"),
    "a table that changes": (edited(rename_operation("MutableHashTableV2")), "a table that can be changed"),
    "a printer": (of(lambda text: (tf.print(text), {"x": text})[1]), "a printer"),
    "a dataset": (
        of(lambda text: {"x": tf.data.Dataset.from_tensor_slices(text).reduce(text, lambda a, _: a)}), "a dataset"
    ),
    "a GPU": (
        edited(lambda graph: setattr(first_string_length(graph), "device", "/device:GPU:0")), "tied to an accelerator"
    ),
    "a TPU": (
        edited(lambda graph: setattr(first_string_length(graph), "device", "/job:worker/tpu:1")),
        "tied to an accelerator",
    ),
    "chance": (of(lambda text: {"x": tf.random.uniform(tf.shape(text))}), "do not follow from a seed"),
    "a draw of classes": (edited(rename_operation("Multinomial")), "from a seed in the request. Received: Multinomial"),
    "a graph of the future": (
        edited(lambda graph: setattr(graph.graph_def.versions, "min_consumer", 99)), "need a version of at most 12"
    ),
    "default attributes": (
        edited(lambda graph: setattr(graph.meta_info_def, "stripped_default_attrs", False)), "must be stripped"
    ),
    "slots of an optimizer": (
        lambda path: saved(path, optimizer=[tf.Variable(1.0)]),
        "not of its optimizer. Received: optimizer/0",
    ),
    "slots of an optimizer by the name of TensorFlow": (
        lambda path: saved(path, **{".OPTIMIZER_SLOT": [tf.Variable(1.0)]}),
        "not of its optimizer. Received: .*OPTIMIZER_SLOT",
    ),
    "a large constant": (
        of(lambda text: {"x": tf.gather(tf.constant(LARGE), tf.strings.length(text))}),
        "A constant must have at most",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found_and_named(tmp_path, name):
    make, message = WRONG[name]
    path = make(tmp_path / "1")
    with pytest.raises(sm.InputError, match=message):
        check(path)


def test_what_is_no_saved_model_is_named(tmp_path, capsys):
    (tmp_path / "1").mkdir()
    for content in (None, b"\x08nonsense"):
        if content:
            (tmp_path / "1" / "saved_model.pb").write_bytes(content)
        assert cli.main(["gate", str(tmp_path / "1")]) == 2
        assert "must be a SavedModel" in capsys.readouterr().err


def test_the_operations_of_a_server_are_those_of_tensorflow_and_its_text():
    assert {
        "MatMul",
        "StatefulPartitionedCall",
        "LookupTableFindV2",
        "FastWordpieceTokenizeWithOffsets",
    } <= known().keys()
    assert "DecodeJxl" not in known()
    assert len(known()) > 1500
    assert all(known()[op] for op in OWN | LOADING)


def test_an_answer_that_is_not_the_models_is_refused_with_the_question(tmp_path):
    path = saved(tmp_path / "1")
    question = {"text": np.array([b"abc"], object)}
    for wrong, message in (
        ({"length": np.array([4], np.int32)}, r"serving_default to .*abc.*length must be 4 at \[0\]. Received: 3"),
        ({"length": np.array([[3]], np.int32)}, "must have shape"),
        ({"other": np.array([3], np.int32)}, "the answer must have"),
    ):
        with pytest.raises(sm.InputError, match=message):
            check(path, [Probe("serving_default", question, wrong)])


def test_a_text_that_is_no_utf_8_is_refused(tmp_path):
    path = saved(tmp_path / "1", lambda text: {"first": tf.strings.substr(tf.ensure_shape(text, [None]), 0, 1)})
    question = {"text": np.array(["é".encode()], object)}
    with pytest.raises(sm.InputError, match="first must be UTF-8"):
        check(path, [Probe("serving_default", question, {"first": np.array([b"\xc3"], object)})])


def test_an_output_whose_name_says_so_may_hold_bytes_that_are_no_text():
    raw = np.array([[b"\xc3"], [b"a"]], object)
    check_text("serving_default", {"picture_bytes": raw, "length": np.array([1, 1])})
    with pytest.raises(sm.InputError, match="serving_default: bytes_of must be UTF-8"):
        check_text("serving_default", {"bytes_of": raw})


def test_numbers_may_differ_by_their_rounding_and_no_more():
    expected = {"x": np.array([1000, 0, np.nan, np.inf], np.float32)}
    compare("x", {"x": np.array([1000.01, 1e-6, np.nan, np.inf], np.float32)}, expected)
    for wrong in ([1001, 0, np.nan, np.inf], [1000, 1e-3, np.nan, np.inf], [1000, 0, 0, np.inf]):
        with pytest.raises(sm.InputError, match="x must be"):
            compare("x", {"x": np.array(wrong, np.float32)}, expected)


def test_long_texts_are_shown_from_where_they_differ():
    one, other = b"THIS " * 200 + b"one", b"THIS " * 200 + b"other"
    with pytest.raises(sm.InputError, match=r"x must be ….{,40}one' at \[1\]. Received: ….{,40}other'$"):
        compare("q", {"x": np.array([b"", other], object)}, {"x": np.array([b"", one], object)})


def test_a_number_of_a_long_text_may_be_rounded_once_a_byte_and_that_of_a_short_one_beside_it_may_not():
    inputs = {"text": np.array([b"long " * 20_000, b"short"], object), "seed": np.array([1, 2])}
    relative = tolerances(inputs)
    np.testing.assert_allclose(relative, [100_000 * 2.0**-24, 1e-4])
    expected = {"c": np.array([[10_528.0, 1.0], [10_528.0, 1.0]], np.float32)}
    further = np.float32([[1.15, 0], [0, 0]])
    compare("x", {"c": expected["c"] + further}, expected, relative)
    with pytest.raises(sm.InputError, match=r"^x: c must be 10528.0 at \[1, 0\]. Received: 10529.15"):
        compare("x", {"c": expected["c"] + further[::-1]}, expected, relative)
    alone = [{"c": expected["c"][row : row + 1]} for row in range(2)]
    check_rows("x", [{"c": expected["c"] + further}, *alone], relative)
    with pytest.raises(sm.InputError, match="c of row 1 must be the same"):
        check_rows("x", [{"c": expected["c"] + further[::-1]}, *alone], relative)


def test_the_tokens_of_a_row_count_together_and_what_is_no_text_is_read_in_one_step():
    assert tolerances({"tokens": np.full((1, 1_000), b"token", object)})[0] == pytest.approx(5_000 * 2.0**-24)
    assert tolerances({"states": np.zeros((2, 1, 3), np.float32)}).tolist() == [1e-4, 1e-4]
    assert tolerances({"text": np.array([], object)}).shape == (0,)


def test_each_row_is_held_against_itself_alone_but_for_its_padding():
    together = {"ids": np.array([[1, 2, 3], [4, 0, 0], [5, 6, 0]])}
    alone = [{"ids": np.array(row)} for row in ([[1, 2, 3]], [[4]], [[5, 6]])]
    later = {"ids": np.array([[9]])}
    check_rows("x", [together, *alone, later], np.full(3, 1e-4))
    for row in range(3):
        others = [*alone[:row], {"ids": alone[row]["ids"] + 1}, *alone[row + 1 :]]
        with pytest.raises(sm.InputError, match=f"ids of row {row} must be the same"):
            check_rows("x", [together, *others], np.full(3, 1e-4))


@pytest.mark.parametrize("dtype, carried", [
    (tf.float16, tf.float32), (tf.bfloat16, tf.float32), (tf.float64, tf.float64), (tf.int32, tf.int32)
])  # fmt: skip
def test_floats_of_16_bits_are_answered_as_of_32(dtype, carried):
    signature = Signature(lambda text: {"x": tf.cast(tf.strings.length(text), dtype)}, [strings("text")], None)
    x = traced(signature)(tf.constant(["abc"]))["x"]
    assert (x.dtype, x.numpy().tolist()) == (carried, [3])


def test_a_model_is_asked_short_and_long_texts_before_it_serves():
    model = small("classifier")
    for sample_texts in (["a b", "c"], []):
        model.sample_texts = sample_texts
        texts = [text for message in requests_of(model) for text in tf.make_ndarray(message.inputs["text"])]
        assert sorted({len(text.split()) for text in texts}) == [4, 40]


@pytest.mark.parametrize("name", ["", ".tmp", "-x", "_a", "a/b", "a b", "\u00e9", "a\n", ".."])
def test_a_name_that_is_no_directory_or_part_of_an_address_is_refused(name):
    with pytest.raises(sm.InputError, match="The name of a model must be"):
        check_name(name)
    check_name("0a.B-c_")


def test_a_row_that_depends_on_those_beside_it_is_refused(tmp_path):
    def centred(text):
        x = tf.cast(tf.strings.length(tf.ensure_shape(text, [None])), tf.float32)
        return {"x": x - tf.reduce_mean(x)}

    path = saved(tmp_path / "1", centred)
    probes = [
        Probe("serving_default", {"text": np.array(texts, object)}, {"x": np.array(x, np.float32)})
        for texts, x in (([b"a", b"abc"], [-1, 1]), ([b"a"], [0]), ([b"abc"], [0]))
    ]
    with pytest.raises(sm.InputError, match="x of row 0 must be the same alone and among others"):
        check(path, probes)


def test_a_warm_up_request_that_fails_is_refused(tmp_path):
    from seq_models.exports.warmup import write

    path = of(lambda text: {"x": tf.strings.to_number(text)})(tmp_path / "1")
    write(small("classifier"), path)  # it asks for words
    with pytest.raises(sm.InputError, match="must answer in a process of its own"):
        check(path)


def test_a_server_takes_a_thousand_warm_up_requests_to_predict_and_no_other(tmp_path):
    request = predict_request("serving_default", {"text": np.array([b"a"], object)})
    log = PredictionLog(predict_log=PredictLog(request=request))
    (tmp_path / FILE).parent.mkdir()
    write_records(tmp_path / FILE, [log] * 1000)
    assert read(tmp_path) == [request] * 1000
    write_records(tmp_path / FILE, [log] * 1001)
    with pytest.raises(sm.InputError, match="at most 1000 requests"):
        read(tmp_path)
    write_records(tmp_path / FILE, [log, PredictionLog(classify_log=ClassifyLog(request=ClassificationRequest()))])
    with pytest.raises(sm.InputError, match="requests to predict only. Received: a classify_log"):
        read(tmp_path)


@pytest.mark.slow
def test_nothing_is_published_that_does_not_pass(tmp_path, monkeypatch):
    def other_answers(model):
        first, *rest = probes_of(model)
        return [first._replace(answer={**first.answer, "score": first.answer["score"] + 0.01}), *rest]

    monkeypatch.setattr(importlib.import_module("seq_models.exports.export"), "probes_of", other_answers)
    with pytest.raises(sm.InputError, match="score must be"):
        sm.export(small("classifier"), tmp_path / "mood")
    assert not (tmp_path / "mood").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(sm.InputError, match="score must be"):
        sm.export(small("classifier"), tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []  # it was there


def test_the_cases_hold_edges_and_many_rows():
    model = small("classifier")
    model.sample_texts = ["a b", "c"]
    probes = probes_of(model)
    counts = [len(probe.inputs["text"]) for probe in probes]
    assert counts == [8, *[1] * 8, 0, 1, 2, 257]
    assert any(len(probe.inputs["text"][0]) >= 100_000 for probe in probes if len(probe.inputs["text"]) == 1)
