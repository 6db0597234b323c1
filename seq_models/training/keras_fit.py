"""What `keras.Model.fit` needs to train under `tf.distribute`, on one worker and on several, and to be resumed.

The only overrides of Keras's trainer, checked on Keras 3.15 with TensorFlow 2.20 and 2.21.
"""

import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TFEpochIterator


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

    def _interrupted_warning(self):
        pass

    @property
    def num_batches(self):
        """For the progress bar."""
        return self.data_adapter.num_batches
