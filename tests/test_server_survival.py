"""The server goes on, whatever its disk, its clients and its machine do to it."""

import errno
import json
import logging
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from server_fixtures import ask, grpc_stubs, model_base, post, running
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from seq_models.exports.tensors import array_of
from seq_models.server import http, models, polling
from seq_models.server.json_text import LONG, parse_object


@pytest.fixture
def base(tmp_path):
    """A base path of one version, for the test to do to it what it wants."""
    shutil.copytree(model_base() / "hpt" / "00000123", tmp_path / "disk" / "model" / "1")
    return tmp_path / "disk" / "model"


@pytest.fixture(scope="module")
def server():
    with running() as server:
        yield server


def half(server, name="hpt"):
    return post(server, f"{name}:predict", {"instances": [1.0]})


def eventually(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def gone(base):
    base.parent.rename(base.parent.with_name("unmounted"))


def a_file(base):
    gone(base)
    base.parent.mkdir()
    base.write_text("no directory", "utf-8")


def an_empty_mount_point(base):
    gone(base)
    base.mkdir(parents=True)


def a_loop(base):
    gone(base)
    base.parent.mkdir()
    base.symlink_to(base)


@pytest.mark.parametrize("away", [gone, a_file, an_empty_mount_point, a_loop])
def test_a_base_path_that_is_away_keeps_what_is_loaded_and_is_looked_at_again(base, caplog, monkeypatch, away):
    looks = []
    look = models.Models._look
    monkeypatch.setattr(models.Models, "_look", lambda self: (look(self), looks.append(1)))
    with running("--model_name=m", f"--model_base_path={base}", "--file_system_poll_wait_seconds=1") as server:
        away(base)
        since = len(looks)
        eventually(lambda: len(looks) >= since + 2)
        assert half(server, "m") == (200, {"predictions": [2.5]})
        said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert [f"model m: {base} must be" in text for text in said if "model m" in text] == [True]  # once
        shutil.rmtree(base.parent, ignore_errors=True)
        base.parent.with_name("unmounted").rename(base.parent)
        shutil.copytree(base / "1", base / "2")
        eventually(lambda: post(server, "m/versions/2:predict", {"instances": [1.0]})[0] == 200)
        eventually(lambda: "as it should be again" in caplog.text)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_base_path_that_cannot_be_listed_keeps_what_is_loaded(base, monkeypatch, number):
    listed = Path.iterdir
    failed = []

    def iterdir(path):
        if path == base:
            failed.append(path)
            raise OSError(number, os.strerror(number))
        return listed(path)

    with running("--model_name=m", f"--model_base_path={base}") as server:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "iterdir", iterdir)
            eventually(lambda: len(failed) >= 2)
            assert half(server, "m")[0] == 200


def test_a_look_that_fails_is_not_the_last_one(caplog):
    stopped, looks = threading.Event(), []

    def look():
        looks.append(1)
        if len(looks) in (2, 3, 5):
            raise {5: KeyError("of another kind")}.get(len(looks), ZeroDivisionError("of our own"))

    polling.every(0.01, stopped, look, "versions")
    eventually(lambda: len(looks) > 6)
    stopped.set()
    said = [record.getMessage() for record in caplog.records]
    again = "versions: as it should be again"
    assert said == ["versions: of our own", again, "versions: 'of another kind'", again]


def test_one_model_does_not_keep_another_from_its_versions(base, monkeypatch):
    for name in ("bad", "good"):
        shutil.copytree(base / "1", base.parent / "models" / name / "1")
    asked = models._asked

    def failing(model):
        if model.config.name == "bad":
            raise RuntimeError("a fault of the server")
        return asked(model)

    with running("--model_base", base.parent / "models") as server:
        monkeypatch.setattr(models, "_asked", failing)
        shutil.copytree(base / "1", base.parent / "models" / "good" / "2")
        eventually(lambda: post(server, "good/versions/2:predict", {"instances": [1.0]})[0] == 200)
        assert half(server, "bad")[0] == 200


