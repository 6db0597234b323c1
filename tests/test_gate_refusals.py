"""What must not run in a server is refused before any of it has run."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog
from test_gate import edited, of, rename_operation, saved
from toy import small

import seq_models as sm
from seq_models.exports.audit import problems_of
from seq_models.exports.gate import check
from seq_models.exports.graphs import Artifact
from seq_models.exports.operations import forbidden, known
from seq_models.exports.records import predict_request, write_records
from seq_models.exports.warmup import FILE


def with_table(edit=None):
    """A function of a path, that saves a model which finds its texts in a table of words."""

    def make(path):
        vocabulary = path.with_name("words.txt")
        vocabulary.write_text("a\nb\n", "utf-8")
        initializer = tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        table = tf.lookup.StaticHashTable(initializer, -1)
        saved(path, lambda text: {"id": table.lookup(tf.ensure_shape(text, [None]))}, table=table, edit=edit)
        vocabulary.unlink()
        return path

    return make


def asset(name):
    def change(graph):
        graph.asset_file_def[0].filename = name

    return with_table(change)


def linked(path):
    with_table()(path)
    words = path / "assets" / "words.txt"
    words.rename(path.with_name("elsewhere.txt"))
    words.symlink_to(path.with_name("elsewhere.txt"))
    return path


def counting(change):
    """A model whose variable a request changes."""

    def make(path):
        seen = tf.Variable(tf.zeros([], tf.int32))

        def count(text):
            length = tf.strings.length(tf.ensure_shape(text, [None]))
            with tf.control_dependencies([change(seen)]):
                return {"n": length + seen}

        return saved(path, count, seen=seen)

    return make


def read_one(text):
    return {"x": tf.fill(tf.shape(text), tf.io.read_file(text[0]))}


def write_one(text):
    with tf.control_dependencies([tf.io.write_file(text[0], text[0])]):
        return {"x": tf.identity(text)}


def restored(text):
    [value] = tf.raw_ops.RestoreV2(prefix=text[0], tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.string])
    return {"x": tf.fill(tf.shape(text), tf.reshape(value, []))}


def in_a_loop(text):
    """A reader inside of a function inside of a function."""
    read = tf.while_loop(lambda _: True, lambda _: (tf.io.read_file(text[0]),), [text[0]], maximum_iterations=1)
    return {"x": tf.fill(tf.shape(text), read[0])}


WRONG = {
    "a reader": (of(read_one), "a reader of files. Received: ReadFile"),
    "a reader in a loop": (of(in_a_loop), "a reader of files. Received: ReadFile"),
    "a search for files": (
        of(lambda text: {"x": tf.fill(tf.shape(text), tf.size(tf.io.matching_files(text)))}), "Received: MatchingFiles"
    ),
    "a writer": (of(write_one), "a writer of files. Received: WriteFile"),
    "a debugger": (edited(rename_operation("DebugIdentity")), "a writer of files. Received: DebugIdentity"),
    "time": (of(lambda text: {"x": tf.fill(tf.shape(text), tf.timestamp())}), "depends on the time"),
    "sleep": (edited(rename_operation("SleepOp")), "depends on the time"),
    "chance of a generator": (
        edited(rename_operation("StatefulUniform")), "do not follow from a seed in the request. Received: StatefulUni"
    ),
    "chance with a seed that counts": (
        of(lambda text: {"x": tf.random.normal(tf.shape(text), seed=3)}), "Received: RandomStandardNormal"
    ),
    "an end": (edited(rename_operation("Abort")), "what ends the server"),
    "a queue": (edited(rename_operation("FIFOQueueV2")), "its own variables and tables. Received: FIFOQueueV2"),
    "another machine": (edited(rename_operation("RemoteCall")), "variables and tables. Received: RemoteCall"),
    "a file in an answer": (of(restored), "an answer must not read or write a file.* Received: RestoreV2"),
    "a variable set by an answer": (
        counting(lambda seen: seen.assign(3).op), "an answer must not .*change the model. Received: AssignVariableOp"
    ),
    "a variable counted by an answer": (
        counting(lambda seen: seen.assign_add(1).op), "variables and tables. Received: AssignAddVariableOp"
    ),
    "no input": (
        edited(lambda graph: graph.signature_def["serving_default"].inputs.clear()),
        "serving_default must have an input",
    ),
    "an asset above": (asset("../words.txt"), "An asset must be a file in .*'../words.txt', which leaves it"),
    "an asset beside": (asset("../assets2/words.txt"), "which leaves it"),
    "an asset of the machine": (asset("/etc/passwd"), "'/etc/passwd', which leaves it"),
    "an asset of no name": (asset("a\0b"), "which leaves it"),
    "an asset by a link": (linked, "'words.txt', which leaves it"),
    "an asset that is missing": (asset("others.txt"), "'others.txt', which is not there"),
    "a table of another file": (
        with_table(lambda graph: graph.ClearField("asset_file_def")),
        "A table must be read from an asset. Received: the name of a file from asset_path_initializer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_must_not_run_is_refused(tmp_path, name):
    make, message = WRONG[name]
    path = make(tmp_path / "1")
    with pytest.raises(sm.InputError, match=message):
        check(path)


def test_a_table_from_an_asset_passes(tmp_path):
    assert problems_of(Artifact(with_table()(tmp_path / "1"))) == []


def load(path):
    """Loads a SavedModel as a server does."""
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        tf.compat.v1.saved_model.load(session, ["serve"], str(path))


def test_nothing_runs_before_it_is_audited(tmp_path):
    written = tmp_path / "written"

    class Writer(tf.saved_model.experimental.TrackableResource):
        def _create_resource(self):
            return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="writer")

        @tf.function(input_signature=[])
        def _initialize(self):
            tf.io.write_file(str(written), "by the model")

    path = saved(tmp_path / "1", writer=Writer())
    with pytest.raises(sm.InputError, match="a writer of files. Received: WriteFile"):
        check(path)
    assert not written.exists()
    load(path)
    assert written.exists()  # so that the test would have seen it


@pytest.mark.parametrize("op", sorted(
    op for op in known() if known()[op] and op.startswith(("Random", "Queue", "Write", "TextLine", "Stat", "Rpc"))
))  # fmt: skip
def test_operations_with_a_state_of_their_own_are_refused(op):
    assert (forbidden(op) is None) == (op in ("StatefulPartitionedCall", "StatelessRandomGetAlg"))


@pytest.mark.parametrize("op", """
    MatMul StatelessRandomUniformV2 StatelessMultinomial RandomIndexShuffle TensorArrayReadV3 CaseFoldUTF8 NormalizeUTF8
    LookupTableFindV2 While
