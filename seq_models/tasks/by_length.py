"""What a report says of examples of like length: how many there are, their loss, and what their task measures."""

import math
from typing import Any

from seq_models.tasks.judging import Judged
from seq_models.text.example_types import Sentence, SeveralLabels, TextPair


class Labeled:
    """Of examples with labels the share of right ones. The other tasks measure something else, a class each.

    Args:
        model: A task's model.
    Attributes:
        examples: Their number.
    """

    def __init__(self, model: Any):
        self.model, self.examples, self._loss = model, 0, 0.0
        self._labels = self._right = 0

    def add(self, each: Judged) -> None:
        """Takes an example."""
        self.examples += 1
        self._loss += each.loss
        self._labels += len(each.expected)
        self._right += sum(map(str.__eq__, each.expected, each.predicted))

    def row(self) -> dict[str, float]:
        """The numbers of a row of the table, by the head of their column."""
        return {"examples": self.examples, "loss": self._loss / self.examples, **self.measured()}

    def measured(self) -> dict[str, float]:
        """What the task measures."""
        return {"accuracy": self._right / self._labels if self._labels else math.nan}


class Sentences(Labeled):
    """Of texts their perplexity, that of all their tokens together."""

    def __init__(self, model: Any):
        super().__init__(model)
        self._tokens, self._nats = 0, 0.0

    def add(self, each: Judged) -> None:
        super().add(each)
        tokens = each.length + 1  # with the end
        self._tokens += tokens
        self._nats += tokens * each.loss

    def measured(self) -> dict[str, float]:
        return {"perplexity": math.exp(self._nats / self._tokens)}


class Translations(Labeled):
    """Of pairs the BLEU of the answers, and the share of exact ones."""

    def __init__(self, model: Any):
        super().__init__(model)
        self._pairs: list[Any] = []

    def add(self, each: Judged) -> None:
        super().add(each)
        self._pairs.append(each.example)

    def measured(self) -> dict[str, float]:
        scores = self.model.scores_of(self._pairs)
        return {name: scores[name] for name in ("bleu", "bleu_lowercased", "exact_match")}


class LabelSets(Labeled):
    """Of texts with any number of labels the share of those that get just their labels."""

    def __init__(self, model: Any):
        super().__init__(model)
        self._exact = 0

    def add(self, each: Judged) -> None:
        super().add(each)
        self._exact += each.expected == each.predicted

    def measured(self) -> dict[str, float]:
        return {"exact_match": self._exact / self.examples}


MEASURES = {Sentence: Sentences, TextPair: Translations, SeveralLabels: LabelSets}  # by what an example is
