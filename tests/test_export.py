"""Exports: strings in, the model's own answers out, in a process that has never heard of seq_models."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf
from toy import small

import seq_models as sm
from seq_models.tasks import TASKS

QUESTIONS = ["a b c", "", "e", "unseen words here", "   ", "b\x00c", "我 a", "a " * 50]

# The v1 loader and Session are what TensorFlow Serving runs.
FRESH_PROCESS = """
import json, sys
sys.modules["seq_models"] = None
import tensorflow as tf, tensorflow_text
session = tf.compat.v1.Session(graph=tf.Graph())
meta = tf.compat.v1.saved_model.load(session, ["serve"], sys.argv[1])
signature = meta.signature_def["serving_default"]
outputs = {name: info.name for name, info in signature.outputs.items()}
def plain(v):
    return [plain(x) for x in v] if isinstance(v, list) else v.decode() if isinstance(v, bytes) else v
answers = session.run(outputs, {signature.inputs["text"].name: json.loads(sys.argv[2])})
ops = {node.op for node in meta.graph_def.node} | {n.op for f in meta.graph_def.library.function for n in f.node_def}
print(json.dumps({
    "answers": {name: plain(value.tolist()) for name, value in answers.items()},
    "inputs": list(signature.inputs), "ops": sorted(ops),
    "encodings": [i.WhichOneof("encoding") for i in [*signature.inputs.values(), *signature.outputs.values()]],
    "batch": [i.tensor_shape.dim[0].size for i in [*signature.inputs.values(), *signature.outputs.values()]],
}))
"""


@pytest.fixture(scope="module", params=TASKS)
def exported(request, tmp_path_factory):
    model = small(request.param)
    return model, sm.export(model, tmp_path_factory.mktemp("exports") / "name")


def test_a_fresh_process_without_seq_models_gives_the_models_answers(exported):
    model, path = exported
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, str(path), json.dumps(QUESTIONS)],
        check=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    served = json.loads(done.stdout.splitlines()[-1])
    own = {name: tensor.numpy() for name, tensor in model.respond(tf.constant(QUESTIONS)).items()}
    assert served["answers"].keys() == own.keys()
    for name, expected in own.items():
        if expected.dtype == object:
            assert served["answers"][name] == [_text(value) for value in expected.tolist()], name
        else:
            np.testing.assert_allclose(served["answers"][name], expected, atol=1e-5, err_msg=name)
    assert served["inputs"] == ["text"]
    assert set(served["encodings"]) == {"name"}, "no ragged and no sparse tensors"
    assert set(served["batch"]) == {-1}
    forbidden = [op for op in served["ops"] if "Cudnn" in op or "Xla" in op or "PyFunc" in op]
    assert not forbidden


def _text(value):
    return [_text(v) for v in value] if isinstance(value, list) else value.decode()


def test_a_row_alone_and_in_a_batch_gets_the_same_answer(exported):
    model, path = exported
    answer = tf.saved_model.load(str(path)).signatures["serving_default"]
    together = answer(text=tf.constant(QUESTIONS))
    for row, question in enumerate(QUESTIONS):
        for name, tensor in answer(text=tf.constant([question])).items():
            alone, batched = tensor.numpy()[0], together[name].numpy()[row]
            if isinstance(alone, np.ndarray) and alone.ndim:
                batched = batched[: len(alone)]
            if tensor.dtype == tf.string:
                assert np.array_equal(alone, batched), (name, question)
            else:
                np.testing.assert_allclose(alone, batched, atol=1e-5, err_msg=f"{name} {question}")


def test_a_scalar_is_refused_and_an_empty_batch_is_answered(exported):
    _, path = exported
    answer = tf.saved_model.load(str(path)).signatures["serving_default"]
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError, ValueError)):
        answer(text=tf.constant("scalar"))
    assert all(tensor.shape[0] == 0 for tensor in answer(text=tf.constant([], tf.string)).values())


def test_versions_count_up_and_nothing_else_is_left(tmp_path):
    model = small("classifier")
    base = tmp_path / "models" / "mood"
    (base / "7").mkdir(parents=True)
    assert sm.export(model, base) == base / "8"
    assert sorted(path.name for path in base.iterdir()) == ["7", "8"]


def test_exports_at_the_same_time_get_versions_of_their_own(tmp_path):
    model = small("classifier")
    found = []
    threads = [threading.Thread(target=lambda: found.append(sm.export(model, tmp_path).name)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert sorted(found) == ["1", "2", "3"]


def test_an_export_that_fails_leaves_no_version(tmp_path, monkeypatch):
    model = small("classifier")
    monkeypatch.setattr(model, "respond", lambda text: len(text) / 0)
    with pytest.raises((ZeroDivisionError, TypeError)):
        sm.export(model, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_file_in_the_place_of_the_base_is_refused(tmp_path):
    (tmp_path / "models").write_text("precious")
    with pytest.raises(sm.InputError, match="must be a directory"):
        sm.export(small("classifier"), tmp_path / "models")
    assert (tmp_path / "models").read_text() == "precious"
