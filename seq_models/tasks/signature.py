"""What an export answers to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class Signature(NamedTuple):
    """A function from strings to named dense tensors, with a row for each request in every input and output.

    Attributes:
        function: From tensors, one for each input, to a dictionary of tensors.
        inputs: A `tf.TensorSpec` for each input; the first dimension is unknown.
        questions: `questions(texts)` gives inputs that ask about a list of texts, a dictionary of arrays.
        defaults: Values of the last inputs, for requests that leave them out.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: Sequence[tf.TensorSpec]
    questions: Callable[[Sequence[str | bytes]], dict[str, np.ndarray]]
    defaults: Mapping[str, Any] = {}  # noqa: RUF012


def strings(name: str) -> tf.TensorSpec:
    """The specification of an input of one string a row."""
    return tf.TensorSpec([None], tf.string, name=name)


def number(name: str, dtype: Any) -> tf.TensorSpec:
    """The specification of an input of one number a row."""
    return tf.TensorSpec([None], dtype, name=name)


def array(texts: Sequence[str | bytes]) -> np.ndarray:
    """Texts -> an array of bytes (N,)."""
    return np.array([text.encode() if isinstance(text, str) else text for text in texts], object)


def questions_of(name: str) -> Callable[[Sequence[str | bytes]], dict[str, np.ndarray]]:
    """The `questions` of a signature whose one input is a text."""
    return lambda texts: {name: array(texts)}