def test_a_version_that_failed_is_tried_again_though_its_files_are_the_same(base, monkeypatch):
    monkeypatch.setattr(models, "PAUSE", 0)
    load, tries = models.Models._load, []

    def loading(self, model, number, path):
        tries.append(number)
        servable = self._load_servable
        if number == 2 and len(tries) < 4:
            self._load_servable = lambda *_: (_ for _ in ()).throw(OSError(errno.EMFILE, "Too many open files"))
        load(self, model, number, path)
        self._load_servable = servable

    monkeypatch.setattr(models.Models, "_load", loading)
    with running("--model_name=m", f"--model_base_path={base}") as server:
        shutil.copytree(base / "1", base.parent / ".tmp")
        (base.parent / ".tmp").rename(base / "2")
        eventually(lambda: post(server, "m/versions/2:predict", {"instances": [1.0]})[0] == 200)
        assert tries == [1, 2, 2, 2]


def tensor(dtype, shape, **values):
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, **values)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize("proto", [
    tensor(tf.string, [2**31]),
    tensor(tf.string, [2**31], string_val=[b"a"]),
    tensor(tf.string, [2**14], string_val=[b"a"]),
    tensor(tf.string, [20], string_val=[b"a" * 10_000]),
    tensor(tf.string, [2**62, 2**62]),
    tensor(tf.string, [2**40, 0]),
    tensor(tf.string, [1], tensor_content=b"a"),
    tensor(tf.string, [2], string_val=[b"a"] * 3),
    tensor(tf.string, [-1], string_val=[b"a"]),
    tensor(tf.float32, [2**31], float_val=[1]),
    tensor(tf.float32, [2**31], tensor_content=b"0" * 8),
    tensor(tf.float32, [2], tensor_content=b"0" * 4),
    tensor(tf.float32, [2], tensor_content=b"0" * 12),
    tensor(tf.float32, [0], tensor_content=b"0" * 4),
    tensor(tf.int64, [2**31, 2**31], int64_val=[1, 2]),
    tensor(tf.bool, [2**20]),
    tensor(tf.float16, [2**31], half_val=[1]),
    tensor(tf.float32, [1] * 300, float_val=[1]),
], ids=str)  # fmt: skip
def test_a_shape_is_held_against_its_data_before_anything_is_made(server, proto):
    request = predict_pb2.PredictRequest()
    strings = proto.dtype == tf.string.as_datatype_enum
    request.model_spec.name = "txt" if strings else "kinds"
    request.inputs["text" if strings else "x"].CopyFrom(proto)
    started = time.monotonic()
    with grpc_stubs(server) as (prediction, _), pytest.raises(Exception, match="tensor parsing error"):
        prediction.Predict(request, timeout=30)
    assert time.monotonic() - started < 2


def test_a_few_values_may_be_left_out():
    assert array_of(tensor(tf.string, [3], string_val=[b"a", b"b\x00"])).tolist() == [b"a", b"b\x00", b"b\x00"]
    assert array_of(tensor(tf.int8, [2, 2], int_val=[1, -2])).tolist() == [[1, -2], [-2, -2]]
    assert array_of(tensor(tf.float32, [2**14])).tolist() == [0.0] * 2**14
    assert array_of(tensor(tf.string, [0, 3])).shape == (0, 3)


@pytest.mark.parametrize("count", [4095, 4096, 10_001])
def test_many_values_are_those_that_were_sent(count):
    words = [b"%d" % number for number in range(count)]
    assert array_of(tensor(tf.string, [count], string_val=words)).tolist() == words
    numbers = np.arange(count, dtype=np.float16)
    bits = numbers.view(np.uint16).tolist()
    assert (array_of(tensor(tf.float16, [count], half_val=bits)) == numbers).all()


