"""Where rounding, and not the model, decides an answer."""

import contextlib
import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from seq_models.exports.engines import SERVING
from seq_models.exports.records import Arrays
from seq_models.layers import engines
from seq_models.messages import say
from seq_models.tasks.text_model import TextModel

COUNTS = (1, 3, 16)  # of equal rows: products of few rows and of many are summed in another order


class Rounding:
    """Says to which questions a model has several answers, none of them more probable but for the rounding of sums.

    A search takes the more probable one of two ways at every step, and of two classes the more probable one is chosen.
    Where they are apart by less than the last bit of a float32, as often in a model that has hardly been trained, the
    answer depends on the order in which a sum was added up, which is another one in another engine and for another
    number of rows. With float64 in the place of float32 such ways are apart; what differs then too is a mistake.

    Args:
        model: A task's model.

    Attributes:
        undecided: What it was asked for and found to be so, a list of (signature, question).
    """

    def __init__(self, model: TextModel):
        self.model = model
        self.undecided: list[tuple[str, Arrays]] = []
        self._known: dict[tuple[str, str], bool] = {}

    def decides(self, signature: str, row: Arrays) -> bool:
        """Whether the model has several answers to a question, a request of one row.

        It is asked with the engines that it has and with those of an export, alone and among rows like it. Only texts
        and whole numbers count, for they are what is chosen.
        """
        key = signature, repr([array.tolist() for array in row.values()])
        if key not in self._known:
            self._known[key] = self._is_rounding(signature, row)
            if self._known[key]:
                self.undecided.append((signature, row))
        return self._known[key]

    def say(self) -> None:
        """Says aloud what rounding decides, if it was found to decide anything."""
        if self.undecided:
            names = sorted({signature for signature, _ in self.undecided})
            say(
                f"{len(self.undecided)} of the questions to the export ({', '.join(names)}) have several answers that "
                "are equally probable but for rounding, and a server may give another one than the model."
            )

    def _is_rounding(self, signature, row):
        serving = engines.using(*SERVING)
        varies = len({*_answers(self.model, signature, row), *_answers(self.model, signature, row, serving)}) > 1
        return varies and len({*_answers(self._twin, signature, row)}) == 1

    @functools.cached_property
    def _twin(self):
        return self.model.in_float64()


def _answers(model, signature, row, engine=None) -> Iterator[str]:
    """What a model chooses for a row alone and for rows that are equal to it."""
    function, inputs, *_ = model.signatures()[signature]
    with engine or contextlib.nullcontext():
        answer = tf.function(function, input_signature=inputs, autograph=False)
        for count in COUNTS:
            rows = (np.repeat(row[spec.name], count, axis=0) for spec in inputs)
            answers = answer(*(tf.constant(some, spec.dtype) for some, spec in zip(rows, inputs, strict=True)))
            chosen = [tensor.numpy() for tensor in answers.values() if not tensor.dtype.is_floating]
            yield from (repr([array[at : at + 1].tolist() for array in chosen]) for at in range(count))
