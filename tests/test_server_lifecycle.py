"""Versions come and go while the server answers. The numbers of the checks are those of its written contract."""

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tensorflow as tf
from server_fixtures import ask, get, grpc_stubs, model_base, post, running, signature
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from seq_models import cli
from seq_models.errors import InputError
from seq_models.server import Server, parse_flags
from seq_models.server.config import read_batching, read_configs, read_monitoring
from seq_models.server.models import Models, State
from seq_models.server.servable import Servable
from seq_models.server.status import RequestError


def add_version(base, number, factor):
    """Publishes a version that multiplies by `factor`."""
    aside = base / f".tmp-{number}"
    variable = tf.Variable(float(factor))
    module = tf.Module()
    module.factor = variable
    multiply = signature(lambda x: {"y": variable * x}, x=tf.float32)
    tf.saved_model.save(module, str(aside), signatures={"serving_default": multiply})
    aside.rename(base / str(number))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A model with the versions 1, 2 and 3, which multiply by 1, 2 and 3."""
    base = tmp_path_factory.mktemp("published")
    for number in (1, 2, 3):
        add_version(base, number, number)
    return base


@pytest.fixture
def base(published, tmp_path):
    """A base path with version 1; the test adds others from `published`."""
    shutil.copytree(published / "1", tmp_path / "model" / "1")
    return tmp_path / "model"


def publish(published, number, base):
    """Copies a version as an export does: visible only when it is whole."""
    shutil.copytree(published / str(number), base / ".tmp")
    (base / ".tmp").rename(base / str(number))


def product(server, which=""):
    """What a model makes of 1: the factor of the version that answers."""
    return post(server, f"m{which}:predict", {"instances": [1.0]})


def states(server):
    """{version: state} of the model."""
    status, reply = get(server, "/m")
    assert status == 200
    return {int(version["version"]): version["state"] for version in reply["model_version_status"]}


def request(alias="x", value=1.0):
    """A request to multiply a number, for gRPC."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "m"
    message.inputs[alias].CopyFrom(tf.make_tensor_proto([value]))
    return message


def eventually(condition, seconds=20):
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def config_text(base, more=""):
    return f'model_config_list {{ config {{ name: "m" base_path: "{base}" model_platform: "tensorflow" {more} }} }}'


def test_check_63_the_ports_open_when_the_models_are_ready(base):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    entered, may_load = threading.Event(), threading.Event()

    class Slow(Server):
        def _load(self, configs):
            entered.set()
            assert may_load.wait(20)
            return super()._load(configs)

    server = Slow(parse_flags([f"--model_base_path={base}", "--port=0", f"--rest_api_port={port}"]))
    thread = threading.Thread(target=server.__enter__)
    thread.start()
    assert entered.wait(20)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert server.port is None
    may_load.set()
    thread.join(30)
    try:
        assert get(server, "/default")[0] == 200
    finally:
        server.__exit__()


