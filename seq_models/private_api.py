"""Every use of what Keras and TensorFlow keep private, in one file.

Each says why it is needed and which public way was tried; `tests/test_private_api.py` fails when one of them changes.
Checked on Keras 3.15 with TensorFlow 2.20 and 2.21.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import keras
from keras.src import backend
from keras.src.trainers.compile_utils import MetricsList


class DistributedFit(keras.Model):
    """A `keras.Model` whose `fit` and `evaluate` work under any strategy, several workers included, and after a resume.

    Public ways tried: a loop of our own around `train_step` (then callbacks, progress bar and validation have to be
    written anew), and `train_function` set from outside (Keras makes it anew in every `compile`).
    """

    def prepare(self) -> None:
        """Makes all variables of a compiled model that `fit` would make in its first step."""
        with self.distribute_strategy.scope():
            if not self.optimizer.built:
                self.optimizer.build(self.trainable_variables)
            if self._compile_metrics is not None and not self._compile_metrics.built:
                flat = keras.KerasTensor((None, self.output.shape[-1]), self.output.dtype)
                self._compile_metrics.build(keras.KerasTensor((None,), "int32"), flat)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Stock Keras calls the model on the sum of the replicas' batches, which fails where their shapes differ."""
        self.prepare()
        if iterator is not None:
            iterator.__class__ = _until_the_data_ends(type(iterator))

    def _make_function(self, step_function):
        """Stock Keras averages what the workers' steps return over an axis that a scalar does not have.

        The metrics are the same on every replica, so they are read once, after the step.
        """
        import tensorflow as tf

        if not isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return super()._make_function(step_function)

        @tf.function(reduce_retracing=True)
        def steps(iterator):
            for _ in tf.range(self.steps_per_execution):
                self.distribute_strategy.run(step_function, args=(next(iterator),))
            return self.get_metrics_result()

        return steps

    def _get_metrics_result_or_logs(self, logs):
        """Stock Keras reports the logs of the last step: nothing of an epoch whose steps were made before a resume."""
        return self.get_metrics_result()


class Directions(MetricsList):
    """Tells Keras's callbacks whether more of a score is better, which those ask the model's metrics in mode "auto".

    It has no state and no result of its own. Public way tried: `mode`, which a user has to give to every callback.

    Args:
        directions: "up" or "down" by the name of the score.
    """

    def __init__(self, directions: dict[str, str]):
        super().__init__([SimpleNamespace(name=name, _direction=way) for name, way in directions.items()], "directions")

    def reset_state(self):
        pass

    def result(self):
        return {}


@functools.cache
def _until_the_data_ends(stock: type) -> type:
    """The class of an epoch iterator of Keras that ends an epoch where its data ends.

    Stock Keras cuts every epoch to the length of the first one, which is shorter when a training was resumed in its
    middle, and warns; and where it knows the length it starts the data of each epoch twice. Public way tried:
    `steps_per_epoch`, which is the same for every epoch.
    """

    class UntilTheDataEnds(stock):
        _num_batches = property(lambda _: None, lambda *_: None)

        def _get_iterator(self):
            with _no_tuner_of_replicas():
                return iter(self._distributed_dataset)

        def _interrupted_warning(self):
            pass

        @property
        def num_batches(self):
            """For the progress bar."""
            return self.data_adapter.num_batches

    return UntilTheDataEnds


@contextlib.contextmanager
def _no_tuner_of_replicas() -> Iterator[None]:
    """Iterators made within it have no autotuner.

    A strategy prefetches for each replica by a dataset of its own, with the default options whatever those of the data
    are. There is nothing to tune in it, but its end waits for the tuner's next wake-up, which comes after 10 ms, 20 ms,
    40 ms, … up to a minute: after an epoch of 2.6 seconds the training would stand still for another 2.5. Public way
    tried: the options of the data, which do not reach that dataset.
    """
    import tensorflow as tf
    from tensorflow.python.data.ops import multi_device_iterator_ops as multi_device

    stock = multi_device._create_device_dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    multi_device._create_device_dataset = lambda *arguments: stock(*arguments).with_options(options)
    try:
        yield
    finally:
        multi_device._create_device_dataset = stock


def callable_of_session(session: Any, options: Any) -> Callable[..., list]:
    """A function that runs feeds to fetches in a session of TensorFlow 1, after its `CallableOptions`.

    Public way tried: `session.run`, which prepares at every call, and checks in Python, with other sentences than those
    of the engine, which are what TensorFlow Serving answers.
    """
    return session._make_callable_from_options(options)


def all_operations() -> dict[str, bool]:
    """The operations that this TensorFlow has, by name: whether each depends on, or acts on, more than its inputs.

    There is no public way.
    """
    from tensorflow.core.framework.op_def_pb2 import OpList
    from tensorflow.python.client.pywrap_tf_session import TF_GetAllOpList, TF_GetBuffer

    return {op.name: op.is_stateful for op in OpList.FromString(TF_GetBuffer(TF_GetAllOpList())).op}


def compiled_by_xla() -> bool:
    """Whether what is being traced will be compiled by XLA, which has no operations but its own.

    Public way tried: none says so; an operation that XLA does not know fails after tracing.
    """
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def recurrence_of_keras(cell: Any, sequences: Any, states: list, mask: Any, go_backwards: bool) -> tuple:
    """What a backend of Keras has for a whole sequence (B, T, D) of an LSTM or a GRU: on a GPU, cuDNN.

    Public way tried: a layer of `keras.layers` that is given our weights; it would own variables of its own.

    Args:
        cell: An `LSTMCell` or a `GRUCell`, with the weights of those of Keras.
        sequences, states, mask, go_backwards: As in a call of such a layer.
    Returns:
        The last output (B, H), all outputs (B, T, H), the last states.
    Raises:
        NotImplementedError: If the backend has nothing for this call.
    """
    function = backend.lstm if len(states) == 2 else backend.gru
    own = ("kernel", "recurrent_kernel", "bias", "activation", "recurrent_activation")
    options = {name: getattr(cell, name) for name in own}
    return function(sequences, *states, mask, return_sequences=True, go_backwards=go_backwards, **options)


def being_exported() -> bool:
    """Whether what is being traced is for a SavedModel, which may hold no operation that only this machine has.

    Public way tried: none says so. Who asked is on the stack.
    """
    exporters = ("keras.src.export", "tensorflow.python.saved_model.save")
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(exporters):
            return True
        frame = frame.f_back
    return False
