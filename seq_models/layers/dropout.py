"""Dropout at several places of a network, from one sequence of random numbers."""

from typing import Any, Self

import keras


@keras.saving.register_keras_serializable(package="seq_models")
class Dropout(keras.layers.Layer):
    """`keras.layers.Dropout` that may share its random state with another one.

    A layer that is called at three places is one box with three inputs in a picture of a network; three layers with
    one random state drop what that layer would.

    Args:
        rate: Share that is dropped, in [0, 1).
        beside: The layer whose random state this one draws from; None for a state of its own.
    Call arguments:
        inputs: Floats of any shape, or a list of several.
        training: Whether anything is dropped.
    Returns:
        The inputs, some of them 0 and the others divided by 1 - rate.
    """

    def __init__(self, rate: float, beside: Self | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate
        self.supports_masking = True
        if rate > 0:
            self.seed_generator: Any = keras.random.SeedGenerator() if beside is None else beside.seed_generator

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        return keras.tree.map_structure(lambda x: keras.random.dropout(x, self.rate, seed=self.seed_generator), inputs)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


def dropouts(rate: float, count: int) -> list[Dropout]:
    """As many layers with one random state: a list of `count`."""
    first = Dropout(rate)
    return [first, *(Dropout(rate, beside=first) for _ in range(count - 1))]
