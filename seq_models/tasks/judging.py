"""What a model says of examples whose answers are known."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from seq_models.text.codec import chunked
from seq_models.text.datasets import BATCH_SIZE
from seq_models.text.given import Given


class Judged(NamedTuple):
    """An example, and what the model says of it.

    Attributes:
        example: The example.
        weight: Its weight.
        loss: The mean loss of its tokens.
        length: How many tokens of its text were read.
        expected, predicted: Lists of labels of the same length, one each for a text or for each of its tokens; empty
            where the task has no labels. What was cut off is predicted as "". Of a text with any number of labels they
            are those that are predicted, beside themselves or "", then those that are missed, beside "".
        confidence: The probability of each label that is predicted and was not cut off.
    """

    example: Any
    weight: float
    loss: float
    length: int
    expected: list[str]
    predicted: list[str]
    confidence: Sequence[float] = ()


def judge(model: Any, examples: Iterable[Any]) -> Iterator[Judged]:
    """Every example, those of like length one after the other.

    Args:
        model: A task's model.
        examples: An iterable that `check_examples` has found right.
    """
    example_type = model.preprocessor.example_type
    for chunk in chunked(Given(examples, example_type)):
        chunk.sort(key=lambda example: len(model.question(example)))
        for some in chunked(chunk, BATCH_SIZE):
            rows = map(np.asarray, model.compare_rows(*model.batch(list(map(example_type.unweighted, some)))))
            for example, loss, predicted, length, confidence in zip(some, *rows, strict=True):
                expected, labels = model.labels_of(example, predicted)
                confident = confidence.reshape(-1)[: sum(map(bool, labels))].tolist()
                said = example_type.weight(example), float(loss), int(length), expected, labels, confident
                yield Judged(example, *said)
