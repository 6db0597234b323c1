"""What a language model may be told of each text that it writes: one table for Python and the graph."""

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from seq_models import decoding
from seq_models.tasks.signature import number, strings
from seq_models.text.vocabulary import END

LONGEST = 512  # tokens that are added to a prompt
LARGEST = 2**31 - 1
LARGEST_SEED = 2**31 - 2**20  # so that a seed and the number of a row fit into 32 bits


class GenerationOption(NamedTuple):
    """An option of `generate`, a value for each row.

    Attributes:
        name: Its name.
        default: Its value if it is left out; an integer for integers, a float for numbers.
        allowed: From a value, or a tensor of some, to whether it may be one.
        expected: What it must be, as a sentence goes on.
    """

    name: str
    default: int | float
    allowed: Callable[[Any], Any]
    expected: str

    @property
    def dtype(self) -> tf.DType:
        return tf.float32 if isinstance(self.default, float) else tf.int32

    def check(self, value: Any) -> None:
        """Raises a ValueError if a value of Python is none of it."""
        kind = Real if isinstance(self.default, float) else Integral
        if isinstance(value, bool) or not isinstance(value, kind) or not self._holds(value):
            raise ValueError(f"{self.name} must be {self.expected}. Received: {self.name}={value!r}")

    def _holds(self, value):
        with np.errstate(over="ignore"):  # as the graph sees it: what is too large is infinite
            return self.allowed(np.float32(value) if isinstance(self.default, float) else value)

    def check_in_graph(self, values: tf.Tensor) -> None:
        """Ends the graph with a sentence if a value of a tensor is none of it."""
        tf.debugging.Assert(
            tf.reduce_all(self.allowed(values)), [f"{self.name} must be {self.expected}. Received:", values]
        )


OPTIONS = (
    GenerationOption(
        "temperature",
        1.0,
        lambda tau: (tau >= 0) & (tau < math.inf),
        "0 or more",
    ),
    GenerationOption(
        "max_length",
        40,
        lambda length: (length >= 1) & (length <= LONGEST),
        f"1 to {LONGEST}",
    ),
    GenerationOption(
        "top_k",
        0,
        lambda k: (k >= 0) & (k <= LARGEST),
        f"0 to {LARGEST}",
    ),
    GenerationOption(
        "top_p",
        1.0,
        lambda p: (p > 0) & (p <= 1),
        "above 0 and at most 1",
    ),
    GenerationOption(
        "repetition_penalty",
        1.0,
        lambda theta: (theta > 0) & (theta < math.inf),
        "above 0",
    ),
    GenerationOption(
        "min_length",
        0,
        lambda length: (length >= 0) & (length <= LONGEST),
        f"0 to {LONGEST}",
    ),
)
# The inputs of the signature: what comes first has been there longest.
INPUTS = [strings("prompt"), number("seed", tf.int32), *(number(option.name, option.dtype) for option in OPTIONS)]
DEFAULTS = {"seed": np.int32([0])} | {
    option.name: np.array([option.default], option.dtype.as_numpy_dtype) for option in OPTIONS
}


def check(seed: Any, values: Mapping[str, Any]) -> None:
    """Raises a ValueError if a seed or the value of an option is not what it must be, or two contradict each other."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) <= LARGEST_SEED:
        raise ValueError(f"seed must be an integer from 0 to {LARGEST_SEED}. Received: seed={seed!r}")
    for option in OPTIONS:
        option.check(values[option.name])
    shortest, longest = values["min_length"], values["max_length"]
    if shortest > longest:
        raise ValueError(
            f"min_length must be at most max_length. Received: min_length={shortest!r}, max_length={longest!r}"
        )


def check_beam(beam_width: Any, vocabulary_size: int, values: Mapping[str, Any]) -> None:
    """Raises a ValueError if it is no width of a beam, or an option asks for what a beam does not do."""
    if (
        isinstance(beam_width, bool)
        or not isinstance(beam_width, Integral)
        or not 1 <= int(beam_width) <= vocabulary_size
    ):
        raise ValueError(f"beam_width must be 1 to {vocabulary_size}, all tokens. Received: beam_width={beam_width!r}")
    for option in OPTIONS:
        value = values[option.name]
        if option.name not in ("max_length", "min_length") and value != option.default:
            raise ValueError(
                f"{option.name} must be left out with beam_width, where nothing is drawn. "
                f"Received: {option.name}={value!r}, beam_width={beam_width}"
            )


def check_in_graph(seed: tf.Tensor, values: Mapping[str, tf.Tensor]) -> None:
    """`check` of tensors (B,)."""
    tf.debugging.Assert(tf.reduce_all(seed >= 0), ["seed must be 0 or more. Received:", seed])
    for option in OPTIONS:
        option.check_in_graph(values[option.name])
    shortest, longest = values["min_length"], values["max_length"]
    tf.debugging.Assert(
        tf.reduce_all(shortest <= longest), ["min_length must be at most max_length. Received:", shortest, longest]
    )


def changes(prompt: tf.Tensor, values: Mapping[str, tf.Tensor]) -> list[decoding.Change]:
    """What options (B,) change before a token is chosen; the ids of the prompt (B, T) are in the text already."""
    return [
        decoding.repetition_penalty(values["repetition_penalty"], prompt),
        decoding.min_length(values["min_length"], END),
        decoding.temperature(values["temperature"]),
        decoding.top_k(values["top_k"]),
        decoding.top_p(values["top_p"]),
    ]


def chooser(seed: tf.Tensor, temperature: tf.Tensor) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """How a token is chosen: the random numbers of a row follow from its seed (B,) alone."""
    uniform = tf.map_fn(
        lambda each: tf.random.stateless_uniform([LONGEST], [each, 0]), seed, fn_output_signature=tf.float32
    )
    return decoding.sampler(uniform, temperature > 0)


def trial_values(count: int) -> dict[str, np.ndarray]:
    """Values to try an export with: of each row others."""
    row: np.ndarray = np.arange(count, dtype=np.int32)
    return {
        "seed": row,
        "temperature": np.float32(row % 3 / 2),
        "max_length": 1 + row % 8,
        "top_k": row % 5 // 2,
        "top_p": np.float32(1 - row % 2 * 0.3),
        "repetition_penalty": np.float32(1 + row % 4 // 3 * 0.3),
        "min_length": np.minimum(row % 3, 1 + row % 8),
    }
