"""One loaded version of a model: the engine and loader of TensorFlow Serving, without its network."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the operations that text models use
from tensorflow.core.protobuf.config_pb2 import CallableOptions, ConfigProto

from seq_models.private_api import callable_of_session
from seq_models.server.status import errors_of_tensorflow, invalid


class TensorSpec(NamedTuple):
    """An input or output of a signature."""

    name: str  # in the graph
    dtype: tf.DType
    rank: int | None  # None if the signature does not say


class Signature(NamedTuple):
    """A way to ask a model; inputs and outputs by alias, in the order of their names."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    defaults: dict[str, np.ndarray]  # of inputs that a request may leave out


class Servable:
    """A SavedModel in a session of its own.

    Args:
        path: The directory of the version.
        version: Its number.
        config: How the session runs.
    Raises:
        RequestError: If it cannot be loaded.
    """

    def __init__(self, path: str | Path, version: int, config: ConfigProto):
        self.version = version
        self.session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with errors_of_tensorflow():
                self.graph = tf.compat.v1.saved_model.load(self.session, ["serve"], str(path))
        except (OSError, RuntimeError, ValueError) as error:  # no SavedModel, not this tag set, an unknown operation
            self.session.close()
            raise invalid(str(error)) from error
        except BaseException:
            self.session.close()
            raise
        self.signatures = {key: _signature(value) for key, value in self.graph.signature_def.items()}
        self._callables: dict[tuple, Callable[..., list]] = {}
        self._lock = threading.Lock()

    def run(
        self, signature: Signature, inputs: dict[str, np.ndarray], outputs: Sequence[str], timeout_in_ms: int = 0
    ) -> list[np.ndarray]:
        """Runs a part of the graph.

        Args:
            signature: One of this servable.
            inputs: An array for each of its inputs, by alias; of shapes the graph alone checks what it does check.
            outputs: Aliases of the outputs to return.
            timeout_in_ms: After this time the run is given up; 0 for never.
        Returns:
            An array for each of `outputs`.
        Raises:
            RequestError: With the text of the engine, for instance for wrong types or shapes.
        """
        feeds = tuple(spec.name for spec in signature.inputs.values())
        names = [signature.outputs[alias].name for alias in outputs]
        fetches = tuple(sorted(set(names)))  # one callable, whatever the order they are asked in
        with errors_of_tensorflow():
            run = self._callable(feeds, fetches, timeout_in_ms)
            arrays = dict(zip(fetches, run(*[inputs[alias] for alias in signature.inputs]), strict=True))
        return [arrays[name] for name in names]

    def _callable(self, *key):
        if key not in self._callables:
            with self._lock:
                self._callables[key] = _prepared(self.session, *key)
        return self._callables[key]

    def close(self) -> None:
        """Frees the memory of the model; nothing may run in it any more."""
        self._callables.clear()
        self.session.close()


def _prepared(session, feeds, fetches, timeout_in_ms):
    """A function of an array for each feed, which gives a list of one for each fetch."""
    options = CallableOptions(feed=feeds, fetch=fetches)
    options.run_options.timeout_in_ms = timeout_in_ms
    return callable_of_session(session, options)


def _signature(signature):
    defaults = {alias: tf.make_ndarray(tensor) for alias, tensor in signature.defaults.items()}
    return Signature(_specs(signature.inputs), _specs(signature.outputs), defaults)


def _specs(tensors):
    return {alias: _spec(tensors[alias]) for alias in sorted(tensors)}


def _spec(tensor):
    shape = tensor.tensor_shape
    rank = None if shape.unknown_rank else len(shape.dim)
    return TensorSpec(tensor.name, tf.as_dtype(tensor.dtype) if tensor.dtype else None, rank)