def test_check_63_a_model_that_cannot_be_loaded_ends_the_start(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(InputError, match="did not become available: m: version 1: "), running_model(tmp_path):
        pass


def running_model(base, *flags):
    return running("--model_name=m", f"--model_base_path={base}", *flags)


def test_check_64_a_new_version_is_taken_without_one_failed_request(base, published):
    flag = "--file_system_poll_wait_seconds=1"
    with running_model(base, flag) as server, grpc_stubs(server) as (prediction, _):
        seen, ended = [], threading.Event()

        def ask_rest():
            status, reply = product(server)
            seen.append(reply["predictions"][0] if status == 200 else reply)

        def ask_grpc():
            seen.append(prediction.Predict(request(), timeout=20).outputs["y"].float_val[0])

        def ask_always(ask_once):
            while not ended.is_set():
                try:
                    ask_once()
                except Exception as error:  # to be seen below, not lost with the thread
                    seen.append(repr(error))

        threads = [threading.Thread(target=ask_always, args=(each,)) for each in (ask_rest, ask_grpc)]
        for thread in threads:
            thread.start()
        try:
            for number in (2, 3):
                eventually(lambda number=number: len(seen) > 50 * (number - 1))
                publish(published, number, base)
                eventually(lambda number=number: states(server) == {number: "AVAILABLE", number - 1: "END"} | (
                    {1: "END"} if number == 3 else {}))  # fmt: skip
        finally:
            ended.set()
            for thread in threads:
                thread.join(20)
        assert set(seen) == {1.0, 2.0, 3.0}
        assert len(seen) > 100
        assert product(server) == (200, {"predictions": [3.0]})


def test_check_65_an_older_version_takes_over_when_the_newest_goes(base, published):
    publish(published, 2, base)
    for name in ("v9", "0.1", "abc", "-4"):
        (base / name).mkdir()
    (base / "77").write_text("no directory", "utf-8")
    with running_model(base) as server:
        assert states(server) == {2: "AVAILABLE"}
        shutil.rmtree(base / "2")
        eventually(lambda: states(server) == {1: "AVAILABLE", 2: "END"})
        assert product(server) == (200, {"predictions": [1.0]})
        publish(published, 2, base)
        eventually(lambda: states(server) == {1: "END", 2: "AVAILABLE"})


def test_check_65_a_broken_version_leaves_the_old_one(base, published):
    with running_model(base) as server:
        (base / "3").mkdir()
        eventually(lambda: states(server).get(3) == "END")
        assert product(server) == (200, {"predictions": [1.0]})
        status, reply = get(server, "/m/versions/3")
        error = reply["model_version_status"][0]["status"]
        assert (status, error["error_code"] != "OK", "SavedModel" in error["error_message"]) == (200, True, True)
        shutil.copytree(published / "3", base / "3", dirs_exist_ok=True)  # the rest of a slow copy arrives
        eventually(lambda: states(server) == {3: "AVAILABLE", 1: "END"})


@pytest.mark.parametrize(
    ("policy", "available"),
    [
        pytest.param("specific { versions: 1 versions: 2 }", {1, 2}, id="check-66-specific"),
        pytest.param("all {}", {1, 2, 3}, id="check-66-all"),
        pytest.param("latest { num_versions: 2 }", {2, 3}, id="check-66-latest"),
        pytest.param("", {3}, id="check-66-none"),
    ],
)
def test_the_versions_that_a_policy_asks_for(published, tmp_path, policy, available):
    more = f"model_version_policy {{ {policy} }}" if policy else ""
    (tmp_path / "config").write_text(config_text(published, more), "utf-8")
    with running(f"--model_config_file={tmp_path}/config") as server:
        assert states(server) == {number: "AVAILABLE" for number in available}
        assert product(server) == (200, {"predictions": [float(max(available))]})
        for number in available:
            assert product(server, f"/versions/{number}") == (200, {"predictions": [float(number)]})


LABELS = """model_version_policy { all {} } version_labels { key: "stable" value: 1 }
version_labels { key: "canary" value: %d }"""


def test_check_67_labels_at_the_start_need_a_flag(published, tmp_path):
    (tmp_path / "config").write_text(config_text(published, LABELS % 2), "utf-8")
    text = r"Request to assign label to version [12] of model m, which is not currently available"
    with pytest.raises(InputError, match=text), running(f"--model_config_file={tmp_path}/config"):
        pass


def test_check_67_a_label_moves_to_a_version_that_is_there(published, tmp_path):
    config = tmp_path / "config"
    config.write_text(config_text(published, LABELS % 2), "utf-8")
    with running(
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models",
    ) as server:
        assert product(server, "/labels/stable")[1] == {"predictions": [1.0]}
        assert product(server, "/labels/canary")[1] == {"predictions": [2.0]}
        config.write_text(config_text(published, LABELS % 9), "utf-8")
        time.sleep(0.5)
        assert product(server, "/labels/canary")[1] == {"predictions": [2.0]}
        config.write_text(config_text(published, LABELS % 3), "utf-8")
        eventually(lambda: product(server, "/labels/canary")[1] == {"predictions": [3.0]})


@pytest.mark.parametrize("seconds", [pytest.param(1, id="check-68-applied"), pytest.param(0, id="check-68-never")])
def test_edits_of_the_config_file(published, base, tmp_path, caplog, seconds):
    config = tmp_path / "config"
    config.write_text(config_text(base), "utf-8")
    flags = f"--model_config_file={config}", f"--model_config_file_poll_wait_seconds={seconds}"
    with running(*flags) as server:
        assert product(server)[1] == {"predictions": [1.0]}
        if seconds:
            with caplog.at_level(logging.WARNING):
                config.write_text("models {", "utf-8")
                eventually(lambda: "is not used" in caplog.text)
            assert product(server)[1] == {"predictions": [1.0]}
            config.write_text(config_text(published), "utf-8")
            eventually(lambda: product(server)[1] == {"predictions": [3.0]})
        else:
            config.write_text(config_text(published), "utf-8")
            time.sleep(0.5)
            assert product(server)[1] == {"predictions": [1.0]}


def record(alias="x", value=1.0):
    """A recorded request, serialised."""
    predict_log = prediction_log_pb2.PredictLog(request=request(alias, value))
    return prediction_log_pb2.PredictionLog(predict_log=predict_log).SerializeToString()


def write_records(version, *records):
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for each in records:
            writer.write(each)
    return path


def test_check_69_recorded_requests_run_before_the_first_real_one(base, monkeypatch):
    write_records(base / "1", record(), record(value=2.0))
    ran, run = [], Servable.run

    def watched(self, signature, inputs, outputs, timeout_in_ms=0):
        ran.append((inputs["x"].tolist(), timeout_in_ms))
        return run(self, signature, inputs, outputs, timeout_in_ms)

    monkeypatch.setattr(Servable, "run", watched)
    with running_model(base):
        # gRPC runs without a limit of time, REST with one.
        assert ran == [([1.0], 0), ([1.0], 30000), ([2.0], 0), ([2.0], 30000)]
    ran.clear()
    with running_model(base, "--enable_model_warmup=false"):
        assert ran == []


SESSION_RUN = prediction_log_pb2.PredictionLog(session_run_log=prediction_log_pb2.SessionRunLog())


@pytest.mark.parametrize(
    ("records", "error"),
    [
        pytest.param([record(alias="zz")], "input tensor alias not found", id="check-69-bad-request"),
        pytest.param([b"\xff"], "must hold PredictionLog records", id="check-69-no-log"),
        pytest.param(
            [SESSION_RUN.SerializeToString()],
            "must hold requests to predict only. Received: a session_run_log",
            id="check-69-session-run",
        ),
        pytest.param([record()] * 1001, "must hold at most 1000 requests", id="check-69-too-many"),
        pytest.param(None, "corrupted record", id="check-69-damaged"),
    ],
)
def test_a_recorded_request_that_fails_fails_the_load(base, records, error):
    path = write_records(base / "1", *(records or [record()]))
    if records is None:
        path.write_bytes(path.read_bytes()[:-4] + b"abcd")
    with pytest.raises(InputError, match=error), running_model(base):
        pass


class FakeServable:
    """Only opens and closes."""

    def __init__(self, path, number):
        self.number = number
        self.open = True

    def close(self):
        self.open = False


def test_check_64_a_request_that_runs_keeps_its_version_open(base, published):
    models = Models(FakeServable)
    config = ModelConfig(name="m", base_path=str(base))
    models.set([config])
    with models.use("m") as old:
        publish(published, 2, base)
        models.set([config])
        with models.use("m") as new:
            assert (old.number, old.open, new.number) == (1, True, 2)
        statuses = models.status("m").model_version_status
        assert [(status.version, status.state) for status in statuses] == [(2, State.AVAILABLE), (1, State.UNLOADING)]
        with pytest.raises(RequestError, match=r"Specific\(m, 1\)"), models.use("m", 1):
            pass
    eventually(lambda: not old.open)
    models.stop()
    assert not new.open


def test_every_subdirectory_with_versions_is_a_model(tmp_path):
    for name in ("hpt", "txt"):
        shutil.copytree(model_base() / name, tmp_path / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "README").write_text("", "utf-8")
    with running(f"--model_base={tmp_path}") as server:
        assert get(server, "/txt")[0] == 200
        assert get(server, "/hpt")[0] == 200
        assert get(server, "/empty")[0] == 404


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model_base_path={0}/nowhere"], "must be a directory. Received: {0}/nowhere"),
        (["--model_base_path={0}/empty"], "must hold versions"),
        (["--model_base={0}/nowhere"], "--model_base must be a directory of models"),
        (["--model_base={0}/empty"], "which has no model"),
        (["--model_config_file={0}/nowhere"], "must be a ModelServerConfig of TensorFlow Serving"),
        (["--model_config_file={0}/malformed"], "Error parsing text-format tensorflow.serving.ModelServerConfig"),
        (["--model_config_file={0}/blank"], "must hold a model_config_list with models"),
        (["--model_config_file={0}/elsewhere"], "must be a directory. Received: /nowhere/at/all"),
        (["--model_config_file={0}/platform"], "must have models of the platform tensorflow"),
        (["--model_base={1}", "--monitoring_config_file={0}/malformed"], "tensorflow.serving.MonitoringConfig"),
        (["--model_base={1}", "--enable_batching", "--batching_parameters_file={0}/malformed"], "BatchingParameters"),
        (["--model_base={1}", "--rest_api_port={port}"], "--rest_api_port and --host must be a free port"),
        (["--model_base={1}", "--port={port}"], "--port and --host must be a free port"),
        (["--model_base={1}", "--host=192.0.2.1", "--port=0", "--rest_api_port=0"], "192.0.2.1:0"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1].split("=")[0],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path, capsys, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "malformed").write_text("what { is: this", "utf-8")
    (tmp_path / "blank").write_text("", "utf-8")
    (tmp_path / "elsewhere").write_text(config_text("/nowhere/at/all"), "utf-8")
    (tmp_path / "platform").write_text(config_text(tmp_path).replace('"tensorflow"', '"caffe"'), "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        filled = [each.format(tmp_path, model_base(), port=taken.getsockname()[1]) for each in arguments]
        assert cli.main(["serve", *filled]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("seq-models: ")
    assert "Received: " in error
    assert words.format(tmp_path) in error


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--model_base=a", "--model_base_path=b"],
        ["--model_base=a", "--port=65536"],
        ["--model_base=a", "--enable_batching=perhaps"],
        ["--model_base=a", "--max_request_bytes=0"],
        ["--model_base=a", "--batching_parameters_file=x"],
        ["--model_base=a", "--unknown"],
        ["--model_bas=a"],
    ],
    ids=" ".join,
)
def test_a_wrong_flag_is_refused(capsys, arguments):
    with pytest.raises(SystemExit) as raised:
        cli.main(["serve", *arguments])
    assert raised.value.code == 2
    assert "seq-models serve: error: " in capsys.readouterr().err


