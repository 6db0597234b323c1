"""One loaded version of a model: the engine and loader of TensorFlow Serving, without its network."""

import threading
from typing import NamedTuple

import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the operations that text models use
from tensorflow.core.protobuf import config_pb2

from seq_models.server.status import errors_of_tensorflow, invalid

DEFAULT_SIGNATURE = "serving_default"


class TensorSpec(NamedTuple):
    """An input or output of a signature."""

    name: str  # in the graph
    dtype: tf.DType
    rank: int | None  # None if the signature does not say


class Signature(NamedTuple):
    """What can be asked of a model; inputs and outputs by alias, in the order of their names."""

    inputs: dict
    outputs: dict
    method_name: str
    defaults: dict  # of inputs that a request may leave out: arrays by alias


class Servable:
    """A SavedModel in a session of its own.

    Shapes are not checked against the signature, but for the rank: some text operations end the whole process when
    they are given a scalar.

    Args:
        path: The directory of the version.
        version: Its number.
        config: A `ConfigProto` for the session.
    Raises:
        RequestError: If it cannot be loaded.
    """

    def __init__(self, path, version, config):
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
        self._callables = {}
        self._lock = threading.Lock()

    def run(self, signature, inputs, outputs, timeout_in_ms=0):
        """Runs a part of the graph.

        Args:
            signature: A `Signature` of this servable.
            inputs: An array for each of its inputs, by alias.
            outputs: Aliases of the outputs to return.
            timeout_in_ms: After this time the run is given up; 0 for never.
        Returns:
            An array for each of `outputs`.
        Raises:
            RequestError: With the text of the engine, for instance for wrong types or shapes.
        """
        for alias, spec in signature.inputs.items():
            check_rank(alias, inputs[alias], spec)
        feeds = tuple(spec.name for spec in signature.inputs.values())
        names = [signature.outputs[alias].name for alias in outputs]
        fetches = tuple(sorted(set(names)))  # one callable, whatever the order they are asked in
        with errors_of_tensorflow():
            run = self._callable(feeds, fetches, timeout_in_ms)
            arrays = dict(zip(fetches, run(*[inputs[alias] for alias in signature.inputs]), strict=True))
        return [arrays[name] for name in names]

    def _callable(self, feeds, fetches, timeout_in_ms):
        # `session.run` would check in Python, with other sentences than those of the engine.
        key = feeds, fetches, timeout_in_ms
        if key not in self._callables:
            options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
            options.run_options.timeout_in_ms = timeout_in_ms
            with self._lock:
                self._callables[key] = self.session._make_callable_from_options(options)
        return self._callables[key]

    def close(self):
        """Frees the memory of the model; nothing may run in it any more."""
        self._callables.clear()
        self.session.close()


def check_rank(alias, array, spec):
    """Refuses an array that could end the process.

    Raises:
        RequestError: If `array` has not the rank of `spec`.
    """
    if spec.rank is not None and array.ndim != spec.rank:
        received = ",".join(map(str, array.shape))
        expected = ",".join("?" * spec.rank)
        raise invalid(f"Shape of tensor {alias} [{received}] is not compatible with expected shape [{expected}].")


def _signature(signature):
    defaults = {alias: tf.make_ndarray(tensor) for alias, tensor in signature.defaults.items()}
    return Signature(_specs(signature.inputs), _specs(signature.outputs), signature.method_name, defaults)


def _specs(tensors):
    return {alias: _spec(tensors[alias]) for alias in sorted(tensors)}


def _spec(tensor):
    shape = tensor.tensor_shape
    rank = None if shape.unknown_rank else len(shape.dim)
    return TensorSpec(tensor.name, tf.as_dtype(tensor.dtype) if tensor.dtype else None, rank)
