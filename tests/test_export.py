"""Exports: strings in, the model's own answers out, in a process that has never heard of seq_models."""

import base64
import functools
import hashlib
import json
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.config_pb2 import CallableOptions
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from toy import TEXTS, small

import seq_models as sm
from seq_models.exports.audit import Artifact
from seq_models.exports.server_config import read_models, write_server_config
from seq_models.tasks import TASKS

QUESTIONS = ["a b c", "", "e", "unseen words here", "   ", "b\x00c", "我 a", "a " * 50]
SIGNATURES = {
    "classifier": {"serving_default": (["text"], ["abstain", "classes", "label", "probabilities", "score"])},
    "labeler": {
        "serving_default": (["text"], ["abstain", "lengths", "scores", "tags", "tokens"]),
        "tokens": (["tokens"], ["abstain", "lengths", "scores", "tags", "tokens"]),
        "marginals": (["text"], ["labels", "lengths", "probabilities", "tokens"]),
        "n_best": (["text"], ["lengths", "log_probabilities", "tags", "tokens"]),
    },
    "language-model": {
        "serving_default": (["text"], ["lengths", "log_probability", "perplexity"]),
        "generate": (
            ["max_length", "min_length", "prompt", "repetition_penalty", "seed", "temperature", "top_k", "top_p"],
            ["lengths", "score", "text"],
        ),
        "next_words": (["text"], ["probabilities", "words"]),
        "score_tokens": (
            ["text"],
            ["bits_per_character", "lengths", "log_probabilities", "log_probability", "perplexity", "tokens"],
        ),
        "start": (["prompt"], ["probabilities", "states", "words"]),
        "step": (["states", "token"], ["probabilities", "states", "words"]),
    },
    "encoder-decoder": {
        "serving_default": (["text"], ["lengths", "score", "translation"]),
        "n_best": (["text"], ["lengths", "log_probabilities", "scores", "translations"]),
        "score": (["source", "target"], ["lengths", "log_probability"]),
        "attention": (
            ["source", "target"],
            ["attention", "source_lengths", "source_tokens", "target_lengths", "target_tokens"],
        ),
    },
}

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
print(json.dumps({name: plain(value.tolist()) for name, value in answers.items()}))
"""


@pytest.fixture(scope="module")
def export_of(tmp_path_factory):
    """Gives a model of a task and its export, made once and moved after it was made."""

    @functools.cache
    def exported(task):
        model = small(task)
        model.sample_texts = TEXTS[:3]
        base = tmp_path_factory.mktemp("exports")
        path = sm.export(model, base / "name")
        moved = base / "elsewhere"
        (base / "name").rename(moved)
        return model, moved / path.name

    return exported


@pytest.fixture(scope="module", params=TASKS)
def exported(request, export_of):
    return export_of(request.param)


@pytest.fixture(scope="module")
def language_model(export_of):
    return Servable(export_of("language-model")[1])


class Servable:
    """A SavedModel as a server holds it: nothing checks what it is fed."""

    def __init__(self, path):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            self.signatures = tf.compat.v1.saved_model.load(self.session, ["serve"], str(path)).signature_def

    def __call__(self, name="serving_default", **inputs):
        signature = self.signatures[name]
        feed = {signature.inputs[key].name: value for key, value in inputs.items()}
        return self.session.run({key: info.name for key, info in signature.outputs.items()}, feed)


def test_a_fresh_process_without_seq_models_gives_the_models_answers(exported, forked_python, tmp_path):
    model, path = exported
    (tmp_path / "fresh.py").write_text(FRESH_PROCESS)
    done = subprocess.run(
        [forked_python(), tmp_path / "fresh.py", path, json.dumps(QUESTIONS)],
        check=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    served = json.loads(done.stdout.splitlines()[-1])
    own = {name: tensor.numpy() for name, tensor in model.respond(tf.constant(QUESTIONS)).items()}
    assert served.keys() == own.keys()
    for name, expected in own.items():
        if expected.dtype == object:
            assert served[name] == [_text(value) for value in expected.tolist()], name
        else:
            np.testing.assert_allclose(served[name], expected, atol=1e-5, err_msg=name)


def _text(value):
    return [_text(v) for v in value] if isinstance(value, list) else value.decode()


def test_the_signatures_have_the_names_that_clients_write(exported):
    model, path = exported
    found = Artifact(path).signatures
    named = {key: (sorted(signature.inputs), sorted(signature.outputs)) for key, signature in found.items()}
    assert named == SIGNATURES[model.task_name]


def test_an_export_is_the_weights_and_no_more_and_the_vocabulary_is_an_asset(exported):
    model, path = exported
    variables = tf.train.list_variables(str(path / "variables" / "variables"))
    sizes = [int(np.prod(shape)) for name, shape in variables if name.startswith("variables_")]
    assert sum(sizes) == model.count_params()
    kept = {file.read_text("utf-8") for file in (path / "assets").iterdir()}
    lists = [tokens for name, tokens in model.vocabularies().items() if name != "labels"]
    assert kept == {"\n".join(tokens) + "\n" for tokens in lists}


def test_the_warm_up_asks_every_signature_with_one_row_and_with_many(exported):
    model, path = exported
    records = tf.data.TFRecordDataset(str(path / "assets.extra" / "tf_serving_warmup_requests")).as_numpy_iterator()
    requests = [PredictionLog.FromString(record).predict_log.request for record in records]
    asked = [
        (request.model_spec.signature_name, next(iter(request.inputs.values())).tensor_shape.dim[0].size)
        for request in requests
    ]
    assert sorted(asked) == sorted(2 * [(name, size) for name in SIGNATURES[model.task_name] for size in (1, 32)])


def test_the_manifest_says_what_the_export_holds_and_how_it_answers(exported):
    model, path = exported
    manifest = json.loads((path.parent / "manifests" / "1.json").read_text("utf-8"))
    assert manifest["task"] == model.task_name
    assert manifest["minimum_server"] == "2.20.0"
    files = {str(file.relative_to(path)): file for file in path.rglob("*") if file.is_file()}
    assert manifest["files"] == {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    assert manifest["signatures"].keys() == SIGNATURES[model.task_name].keys()
    assert {"EnsureShape", "LookupTableFindV2"} <= set(manifest["operations"])
    served = Servable(path)
    probes = [probe for probe in manifest["probes"] if probe["signature"] == "serving_default"]
    assert [probe["inputs"]["text"] for probe in probes][:3] == [[text] for text in TEXTS[:3]]
    # Questions of one row, but for the long one; bytes that are no text are there as a server takes them.
    assert {len(probe["inputs"]["text"]) for probe in probes} == {1}
    assert {"b64": base64.b64encode(b"\xff\xfe\xc3(").decode()} in [probe["inputs"]["text"][0] for probe in probes]
    for probe in probes[:3]:
        for name, value in served(text=probe["inputs"]["text"]).items():
            if value.dtype == object:
                assert _text(value.tolist()) == probe["outputs"][name]
            else:
                np.testing.assert_allclose(value, probe["outputs"][name], atol=1e-5)


@pytest.mark.slow
def test_a_scalar_is_refused_and_an_empty_batch_is_answered(exported):
    _, path = exported
    served = Servable(path)
    signature = served.signatures["serving_default"]
    # `Session.run` checks shapes in Python; this does not, as a server does not.
    call = served.session._make_callable_from_options(
        CallableOptions(feed=[signature.inputs["text"].name], fetch=[next(iter(signature.outputs.values())).name])
    )
    for wrong in (np.array(b"scalar", object), np.array([[b"a", b"b"]], object)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="is not compatible with expected shape"):
            call(wrong)
    assert all(len(array) == 0 for array in served(text=np.array([], object)).values())


# The language model's options, a value a row


def test_what_is_generated_follows_from_the_options_of_the_row(language_model):
    options = {"seed": [1, 2, 1, 1], "temperature": [1, 1, 0, 1], "max_length": [9, 9, 9, 3]}
    together = language_model("generate", prompt=["a", "a", "a", "a"], **options)
    for row in range(4):
        alone = language_model("generate", prompt=["a"], **{name: [values[row]] for name, values in options.items()})
        assert alone["text"][0] == together["text"][row]
        np.testing.assert_allclose(alone["score"][0], together["score"][row], rtol=1e-5)
    assert len(set(together["text"])) == 4
    assert together["lengths"].max() <= 9 and together["lengths"][3] <= 3
    assert together["text"][0].startswith(together["text"][3])


def test_options_that_a_request_leaves_out_have_defaults(language_model):
    signature = language_model.signatures["generate"]
    defaults = {name: tf.make_ndarray(tensor).tolist() for name, tensor in signature.defaults.items()}
    as_before = {"seed": [0], "temperature": [1.0], "max_length": [40]}
    without_effect = {"top_k": [0], "top_p": [1.0], "repetition_penalty": [1.0], "min_length": [0]}
    assert defaults == {**as_before, **without_effect}
    rows = language_model("generate", prompt=["a", "b"])
    assert len(rows["text"]) == 2


@pytest.mark.parametrize(
    ("option", "message"),
    [({"max_length": [0]}, "max_length must be 1 to 512"), ({"max_length": [513]}, "max_length must be 1 to 512"),
     ({"temperature": [-0.5]}, "temperature must be 0 or more"),
     ({"temperature": [np.nan]}, "temperature must be 0 or more"),
     ({"temperature": [np.inf]}, "temperature must be 0 or more"),
     ({"top_k": [-1]}, "top_k must be 0 to"), ({"top_p": [0]}, "top_p must be above 0 and at most 1"),
     ({"top_p": [1.5]}, "top_p must be above 0"), ({"repetition_penalty": [0]}, "repetition_penalty must be above 0"),
     ({"seed": [-1]}, "seed must be 0 or more"),
     ({"min_length": [9], "max_length": [8]}, "min_length must be at most max_length")],
)  # fmt: skip
def test_an_option_out_of_range_is_refused_with_a_sentence(language_model, option, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        language_model("generate", prompt=["a"], **option)


@pytest.mark.slow
def test_the_next_words_are_the_most_probable_ones_first(export_of, language_model):
    model, _ = export_of("language-model")
    answer = language_model("next_words", text=["a b"])
    probabilities = answer["probabilities"][0]
    assert (np.diff(probabilities) <= 0).all() and probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert {word.decode() for word in answer["words"][0]} == {"</s>", *"abcde"}
    best = model.generate(["a b"], max_length=1, temperature=0)[0]["text"].removeprefix("a b").strip()
    assert best == answer["words"][0][0].decode().replace("</s>", "")


# The files around the versions


def test_versions_count_up_and_one_that_is_there_is_refused(tmp_path):
    model = small("classifier")
    base = tmp_path / "models" / "mood"
    (base / "7").mkdir(parents=True)
    assert sm.export(model, base) == base / "8"
    assert sorted(path.name for path in base.iterdir()) == ["7", "8", "manifests"]
    for version, message in ((7, "must be new"), (0, "positive integer"), ("9", "positive integer")):
        with pytest.raises(sm.InputError, match=message):
            sm.export(model, base, version=version)
    assert sorted(path.name for path in base.iterdir()) == ["7", "8", "manifests"]


def test_an_export_that_fails_leaves_no_version(tmp_path, monkeypatch):
    model = small("classifier")
    monkeypatch.setattr(model, "respond", lambda text: len(text) / 0)
    with pytest.raises((ZeroDivisionError, TypeError)):
        sm.export(model, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_file_in_the_place_of_the_base_is_refused(tmp_path):
    (tmp_path / "models").write_text("precious")
    with pytest.raises(sm.InputError, match="must be a directory"):
        sm.export(small("classifier"), tmp_path / "models")
    assert (tmp_path / "models").read_text() == "precious"


def test_the_models_of_a_server_are_listed_and_what_was_written_by_hand_stays(tmp_path):
    write_server_config(tmp_path, "mood")
    path = tmp_path / "models.config"
    by_hand = path.read_text().replace("}\n}", '  version_labels { key: "stable" value: 1 }\n  }\n}')
    path.write_text(by_hand)
    (tmp_path / "batching.config").write_text("max_batch_size { value: 8 }\n")
    write_server_config(tmp_path, "mood")
    assert path.read_text() == by_hand
    write_server_config(tmp_path, "tags")
    models = read_models(path).model_config_list.config
    assert [(model.name, model.base_path) for model in models] == [("mood", "/models/mood"), ("tags", "/models/tags")]
    assert models[0].version_labels == {"stable": 1}
    assert (tmp_path / "batching.config").read_text() == "max_batch_size { value: 8 }\n"
    path.write_text("nonsense {")
    with pytest.raises(sm.InputError, match="must be a ModelServerConfig"):
        write_server_config(tmp_path, "more")
    assert path.read_text() == "nonsense {"


@pytest.mark.parametrize("call", [sm.load_run, sm.read_examples, lambda path: sm.export(small("classifier"), path)])
@pytest.mark.parametrize("path", [None, 3, "", ["runs/mood"]], ids=repr)
def test_what_is_no_path_is_refused_in_one_sentence(call, path):
    with pytest.raises(sm.InputError, match=r"^(directory|path|base) must be a path\. Received: "):
        call(path)


@pytest.mark.parametrize("model", [None, "runs/mood", 5], ids=repr)
def test_what_is_no_model_is_not_exported(model, tmp_path):
    with pytest.raises(sm.InputError, match=r"^model must be a model, as sm.load_run gives it\. Received: model="):
        sm.export(model, tmp_path / "exports")
    assert not list(tmp_path.iterdir())
