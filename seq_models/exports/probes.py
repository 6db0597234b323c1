"""Questions that an export must answer as the model does."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from seq_models.exports.records import Arrays
from seq_models.tasks.text_model import TextModel

# What a server gets sooner or later: nothing, white space, a NUL, bytes that are no UTF-8, other scripts, 100 kB.
EDGES = [b"", b"  \t ", b"a\x00b", b"\xff\xfe\xc3(", "我喜欢 😀 ɛ́".encode(), b"long " * 20_000]
SIZES = (0, 1, 2, 257)  # rows of a request


class Probe(NamedTuple):
    """A request and the model's answer."""

    signature: str
    inputs: Arrays
    answer: Arrays


def probes_of(model: TextModel) -> list[Probe]:
    """Requests to all signatures of a model with its answers.

    Of each signature: the sample texts of the run with all the edges in one request, each row of it alone, and requests
    of 0, 1, 2 and 257 rows.
    """
    texts = [*(text.encode() for text in model.sample_texts), *EDGES]
    probes = []
    for name, signature in model.signatures().items():
        answer = tf.function(signature.function, input_signature=signature.inputs, autograph=False)
        many = signature.questions((texts[: len(model.sample_texts)] or [b"a b"]) * 257)
        together = signature.questions(texts)
        alone = [rows(together, row, row + 1) for row in range(len(texts))]
        for inputs in (together, *alone, *(rows(many, 0, size) for size in SIZES)):
            tensors = [tf.constant(inputs[spec.name], spec.dtype) for spec in signature.inputs]
            answers = {name: np.asarray(tensor) for name, tensor in answer(*tensors).items()}
            probes.append(Probe(name, inputs, answers))
    return probes


def rows(arrays: Arrays, start: int, stop: int) -> Arrays:
    """Rows of each array of a dictionary."""
    return {name: array[start:stop] for name, array in arrays.items()}