def test_a_long_body_is_read_as_a_short_one():
    text = '{"instances": [1, 2.5, -1e3, NaN, "a\\u00e9\\n", {"b64": "YQ==", "b64": "0"}, [[], {}], true, null],'
    text += '"a": 1, "a": 2}'
    short, long = parse_object(text.encode()), parse_object(text.encode() + b" " * LONG)
    assert str(short) == str(long)
    assert (short["a"], short["instances"][5]) == (1, {"b64": "YQ=="})
    for bad in (b'{"a": 1e999}', b'{"a": [1,]}', b"[" * 100_000, b'{"a": "\xff"}'):
        for body in (bad, bad + b" " * LONG):
            with pytest.raises(Exception, match="the body must be a JSON object"):
                parse_object(body)


@pytest.mark.slow
def test_requests_are_answered_while_a_large_one_is_read(server):
    rows = ["the library was not boring, and neither was the book"] * 500_000
    body = json.dumps({"instances": [*rows, 1], "signature_name": "label"})
    answers, seconds, started = [], [], time.monotonic()
    thread = threading.Thread(target=lambda: answers.append(post(server, "txt:predict", body)))
    thread.start()
    while thread.is_alive():
        asked = time.monotonic()
        assert half(server)[0] == 200
        seconds.append(time.monotonic() - asked)
    status, reply = answers[0]
    assert (status, "element: 500000 of 'instances' list" in reply["error"]) == (400, True)
    assert max(seconds) < (time.monotonic() - started) / 4


def lines_until_closed(server_port, pieces, pause):
    """What a client is told that sends so slowly, and the seconds until the server closes the connection."""
    started, heard = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", server_port), timeout=20) as client:
        client.settimeout(pause)
        for piece in pieces:
            try:
                client.sendall(piece)
                part = client.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                break
            if not part:
                break
            heard += part
        return heard, time.monotonic() - started


def endless(start):
    yield start
    for _ in range(100):
        yield b"x"


@pytest.mark.parametrize("start", [
    b"GET /", b"GET /v1/models/hpt HTTP/1.1\r\nHost: a\r\nX: ",
    b"GET /v1/models/hpt HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/models/hpt HTTP/1.1\r\nHost: a\r\nX: ",
])  # fmt: skip
def test_a_header_that_comes_slowly_ends_the_connection(server, monkeypatch, start):
    monkeypatch.setattr(http, "HEADER_SECONDS", 1)
    heard, seconds = lines_until_closed(server.rest_api_port, endless(start), 0.1)
    assert 0.8 < seconds < 5
    assert b"must come within 1 seconds" in heard or b"Invalid HTTP request" in heard
    assert (b"AVAILABLE" in heard) == (b"\r\n\r\n" in start)


def test_a_client_that_says_nothing_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(http, "HEADER_SECONDS", 1)
    heard, seconds = lines_until_closed(server.rest_api_port, [b""] * 100, 0.1)
    assert (heard, 0.8 < seconds < 5) == (b"", True)


def test_a_body_may_take_longer_than_a_header(server, monkeypatch):
    monkeypatch.setattr(http, "HEADER_SECONDS", 1)
    with socket.create_connection(("127.0.0.1", server.rest_api_port), timeout=20) as client:
        client.sendall(b"POST /v1/models/hpt:predict HTTP/1.0\r\nContent-Length: 20\r\n\r\n")
        for byte in b'{"instances": [1.0]}':
            time.sleep(0.08)
            client.sendall(bytes([byte]))
        heard = b"".join(iter(lambda: client.recv(1000), b""))
        assert heard.endswith(b'{"predictions": [2.5]}')


@pytest.mark.parametrize("header", [
    b"X: " + b"x" * 200_000, b"\r\n".join(b"X%d: y" % number for number in range(20_000)), b"X: " + b"x" * 10_000_000,
], ids=["one", "many", "endless"])  # fmt: skip
def test_a_header_that_is_too_large_is_refused(server, header):
    with socket.create_connection(("127.0.0.1", server.rest_api_port), timeout=20) as client:
        heard = b""
        try:
            client.sendall(b"GET /v1/models/hpt HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n\r\n")
            heard = client.recv(1000)
        except OSError:  # it was closed before all was sent
            pass
        assert b"200 OK" not in heard
    assert half(server)[0] == 200
    name = "x" * 50_000
    assert ask(server, "GET", "/v1/models/hpt", headers={"X": name})[0] == 200
    status, _, content = ask(server, "GET", "/v1/models/hpt", headers={"X": name, "Y": name})
    assert (status, b"at most 65536 bytes" in content) == (400, True)


