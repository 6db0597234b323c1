"""The one path from a question to its answer, whichever API it came by; and what is counted on the way."""

import asyncio
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from grpc import StatusCode
from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap
from tensorflow_serving.apis.model_pb2 import ModelSpec

from seq_models.exports.records import DEFAULT_SIGNATURE
from seq_models.server.batching import Batcher
from seq_models.server.metrics import Metrics
from seq_models.server.models import Models
from seq_models.server.servable import Servable, Signature
from seq_models.server.status import RequestError, invalid

SMALL = 2**16  # bytes that are read or written at once: a thread would only delay them


class Question(NamedTuple):
    """A request to predict."""

    model: str
    version: int | None  # None for the latest, unless there is a label
    label: str | None
    signature_name: str  # empty for the default one
    arrays: Callable[[Signature], dict[str, np.ndarray]]  # of all inputs, by alias: their types are the signature's
    unknown_signature: Callable[[str], RequestError]  # each API has its own sentence for a name that is none
    output_filter: Sequence[str] = ()  # aliases; empty for all
    size: int = 0  # bytes of the arrays, about


class Answer(NamedTuple):
    """The outputs of a signature, and which version gave them."""

    version: int
    signature_name: str
    outputs: dict[str, np.ndarray]


class Entrypoint(NamedTuple):
    """An API, as it runs graphs."""

    name: str  # "REST" or "GRPC"
    pool: Executor  # a graph that is in no batch runs in one of its threads
    timeout_in_ms: int = 0  # of a run; 0 for none


class Service:
    """Answers questions.

    Args:
        models: The models.
        metrics: What counts the requests.
        aside: A thread for what is too large to be read or written in between.
        batcher: What joins them, or None to run each alone.
    """

    def __init__(self, models: Models, metrics: Metrics, aside: Executor, batcher: Batcher | None = None):
        self.models = models
        self.metrics = metrics
        self._aside = aside
        self._batcher = batcher

    async def aside(self, size: int, function: Callable, *arguments: Any) -> Any:
        """What a function gives; while it reads or writes many bytes, other requests are answered.

        Args:
            size: How many bytes.
            function, arguments: What is called.
        """
        if size <= SMALL:
            return function(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._aside, function, *arguments)

    async def predict(self, question: Question, entrypoint: Entrypoint) -> Answer:
        """Runs a signature.

        Raises:
            RequestError: If the question does not fit the model, or the graph cannot answer it.
        """
        with self.models.use(question.model, question.version, question.label) as servable:
            signature, inputs, outputs = await self.aside(question.size, fitted, servable, question)
            start = time.perf_counter()
            if self._batcher:
                arrays = await self._batcher.run(servable, signature, inputs, outputs, entrypoint.timeout_in_ms)
            else:
                run = functools.partial(servable.run, signature, inputs, outputs, entrypoint.timeout_in_ms)
                arrays = await asyncio.get_running_loop().run_in_executor(entrypoint.pool, run)
            self.metrics.count_run(question.model, time.perf_counter() - start)
            name = question.signature_name or DEFAULT_SIGNATURE
            return Answer(servable.version, name, dict(zip(outputs, arrays, strict=True)))

    def metadata(self, model: str, version: int | None, label: str | None) -> tuple[ModelSpec, SignatureDefMap]:
        """The signatures of a version, and which version it is.

        Raises:
            RequestError: If there is no such version.
        """
        with self.models.use(model, version, label) as servable:
            spec = ModelSpec(name=model, version={"value": servable.version})
            return spec, SignatureDefMap(signature_def=servable.graph.signature_def)

    @contextmanager
    def counted(self, model: str, entrypoint: Entrypoint) -> Iterator[None]:
        """Counts what happens within it as one request to predict."""
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
                self.metrics.count(model, entrypoint.name, status, time.perf_counter() - start)


def fitted(servable: Servable, question: Question) -> tuple[Signature, dict[str, np.ndarray], list[str]]:
    """Checks a question against its signature; gives the first three arguments of `Servable.run`.

    Raises:
        RequestError: If the question does not fit the signature.
    """
    name = question.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise question.unknown_signature(name)
    signature = servable.signatures[name]
    if not signature.inputs:
        raise invalid(f"Failed to get input map for signature: {name}")
    inputs = question.arrays(signature)
    for alias, spec in signature.inputs.items():
        _check_rank(alias, inputs[alias], spec.rank)
    return signature, inputs, _asked_outputs(signature, question.output_filter)


def _check_rank(alias, array, rank):
    """Refuses an array that could end the process: some text operations do so when they are given a scalar."""
    if rank is not None and array.ndim != rank:
        received = ",".join(map(str, array.shape))
        expected = ",".join("?" * rank)
        raise invalid(f"Shape of tensor {alias} [{received}] is not compatible with expected shape [{expected}].")


def _asked_outputs(signature, output_filter):
    seen = []
    for alias in output_filter:
        if alias not in signature.outputs:
            expectation = f"Outputs expected to be in the set {{{','.join(sorted(signature.outputs))}}}."
            raise invalid(f"output tensor alias not found in signature: {alias} {expectation}")
        if alias in seen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        seen.append(alias)
    return seen or list(signature.outputs)