""".split())  # fmt: skip
def test_functions_of_their_inputs_pass(op):
    assert forbidden(op) is None


def question(signature="serving_default", **inputs):
    return predict_request(signature, {name: np.array(value) for name, value in inputs.items()})


def with_a_shape(size):
    request = question(text=np.array([b"a"], object))
    request.inputs["text"].tensor_shape.dim[0].size = size
    return request


@pytest.mark.parametrize(("request_", "message"), [
    (question("another", text=np.array([b"a"], object)), "must be to one of .'serving_default'.. Received: 'another'"),
    (question("__saved_model_init_op"), "Received: '__saved_model_init_op'"),
    (question(words=np.array([b"a"], object)), "must have text of DT_STRING. Received: words of DT_STRING"),
    (question(text=np.array([1])), "must have text of DT_STRING. Received: text of DT_INT64"),
    (question(), "must have text of DT_STRING. Received: nothing"),
    (with_a_shape(2**31), "request 1 to serving_default, text: the shape must have as many elements as were sent"),
    (with_a_shape(-1), "the shape must be known"),
    (question(text=np.array(b"a", object)), "text: the rank must be 1. Received: 0"),
])  # fmt: skip
def test_warm_up_requests_must_be_those_of_a_signature(tmp_path, request_, message):
    path = saved(tmp_path / "1")
    (path / FILE).parent.mkdir()
    right = question(text=np.array([b"a"], object))
    logs = [PredictionLog(predict_log=PredictLog(request=request)) for request in (right, request_)]
    write_records(path / FILE, logs)
    with pytest.raises(sm.InputError, match=message):
        check(path)


def test_a_warm_up_request_may_leave_the_name_of_the_signature_out(tmp_path):
    path = saved(tmp_path / "1")
    (path / FILE).parent.mkdir()
    request = PredictRequest()
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(["a"]))
    write_records(path / FILE, [PredictionLog(predict_log=PredictLog(request=request))])
    check(path)


@pytest.mark.parametrize(("function", "received"), [
    (lambda text: tf.concat([text, text], 0), r"1. Received: shape \(2,\)"),
    (lambda text: text[:1], r"3. Received: shape \(1,\)"),  # right for one row
    (lambda text: tf.unique(tf.strings.length(text))[0], r"3. Received: shape \(1,\)"),
])  # fmt: skip
def test_an_output_has_a_row_for_each_input(tmp_path, function, received):
    path = of(lambda text: {"x": function(text)})(tmp_path / "1")
    assert problems_of(Artifact(path)) == []  # nothing can be seen in the files
    with pytest.raises(sm.InputError, match=f"serving_default: x must have a row for each of a request, {received}"):
        check(path)


def test_a_row_that_was_made_up_may_be_no_answer(tmp_path):
    check(of(lambda text: {"x": tf.strings.to_number(text)})(tmp_path / "1"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = sm.export(small("classifier"), tmp_path_factory.mktemp("exported") / "mood")
    check(path)
    return path.parent


def changed_vocabulary(base):
    file = next((base / "1" / "assets").iterdir())
    file.write_bytes(file.read_bytes().replace(b"\n", b"\nx", 1))


@pytest.mark.parametrize(("change", "message"), [
    (changed_vocabulary, "vocabulary_0.txt must be the file of the manifest. Received: another one"),
    (lambda base: (base / "1" / "fingerprint.pb").unlink(), "fingerprint.pb must be there, as in the manifest"),
    (lambda base: (base / "1" / "assets" / "x").touch(), "the files of its manifest. Received: one more, assets/x"),
    (lambda base: (base / "manifests" / "1.json").write_text("{"), "1.json must be the manifest of 1"),
    (lambda base: (base / "manifests" / "1.json").write_text('{"files": 3}'), "1.json must be the manifest of 1"),
], ids=["another", "missing", "more", "no JSON", "no list"])  # fmt: skip
def test_files_are_those_of_the_manifest(exported, tmp_path, change, message):
    base = shutil.copytree(exported, tmp_path / "mood")
    change(base)
    with pytest.raises(sm.InputError, match=message):
        check(base / "1")


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 10**30])
def test_a_number_that_leaves_none_for_the_next_version_is_refused(tmp_path, number):
    with pytest.raises(sm.InputError, match="must be at most 2.63-2. Received: "):
        check(saved(tmp_path / str(number)))
    with pytest.raises(sm.InputError, match="must be at most 2.63-2"):
        sm.export(small("classifier"), tmp_path, version=number)


def test_an_operation_of_a_function_that_nothing_calls_is_seen(tmp_path):
    def add_function(graph):
        function = graph.graph_def.library.function.add()
        function.CopyFrom(graph.graph_def.library.function[0])
        function.signature.name = "nobody_calls_it"
        function.node_def.add(name="now", op="Timestamp")

    with pytest.raises(sm.InputError, match="depends on the time"):
        check(saved(tmp_path / "1", edit=add_function))


def test_a_call_of_nothing_is_no_saved_model(tmp_path):
    path = saved(tmp_path / "1", edit=lambda graph: graph.graph_def.library.ClearField("function"))
    with pytest.raises(sm.InputError, match="must be a SavedModel. Received: .__inference"):
        check(path)