def test_what_is_no_http_2_is_not_waited_for_either(monkeypatch):
    monkeypatch.setattr("seq_models.server.run.HEADER_SECONDS", 1)
    with running() as server:
        _, seconds = lines_until_closed(server.port, endless(b""), 0.1)
        assert seconds < 8


@pytest.mark.parametrize("bad", ["x", "1 2"])
def test_a_bad_row_fails_alone_in_a_batch_of_the_server(tmp_path, bad):
    (tmp_path / "batching").write_text("max_batch_size { value: 9 } batch_timeout_micros { value: 300000 }", "utf-8")
    with running("--enable_batching", "--batching_parameters_file", tmp_path / "batching") as server:
        texts = ["1", "2", "3", bad, "5", "6", "7", "8", "9"]
        replies = {}

        def one(place, text):
            replies[place] = post(server, "kinds:predict", {"signature_name": "number", "instances": [text]})

        threads = [threading.Thread(target=one, args=pair) for pair in enumerate(texts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        for place, text in enumerate(texts):
            status, reply = replies[place]
            if text == bad:
                assert (status, "StringToNumberOp" in reply["error"]) == (400, True)
            else:
                assert (status, reply) == (200, {"predictions": [float(text)]})


@pytest.fixture
def process(base, tmp_path):
    """The command in a process of its own, whose handles the test may take away."""
    words = [sys.executable, "-m", "seq_models.cli", "serve", "--model_name=hpt", f"--model_base_path={base}"]
    words += ["--port=0", "--rest_api_port=0"]
    log = tmp_path / "log"
    with log.open("w") as errors, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
        try:
            ports = re.findall(r":(\d+)", process.stdout.readline())
            yield process, SimpleNamespace(port=int(ports[0]), rest_api_port=int(ports[1])), log
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.slow
def test_without_file_handles_the_server_keeps_its_models_and_answers_when_there_are_some(process, base):
    process, server, log = process
    kept = HTTPConnection("127.0.0.1", server.rest_api_port, timeout=20)

    def asked_on_the_kept_connection():
        kept.request("POST", "/v1/models/hpt:predict", '{"instances": [1.0]}')
        return json.loads(kept.getresponse().read())

    assert asked_on_the_kept_connection() == {"predictions": [2.5]}
    used = max(int(name) for name in os.listdir(f"/proc/{process.pid}/fd"))
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used + 4, hard))
    ports = [server.rest_api_port, server.port] * 30
    clients = [socket.create_connection(("127.0.0.1", port), timeout=5) for port in ports]
    shutil.copytree(base / "1", base / "2")
    for _ in range(4):  # and some looks at the base path meanwhile
        assert asked_on_the_kept_connection() == {"predictions": [2.5]}
        time.sleep(1)
    for client in clients:
        client.close()
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    eventually(lambda: half(server) == (200, {"predictions": [2.5]}))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "hpt"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    with grpc_stubs(server) as (prediction, _):
        assert prediction.Predict(request, timeout=20, wait_for_ready=True).outputs["y"].float_val == [2.5]
    # The next look finds what came meanwhile, and says that all is well.
    eventually(
        lambda: {"hpt 2 AVAILABLE", "model hpt: as it should be again"} <= set(log.read_text("utf-8").split("\n"))
    )
    assert process.poll() is None
    process.terminate()
    process.wait(30)
    said = log.read_text("utf-8")
    kept.close()
    assert "hpt 1 UNLOADING" not in said.split("hpt 2 AVAILABLE")[0]
    assert said.count("model hpt: ") == 2  # away, and back
    assert len(said) < 10_000
