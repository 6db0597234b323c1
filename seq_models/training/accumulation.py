"""A sum over the rows of a batch, a part of them at a time."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from seq_models.layers.tensors import Tensors


def sum_over_parts(function: Callable[[Any], Tensors], batch: Any, parts: int, zeros: Tensors) -> Tensors:
    """Σ function(rows) over parts of the rows of a batch, worked through one after the other.

    A part begins when the one before has been summed, so that there is memory for one part at a time.

    Args:
        function: From some rows of the batch to a list of tensors.
        batch: A nested structure of tensors (B, …).
        parts: Number of parts, the sizes of which differ by one row at most.
        zeros: The sum over no part, a list of tensors.
    Returns:
        A list of tensors. With one part they are what the function gives, sparse ones included.
    """
    if parts == 1:
        return function(batch)
    B = tf.shape(tf.nest.flatten(batch)[0])[0]

    def add(part, sums):
        rows = slice(B * part // parts, B * (part + 1) // parts)
        values = function(tf.nest.map_structure(lambda tensor: tensor[rows], batch))
        return part + 1, [total + tf.convert_to_tensor(value) for total, value in zip(sums, values, strict=True)]

    _, sums = tf.while_loop(lambda part, _: part < parts, add, (0, zeros), parallel_iterations=1)
    return sums
