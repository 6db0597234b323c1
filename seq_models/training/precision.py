"""The numbers that a training calculates with."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Within it, the layers that are made calculate with these numbers; their weights are always float32.

    With "mixed_float16" `compile` scales the loss, so that small gradients are not lost, and leaves out the steps in
    which the scale was too large.

    Args:
        name: The name of a Keras dtype policy, as those of `PRECISIONS`.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
