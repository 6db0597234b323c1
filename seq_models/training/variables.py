"""What variables hold, those that a strategy has several copies of included."""

import keras
import numpy as np
import tensorflow as tf


def value_of(variable: keras.Variable) -> np.ndarray:
    """The value. That of a metric is a sum over all replicas: of several workers all must ask for it."""
    return tf.convert_to_tensor(variable).numpy()


def number_of(variable: keras.Variable) -> float:
    """The value of a scalar."""
    return float(value_of(variable))


def steps_of(model: keras.Model) -> int:
    """Number of training steps that a model has made, over all epochs and before any interruption."""
    return int(value_of(model.optimizer.iterations))
