"""What the clients of `serving/clients` share: their command line, and how they try again."""

import json
import subprocess
import sys

import command_line
import load
import pytest
from deployment_fixtures import SERVING, TWO, client_of, grpc_stub, rest_stub
from grpc_client import GrpcClient
from rest_client import RestClient
from retrying import ServingError, Unavailable, retried
from texts import read_texts

ROWS = [{"label": "positive", "score": 0.75}, {"label": "negative", "score": 0.5}]


@pytest.fixture
def rest():
    with rest_stub() as stub:
        yield stub


@pytest.fixture
def rpc():
    with grpc_stub() as stub:
        yield stub


def test_a_client_asks_for_a_version_or_a_label_not_both(rest):
    with client_of(RestClient, rest) as client, pytest.raises(ServingError, match="not both. Received: 1 and stable"):
        client.predict("classifier", {"text": TWO}, version=1, label="stable")
    with client_of(GrpcClient, rest) as client, pytest.raises(ServingError, match="not both"):
        client.predict("classifier", {"text": TWO}, version=1, label="stable")


def test_pauses_grow_and_the_deadline_ends_them(monkeypatch):
    now, pauses = [0.0], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("retrying.time.monotonic", lambda: now[0])
    monkeypatch.setattr("retrying.time.sleep", sleep)
    monkeypatch.setattr("retrying.random.uniform", max)
    left = []

    def call(seconds):
        left.append(seconds)
        raise Unavailable("full")

    with pytest.raises(Unavailable):
        retried(call, deadline=1.0, attempts=9)
    assert pauses == pytest.approx([0.1, 0.2, 0.4])
    assert left == pytest.approx([1.0, 0.9, 0.7, 0.3])


@pytest.mark.parametrize(("kind", "server"), [(RestClient, "rest"), (GrpcClient, "rpc")])
def test_the_command_line_prints_a_line_an_example(kind, server, request, capsys):
    stub = request.getfixturevalue(server)
    assert command_line.run(kind, ["--model", "classifier", "--address", stub.address, *TWO]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS
    assert len(stub.requests) == 1


def test_the_command_line_takes_inputs_by_name_and_one_output_without_a_name(rest, capsys):
    rest.replies.append((200, {"outputs": [[1.5], [2.5]]}))
    inputs = {"source": ["a", "b"], "target": ["c", "d"]}
    arguments = ["--model", "m", "--signature", "score", "--inputs", json.dumps(inputs), "--address", rest.address]
    assert command_line.run(RestClient, arguments) == 0
    assert capsys.readouterr().out == "[1.5]\n[2.5]\n"
    assert rest.requests[0][1] == {"signature_name": "score", "inputs": inputs}


@pytest.mark.slow
@pytest.mark.parametrize("script", ["rest_client.py", "grpc_client.py", "load.py"])
def test_a_server_that_is_not_there_is_one_sentence_and_exit_code_2(script):
    script = [sys.executable, str(SERVING / "clients" / script)]
    words = ["--model", "x", "--deadline", "0.3", "--address"]
    address = "127.0.0.1:1" if "grpc_client.py" in script[1] else "http://127.0.0.1:1"
    texts = [] if "load.py" in script[1] else ["a"]
    done = subprocess.run([*script, *words, address, *texts], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and "127.0.0.1:1" in last and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--inputs", "[1]"],
        ["--inputs", "{"],
        ["a", "--inputs", '{"text": ["a"]}'],
        ["a", "--texts", "texts.txt"],
        ["a", "--version", "1", "--label", "b"],
    ],
)
def test_what_the_command_line_cannot_take_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.run(RestClient, ["--model", "x", *arguments])
    assert ended.value.code == 2 and "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\ntwo", ["one", "two"]),
        (b"\xef\xbb\xbfone\n\n two \n", ["one", "", " two "]),
        ("\u6211\u2028\x85\x0c\r x\r\n".encode(), ["\u6211\u2028\x85\x0c\r x"]),
        (b"", []),
    ],
)
def test_a_text_is_a_line_of_a_file(tmp_path, content, texts):
    (tmp_path / "texts").write_bytes(content)
    assert read_texts(tmp_path / "texts") == texts


@pytest.mark.parametrize("text", ["na\u00efve".encode("latin-1"), "\u6211\u559c".encode("gb18030"), b"\xff\xfea\x00"])
def test_a_file_in_another_encoding_is_refused_with_its_line(rest, tmp_path, capsys, text):
    (tmp_path / "texts").write_bytes(b"one\ntwo\n" + text + b"\n")
    arguments = ["--model", "classifier", "--address", rest.address]
    assert command_line.run(RestClient, [*arguments, "--texts", str(tmp_path / "texts")]) == 2
    assert load.main([*arguments, "--texts", str(tmp_path / "texts")]) == 2
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith(f"error: {tmp_path / 'texts'}:3: a text must be UTF-8. Received: b'")
    assert not rest.requests


def test_the_lines_of_a_file_are_answered(rest, tmp_path, capsys):
    (tmp_path / "texts").write_bytes("\r\n".join(TWO).encode())
    arguments = ["--model", "classifier", "--address", rest.address]
    assert command_line.run(RestClient, [*arguments, "--texts", str(tmp_path / "texts")]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS
    assert rest.requests[0][1]["inputs"] == {"text": TWO}
    assert command_line.run(RestClient, [*arguments, "--texts", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
