"""What REST and gRPC share: the models, how a graph is run, and what is counted."""

import asyncio
import time
from contextlib import contextmanager

from grpc import StatusCode

from seq_models.server.status import RequestError


class Service:
    """Answers requests, whichever way they come.

    Args:
        models: `Models`.
        metrics: `Metrics`.
        batcher: A `Batcher`, or None to run each request alone.
    """

    def __init__(self, models, metrics, batcher=None):
        self.models = models
        self.metrics = metrics
        self._batcher = batcher

    @contextmanager
    def counted(self, model, api, entrypoint):
        """Counts what happens within it; arguments as for `Metrics.count`."""
        start = time.perf_counter()
        status = StatusCode.INTERNAL  # unless it is known to be something else
        try:
            yield
            status = StatusCode.OK
        except RequestError as error:
            status = error.code
            raise
        finally:
            if self.models.has(model):
                self.metrics.count(model, api, entrypoint, status, time.perf_counter() - start)

    def runner(self, model, api, pool, timeout_in_ms=0):
        """A function that runs a graph, in a batch if there are batches.

        Args:
            model, api: As for `Metrics.count`.
            pool: An executor: a graph that is in no batch runs in one of its threads.
            timeout_in_ms: As for `Servable.run`.
        Returns:
            A coroutine function of (servable, signature, arrays by alias, output aliases): an array for each output.
        """

        async def run(servable, signature, inputs, outputs):
            start = time.perf_counter()
            if self._batcher:
                arrays = await self._batcher.run(servable, signature, inputs, outputs, timeout_in_ms)
            else:
                loop = asyncio.get_running_loop()
                arrays = await loop.run_in_executor(pool, servable.run, signature, inputs, outputs, timeout_in_ms)
            self.metrics.count_run(model, api, time.perf_counter() - start)
            return arrays

        return run