def test_the_help_of_the_command(capsys):
    with pytest.raises(SystemExit) as raised:
        cli.main(["serve", "--help"])
    assert raised.value.code == 0
    assert "--model_base_path" in capsys.readouterr().out


def test_configuration_files(tmp_path):
    file = tmp_path / "file"
    file.write_text("max_batch_size { value: 64 } batch_timeout_micros { value: 0 }", "utf-8")
    assert read_batching(file) == {"max_batch_size": 64, "batch_timeout_micros": 0}
    for text in ("max_batch_size { value: 0 }", "max_batch_size: 3", "allowed_batch_sizes: 3"):
        file.write_text(text, "utf-8")
        with pytest.raises(InputError):
            read_batching(file)
    for text, path in (
        ("", None),
        ('prometheus_config { path: "/x" }', None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { enable: true path: "/x" }', "/x"),
    ):
        file.write_text(text, "utf-8")
        assert read_monitoring(file) == path
    for path in ("x", "/{x}"):
        file.write_text(f'prometheus_config {{ enable: true path: "{path}" }}', "utf-8")
        with pytest.raises(InputError, match="must have a path that starts with /"):
            read_monitoring(file)
    twice = 'config { name: "m" base_path: "/a" } '
    file.write_text(f"model_config_list {{ {twice * 2} }}", "utf-8")
    with pytest.raises(InputError, match="a name of its own"):
        read_configs(file)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_the_command_serves_until_it_is_told_to_end(number):
    command = [sys.executable, "-m", "seq_models.cli", "serve", f"--model_base={model_base()}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [*command, "--port=0", "--rest_api_port=0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    ) as process:  # fmt: skip
        end = threading.Timer(120, process.kill)
        end.start()
        try:
            line = process.stdout.readline()
            port = int(line.partition("REST at http://127.0.0.1:")[2].partition("/")[0])
            place = type("Place", (), {"rest_api_port": port})
            assert json.loads(ask(place, "POST", "/v1/models/hpt:predict", {"instances": [1]})[2])
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        finally:
            end.cancel()
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "txt 1 AVAILABLE" in errors
