"""The load generator of `serving/clients`."""

import re
import threading
import time

import load
import pytest
from deployment_fixtures import grpc_stub, rest_stub
from retrying import ServingError


@pytest.fixture
def rest():
    with rest_stub() as stub:
        yield stub


@pytest.fixture
def rpc():
    with grpc_stub() as stub:
        yield stub


def test_latency_throughput_and_errors_are_measured():
    lock, calls = threading.Lock(), []

    def call():
        with lock:
            calls.append(time.monotonic())
            number = len(calls)
        time.sleep(0.02)
        if number % 4 == 0:
            raise ServingError("full")

    seen = []
    result = load.measure(call, clients=3, seconds=0.5, watch=seen.append)
    assert result.keys() == {"p50", "p95", "p99", "throughput", "errors"}
    assert result["errors"] == len(calls) // 4
    assert 20 <= result["p50"] <= result["p95"] <= result["p99"] < 500
    answered = len(calls) - result["errors"]
    assert answered / 0.8 < result["throughput"] <= answered / 0.5
    assert seen == sorted(seen) and len(seen) > 1


def test_clients_call_at_the_same_time():
    together = threading.Barrier(4)

    def call():
        together.wait(timeout=10)
        time.sleep(1)  # until after the end, so that none calls twice

    assert load.measure(call, clients=4, seconds=1)["errors"] == 0


def test_a_server_that_answers_nothing_has_no_latency():
    def call():
        time.sleep(0.01)
        raise ServingError("full")

    result = load.measure(call, clients=2, seconds=0.05)
    assert result["p50"] is result["p99"] is None and result["throughput"] == 0 and result["errors"] > 0


def test_a_percentile_is_a_value_that_enough_others_do_not_exceed():
    values = list(range(1, 101))[::-1]
    assert [load.percentile(values, share) for share in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert load.percentile([7], 99) == 7 and load.percentile([], 50) is None


@pytest.mark.parametrize("way", [[], ["--grpc"]], ids=["rest", "grpc"])
def test_the_load_generator_asks_the_lines_of_a_file_by_turns(way, request, tmp_path, capsys):
    stub = request.getfixturevalue("rpc" if way else "rest")
    (tmp_path / "texts.txt").write_text("one\n\ntwo\nthree\n", "utf-8")
    arguments = [
        "--model",
        "classifier",
        "--clients",
        "2",
        "--seconds",
        "0.3",
        "--batch",
        "2",
        "--address",
        stub.address,
    ]
    assert load.main([*arguments, *way, "--texts", str(tmp_path / "texts.txt")]) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(r"\d+\.\d requests/s\n(p\d\d \d+\.\d ms\n){3}0 errors\n", printed)
    if not way:
        assert [body["inputs"]["text"] for _, body in stub.requests[:1]] == [["one", "two"]]
        assert {tuple(body["inputs"]["text"]) for _, body in stub.requests[1:3]} == {("three", "one"), ("two", "three")}


def test_the_load_generator_refuses_a_file_without_texts(tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("\n", "utf-8")
    for name in ("texts.txt", "missing.txt"):
        assert load.main(["--model", "classifier", "--texts", str(tmp_path / name)]) == 2
        assert re.fullmatch(r"error: .*\.txt.*\n", capsys.readouterr().err)
