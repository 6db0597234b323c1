"""Requests that come together run together: one run of the graph costs little more than one of its rows."""

import os
import threading
import time
from concurrent.futures import Future

import numpy as np
from grpc import StatusCode

from seq_models.serving.server.status import RequestError, invalid


class _Batch:
    """Requests that will run as one."""

    def __init__(self, run, due):
        self.run = run
        self.due = due  # when it runs even if it is not full
        self.size = 0
        self.tasks = []  # (arrays by alias, future)


class Batcher:
    """Joins requests for the same outputs of the same servable along their first dimension.

    Inputs that differ in the other dimensions, or in type, are not joined.

    Args:
        max_batch_size: Rows of a batch at most; also of a request.
        batch_timeout_micros: How long a batch waits to be full.
        max_enqueued_batches: Batches of one kind that may wait; a request that would start another one is refused.
        num_batch_threads: Batches that run at the same time; None for the number of cores.
    """

    def __init__(self, max_batch_size=1000, batch_timeout_micros=0, max_enqueued_batches=10, num_batch_threads=None):
        self._largest = max_batch_size
        self._wait = batch_timeout_micros / 1e6
        self._most = max_enqueued_batches
        self._queues = {}  # what is joined -> batches that wait, in the order they came
        self._changed = threading.Condition()
        self._stopped = False
        for _ in range(num_batch_threads or os.cpu_count() or 1):
            threading.Thread(target=self._work, name="batches", daemon=True).start()

    def run(self, servable, signature, inputs, outputs, timeout_in_ms=0):
        """As `Servable.run`, together with other requests.

        Args:
            servable: A `Servable`.
            signature, inputs, outputs, timeout_in_ms: As for its `run`.
        Returns:
            An array for each of `outputs`: the rows of this request.
        Raises:
            RequestError: As `Servable.run`, also for the error of a request in the same batch; UNAVAILABLE if too
                many wait.
        """
        size = _rows_of(inputs)
        if size == 0:
            return servable.run(signature, inputs, outputs, timeout_in_ms)
        if size > self._largest:
            raise invalid(f"Task size {size} is larger than maximum input batch size {self._largest}")
        future = Future()

        def run(joined):
            return servable.run(signature, joined, outputs, timeout_in_ms)

        kind = tuple((alias, array.dtype, array.shape[1:]) for alias, array in inputs.items())
        self._enqueue((id(servable), id(signature), tuple(outputs), timeout_in_ms, kind), run, size, (inputs, future))
        try:
            return future.result(timeout_in_ms / 1000 or None)
        except TimeoutError as error:
            raise RequestError(StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for the batch") from error

    def _enqueue(self, key, run, size, task):
        with self._changed:
            queue = self._queues.setdefault(key, [])
            if not queue or queue[-1].size + size > self._largest:
                if len(queue) >= self._most:
                    message = "The batch scheduling queue to which this task was submitted is full"
                    raise RequestError(StatusCode.UNAVAILABLE, message)
                queue.append(_Batch(run, time.monotonic() + self._wait))
            queue[-1].tasks.append(task)
            queue[-1].size += size
            self._changed.notify()

    def _work(self):
        while (batch := self._next()) is not None:
            _run(batch)

    def _next(self):
        """The batch that has waited longest of those that are full or due; waits for one. None once stopped."""
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                first = [(queue[0].due, key) for key, queue in self._queues.items()]
                ready = [(due, key) for due, key in first if due <= now or self._is_full(self._queues[key])]
                if ready:
                    key = min(ready, key=lambda item: item[0])[1]
                    batch = self._queues[key].pop(0)
                    if not self._queues[key]:
                        del self._queues[key]  # its servable may be gone before the next request
                    return batch
                self._changed.wait(min(due for due, _ in first) - now if first else None)
        return None

    def _is_full(self, queue):
        return len(queue) > 1 or queue[0].size >= self._largest

    def stop(self):
        """Ends the threads; no request may be waiting."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def _rows_of(inputs):
    sizes = {array.shape[0] if array.ndim else None for array in inputs.values()}
    if len(sizes) != 1 or None in sizes:
        raise invalid("Batching session Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def _run(batch):
    sizes = [_rows_of(inputs) for inputs, _ in batch.tasks]
    try:
        joined = {alias: np.concatenate([inputs[alias] for inputs, _ in batch.tasks]) for alias in batch.tasks[0][0]}
        parts = [_split(array, sizes) for array in batch.run(joined)]
    except Exception as error:  # each of the clients is to hear of it
        for _, future in batch.tasks:
            future.set_exception(error)
        return
    for (_, future), *part in zip(batch.tasks, *parts, strict=True):
        future.set_result(part)


def _split(array, sizes):
    if array.ndim == 0 or len(array) != sum(sizes):
        message = "Batched output tensor's 0th dimension does not equal the sum of those of the input tensors"
        raise RequestError(StatusCode.FAILED_PRECONDITION, message)
    return np.split(array, np.cumsum(sizes)[:-1])
