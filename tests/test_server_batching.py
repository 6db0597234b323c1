"""Requests that come together run together, and each has its own answer."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from grpc import StatusCode
from server_fixtures import post, running

from seq_models.server.batching import Batcher
from seq_models.server.status import RequestError


class CountingServable:
    """Doubles its input, after the test has let it; remembers the sizes of its batches."""

    def __init__(self):
        self.sizes = []
        self.may_run = threading.Event()

    def run(self, signature, inputs, outputs, timeout_in_ms=0):
        self.sizes.append(len(inputs["x"]))
        assert self.may_run.wait(10)
        if (inputs["x"] < 0).any():
            raise RequestError(StatusCode.INVALID_ARGUMENT, "negative")
        return [inputs["x"] * 2, -inputs["x"]]


def ask_together(servable, arrays, **parameters):
    """What each of several requests gets that come while another one runs: its outputs or its error."""

    async def one(batcher, array):
        try:
            outputs = await batcher.run(servable, "signature", {"x": np.array(array)}, ["a", "b"])
            return [output.tolist() for output in outputs]
        except RequestError as error:
            return error.message

    async def all_of_them():
        batcher = Batcher(**parameters)
        requests = asyncio.gather(*(one(batcher, array) for array in arrays))
        asyncio.get_running_loop().call_later(0.3, servable.may_run.set)
        replies = await asyncio.wait_for(requests, 20)
        batcher.stop()
        return replies

    return asyncio.run(all_of_them())


def test_requests_that_come_together_run_together():
    servable = CountingServable()
    replies = ask_together(servable, [[1], [2, 3], [4]], max_batch_size=8, num_batch_threads=1)
    assert replies == [[[2], [-1]], [[4, 6], [-2, -3]], [[8], [-4]]]
    assert servable.sizes == [4]


def test_requests_that_come_while_a_batch_runs_wait_and_run_together():
    servable = CountingServable()
    arrays = [[1], [2], [3], [4], [5]]
    replies = ask_together(servable, arrays, max_batch_size=2, num_batch_threads=1)
    assert replies == [[[2 * x], [-x]] for [x] in arrays]
    assert servable.sizes == [2, 2, 1]


def test_a_full_batch_does_not_wait_and_another_one_does():
    servable = CountingServable()
    servable.may_run.set()
    started = time.monotonic()
    parameters = {"max_batch_size": 2, "num_batch_threads": 1}
    assert ask_together(servable, [[1], [2]], **parameters, batch_timeout_micros=30_000_000) == [
        [[2], [-1]],
        [[4], [-2]],
    ]
    assert time.monotonic() - started < 10
    started = time.monotonic()
    ask_together(servable, [[1]], **parameters, batch_timeout_micros=300_000)
    assert time.monotonic() - started > 0.3
    [reply] = ask_together(servable, [[1, 2, 3]], **parameters)
    assert "larger than maximum input batch size 2" in reply


def test_a_request_that_fails_takes_none_of_its_batch_with_it():
    servable = CountingServable()
    servable.may_run.set()
    arrays = [[1], [2], [3, -4], [5], [6], [7, 8], [9], [10]]
    replies = ask_together(servable, arrays, num_batch_threads=1)
    right = [[[2 * x for x in array], [-x for x in array]] for array in arrays]
    assert replies == [*right[:2], "negative", *right[3:]]
    assert len(servable.sizes) == 7  # all, two times four, two times two, two times one
    assert ask_together(servable, [[-1], [-2]], num_batch_threads=1) == ["negative", "negative"]


def test_a_batch_that_took_too_long_is_not_run_again():
    servable = CountingServable()

    def run(signature, inputs, outputs, timeout_in_ms=0):
        servable.sizes.append(len(inputs["x"]))
        raise RequestError(StatusCode.DEADLINE_EXCEEDED, "late")

    servable.run = run
    assert ask_together(servable, [[1], [2], [3]], num_batch_threads=1) == ["late"] * 3
    assert servable.sizes == [3]


def test_a_request_that_waits_too_long_is_given_up_and_the_others_are_not():
    servable = CountingServable()

    async def ask():
        batcher = Batcher(num_batch_threads=1)
        patient = asyncio.ensure_future(batcher.run(servable, "signature", {"x": np.array([1])}, ["a"], 20_000))
        with pytest.raises(RequestError, match="Timed out waiting for the batch"):
            await batcher.run(servable, "signature", {"x": np.array([2])}, ["a"], 50)
        servable.may_run.set()
        assert [output.tolist() for output in await patient] == [[2], [-1]]
        batcher.stop()

    asyncio.run(ask())


def test_a_request_whose_client_is_gone_takes_nothing_from_the_others_of_its_batch():
    servable = CountingServable()

    async def ask():
        batcher = Batcher(num_batch_threads=1)
        gone, patient = (
            asyncio.ensure_future(batcher.run(servable, "signature", {"x": np.array([number])}, ["a"]))
            for number in (1, 2)
        )
        while not servable.sizes:
            await asyncio.sleep(0.01)
        gone.cancel()
        servable.may_run.set()
        assert [output.tolist() for output in await asyncio.wait_for(patient, 20)] == [[4], [-2]]
        assert [output.tolist() for output in await batcher.run(servable, "s", {"x": np.array([3])}, ["a"])] == [
            [6],
            [-3],
        ]
        batcher.stop()

    asyncio.run(ask())
    assert servable.sizes == [2, 1]


def test_inputs_of_other_shapes_are_not_joined():
    servable = CountingServable()
    servable.may_run.set()
    replies = ask_together(servable, [[[1, 2]], [[3]]], num_batch_threads=2)
    assert replies == [[[[2, 4]], [[-1, -2]]], [[[6]], [[-3]]]]
    assert servable.sizes == [1, 1]


def test_more_batches_than_may_wait_are_refused():
    servable = CountingServable()
    parameters = {"max_batch_size": 1, "max_enqueued_batches": 2, "num_batch_threads": 1}
    replies = ask_together(servable, [[1], [1], [1], [1], [1], [1]], **parameters)
    full = "The batch scheduling queue to which this task was submitted is full"
    assert set(map(str, replies)) == {full, "[[2], [-1]]"}
    assert 2 <= replies.count([[2], [-1]]) <= 3


@pytest.mark.parametrize("parameters", [None, "max_batch_size { value: 4 } batch_timeout_micros { value: 20000 }"])
def test_a_server_with_batches_answers_the_same(tmp_path, parameters):
    flags = ["--enable_batching"]
    if parameters:
        (tmp_path / "batching").write_text(parameters, "utf-8")
        flags.append(f"--batching_parameters_file={tmp_path}/batching")
    with running(*flags) as server, ThreadPoolExecutor(8) as pool:

        def one(number):
            status, reply = post(server, "txt:predict", {"instances": ["w " * number, "x"]})
            return status, [row["probs"][0] for row in reply["predictions"]]

        assert list(pool.map(one, range(24))) == [(200, [number, 1.0]) for number in range(24)]
        assert post(server, "txt:predict", {"inputs": []})[0] == 200
        assert post(server, "txt:predict", {"signature_name": "unchecked", "inputs": "a"})[0] == 400
        assert post(server, "txt:predict", {"instances": ["a"] * 5})[0] == (400 if parameters else 200)
