"""Requests that come together run together: one run of the graph costs little more than one of its rows."""

import asyncio
import itertools
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from grpc import StatusCode

from seq_models.server.servable import Servable, Signature
from seq_models.server.status import RequestError, invalid


class _Batch:
    """Requests that will run as one."""

    def __init__(self, run, due):
        self.run = run
        self.due = due  # when it runs even if it is not full
        self.size = 0
        self.tasks = []  # (arrays by alias, future)


class Batcher:
    """Joins requests for the same outputs of the same servable along their first dimension.

    Inputs that differ in the other dimensions, or in type, are not joined. To be used in one event loop; graphs run in
    threads of its own.

    Args:
        max_batch_size: Rows of a batch at most; also of a request.
        batch_timeout_micros: How long a batch waits to be full.
        max_enqueued_batches: Batches of one kind that may wait; a request that would start another one is refused.
        num_batch_threads: Batches that run at the same time; None for the number of cores.
    """

    def __init__(
        self,
        max_batch_size: int = 1000,
        batch_timeout_micros: int = 0,
        max_enqueued_batches: int = 10,
        num_batch_threads: int | None = None,
    ):
        self._largest = max_batch_size
        self._wait = batch_timeout_micros / 1e6
        self._most = max_enqueued_batches
        self._queues: dict[tuple, list[_Batch]] = {}  # what is joined -> batches that wait, in the order they came
        self._free = num_batch_threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._free, "batches")

    async def run(
        self,
        servable: Servable,
        signature: Signature,
        inputs: dict[str, np.ndarray],
        outputs: Sequence[str],
        timeout_in_ms: int = 0,
    ) -> list[np.ndarray]:
        """Runs a part of the graph, together with other requests.

        Args:
            servable: What runs it.
            signature, inputs, outputs, timeout_in_ms: See `Servable.run`.
        Returns:
            An array for each of `outputs`: the rows of this request.
        Raises:
            RequestError: As `Servable.run`: of a batch that fails, the halves run again, down to the requests that fail
                alone, unless it took too long. UNAVAILABLE if too many wait.
        """
        size = _rows_of(inputs)
        if size > self._largest:
            raise invalid(f"Task size {size} is larger than maximum input batch size {self._largest}")
        loop = asyncio.get_running_loop()

        def run(joined):
            return servable.run(signature, joined, outputs, timeout_in_ms)

        if size == 0:
            return await loop.run_in_executor(self._pool, run, inputs)
        future = loop.create_future()
        kind = tuple((alias, array.dtype, array.shape[1:]) for alias, array in inputs.items())
        self._enqueue((id(servable), id(signature), tuple(outputs), timeout_in_ms, kind), run, size, (inputs, future))
        try:
            return await asyncio.wait_for(future, timeout_in_ms / 1000 or None)
        except TimeoutError as error:
            raise RequestError(StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for the batch") from error

    def _enqueue(self, key, run, size, task):
        queue = self._queues.setdefault(key, [])
        if not queue or queue[-1].size + size > self._largest:
            if len(queue) >= self._most:
                message = "The batch scheduling queue to which this task was submitted is full"
                raise RequestError(StatusCode.UNAVAILABLE, message)
            queue.append(_Batch(run, time.monotonic() + self._wait))
            # Later even if it is due now: the requests that have been read with this one come before.
            asyncio.get_running_loop().call_later(self._wait, self._start)
        queue[-1].tasks.append(task)
        queue[-1].size += size
        if self._is_full(queue):
            self._start()

    def _start(self):
        """Runs batches as long as a thread is free for one."""
        while self._free and (batch := self._next()):
            self._free -= 1
            running = asyncio.get_running_loop().run_in_executor(self._pool, _run, batch)
            running.add_done_callback(lambda done, batch=batch: self._end(batch, done))

    def _next(self):
        """The batch that has waited longest of those that are full or due, or None."""
        now = time.monotonic()
        ready = [key for key, queue in self._queues.items() if queue[0].due <= now or self._is_full(queue)]
        if not ready:
            return None
        key = min(ready, key=lambda key: self._queues[key][0].due)
        batch = self._queues[key].pop(0)
        if not self._queues[key]:
            del self._queues[key]  # its servable may be gone before the next request
        return batch

    def _is_full(self, queue):
        return len(queue) > 1 or queue[0].size >= self._largest

    def _end(self, batch, done):
        """Hands each request its rows or its error."""
        self._free += 1
        error = done.exception()  # of the batcher itself; those of the graph are replies
        replies = [error] * len(batch.tasks) if error else done.result()
        for (_, future), reply in zip(batch.tasks, replies, strict=True):
            if future.done():  # nobody waits for it any more
                continue
            if isinstance(reply, BaseException):
                future.set_exception(reply)
            else:
                future.set_result(reply)
        self._start()

    def stop(self) -> None:
        """Ends the threads; no request may be waiting."""
        self._pool.shutdown()


def _rows_of(inputs):
    sizes = {array.shape[0] if array.ndim else None for array in inputs.values()}
    if len(sizes) != 1 or None in sizes:
        raise invalid("Batching session Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def _run(batch):
    """Runs a batch; gives each of its requests a list of arrays, or its error."""
    return _replies(batch.run, [inputs for inputs, _ in batch.tasks])


def _replies(run, requests):
    """A batch that fails runs again in halves: what is wrong with one request is not the others' fault."""
    joined = {alias: np.concatenate([inputs[alias] for inputs in requests]) for alias in requests[0]}
    try:
        arrays = run(joined)
    except RequestError as error:
        if len(requests) == 1 or error.code is StatusCode.DEADLINE_EXCEEDED:
            return [error] * len(requests)
        half = len(requests) // 2
        return _replies(run, requests[:half]) + _replies(run, requests[half:])
    ends = [0, *itertools.accumulate(map(_rows_of, requests))]
    if any(array.ndim == 0 or len(array) != ends[-1] for array in arrays):
        message = "Batched output tensor's 0th dimension does not equal the sum of those of the input tensors"
        return [RequestError(StatusCode.FAILED_PRECONDITION, message)] * len(requests)
    return [[array[start:end] for array in arrays] for start, end in itertools.pairwise(ends)]
