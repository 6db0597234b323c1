"""What `keras.Model.fit` needs to train under `tf.distribute`, on one worker and on several, and to be resumed.

The only overrides of Keras's trainer and of TensorFlow, checked on Keras 3.15 with TensorFlow 2.20 and 2.21.
"""

import contextlib

import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TFEpochIterator
from tensorflow.python.data.ops import multi_device_iterator_ops as multi_device


class DistributedFit:
    """Mixed into a `keras.Model`: `fit` and `evaluate` under any strategy, several workers included."""

    def prepare(self):
        """Makes all variables of a compiled model that `fit` would make in its first step."""
        with self.distribute_strategy.scope():
            if not self.optimizer.built:
                self.optimizer.build(self.trainable_variables)
            if not self._compile_metrics.built:
                self._compile_metrics.build(self.output, self.output)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Stock Keras calls the model on the sum of the replicas' batches, which fails where their shapes differ."""
        self.prepare()
        if iterator is not None:
            iterator.__class__ = _UntilTheDataEnds

    def _make_function(self, step_function):
        """Stock Keras averages what the workers' steps return over an axis that a scalar does not have.

        The metrics are the same on every replica, so they are read once, after the step.
        """
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


class _UntilTheDataEnds(TFEpochIterator):
    """An epoch ends where its data ends.

    Stock Keras cuts every epoch to the length of the first one, which is shorter when a training was resumed in its
    middle, and warns; and where it knows the length it starts the data of each epoch twice.
    """

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


@contextlib.contextmanager
def _no_tuner_of_replicas():
    """Iterators made within it have no autotuner.

    A strategy prefetches for each replica by a dataset of its own, with the default options whatever those of the data
    are. There is nothing to tune in it, but its end waits for the tuner's next wake-up, which comes after 10 ms, 20 ms,
    40 ms, … up to a minute: after an epoch of 2.6 seconds the training would stand still for another 2.5.
    """
    stock = multi_device._create_device_dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    multi_device._create_device_dataset = lambda *arguments: stock(*arguments).with_options(options)
    try:
        yield
    finally:
        multi_device._create_device_dataset = stock
