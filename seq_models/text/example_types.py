"""What an example of each task is: the one place that knows its form."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from seq_models.errors import shortened

Example = Any  # of a task a str, (str, str) or (list, list); after these values may come a weight, a number
Text = str | tuple[str, ...]  # a text that came as tokens stays tokens

LABEL_SEPARATOR = ","  # between the labels of a text that has several, in one string

TORN = re.compile("[\r\n\x1f]")  # ends a line of a vocabulary file, or a token in a tensor of strings


class ExampleType:
    """What the examples of a task are, a class a kind; by default two strings, the first of which is the text.

    After its values an example may have its weight in the loss, a number of 0 or more; it is 1 where it is left out.

    Attributes:
        fields: The names of the values of an example, as in the header of a table.
        description: An example in words, for errors.
        files: Which files hold such examples, for errors.
        has_labels: Whether labels belong to it.
    """

    fields: tuple[str, ...]
    description: str
    files = ".tsv, .csv or .jsonl"
    has_labels = False

    def conformed(self, example: Any) -> Any:
        """An example as Python gives it, in the types of this kind: a row is a tuple, a number of a class its text."""
        return (*map(_text, example[:2]), *example[2:]) if _is_row(example) else example

    def holds(self, example: Any) -> bool:
        """Whether a value is an example of this kind."""
        return isinstance(example, tuple) and len(example) == 2 and all(isinstance(part, str) for part in example)

    def problem(self, example: Any) -> str | None:
        """What is wrong with an example, as a sentence goes on after its place, or None."""
        if not self.holds(self.unweighted(example)):
            looks = [kind.description for kind in EXAMPLE_TYPES.values() if kind.holds(example)]
            received = ": ".join([*looks[:1], shortened(repr(example), 60)])
            return f"expected {self.description}, as in {self.files}. Received: {received}"
        if not 0 <= self.weight(example) < math.inf:
            return f"expected a weight of 0 or more. Received: {self.weight(example)!r}"
        for name in self.labels(example):
            if torn := TORN.search(name):
                return f"expected no U+{ord(torn[0]):04X} in a label, which would tear it in two. Received: {name!r}"
        return None

    def unweighted(self, example: Any) -> Any:
        """An example without its weight."""
        return example[:-1] if self._has_weight(example) else example

    def weight(self, example: Any) -> float:
        """The weight of an example in the loss."""
        return example[-1] if self._has_weight(example) else 1.0

    def _has_weight(self, example):
        many = isinstance(example, tuple) and len(example) == len(self.fields) + 1
        return many and isinstance(example[-1], int | float)

    def from_fields(self, values: Mapping[str, Any]) -> Example:
        """The example with these values of its fields, and of `weight` if it is there; others are left out."""
        return tuple(values[name] for name in (*self.fields, "weight") if name in self.fields or name in values)

    def texts(self, example: Any) -> tuple[Text, ...]:
        """The texts of an example, one or two."""
        return example[:2]

    def labels(self, example: Any) -> tuple[str, ...]:
        """The labels of an example."""
        return ()

    def question(self, example: Any) -> str:
        """The text that a model is asked about."""
        return example[0]


class Sentence(ExampleType):
    """A sentence."""

    fields = ("text",)
    description = "a sentence, a string"
    files = ".txt"

    def conformed(self, example: Any) -> Any:
        return example

    def holds(self, example: Any) -> bool:
        return isinstance(example, str)

    def problem(self, example: Any) -> str | None:
        return None if isinstance(example, str) else super().problem(example)

    def unweighted(self, example: Any) -> Any:
        return example[0] if self._has_weight(example) else example

    def from_fields(self, values: Mapping[str, Any]) -> Example:
        return (values["text"], values["weight"]) if "weight" in values else values["text"]

    def texts(self, example: Any) -> tuple[Text, ...]:
        return (self.unweighted(example),)

    def question(self, example: Any) -> str:
        return example if isinstance(example, str) else self.unweighted(example)


class LabeledText(ExampleType):
    """A text with its label."""

    fields = ("text", "label")
    description = "a text and a label, two strings"
    has_labels = True

    def texts(self, example: tuple[str, str]) -> tuple[Text, ...]:
        return example[:1]

    def labels(self, example: tuple[str, str]) -> tuple[str, ...]:
        return example[1:2]


class SeveralLabels(LabeledText):
    """A text with any number of labels: a list, also as JSON writes it, or a string with commas between them."""

    description = "a text and its labels, a string and a list of strings or a string with commas between them"

    def conformed(self, example: Any) -> Any:
        if not _is_row(example) or len(example) < 2 or not _is_row(example[1]):
            return super().conformed(example)
        return (_text(example[0]), list(map(_text, example[1])), *example[2:])

    def holds(self, example: Any) -> bool:
        if not isinstance(example, tuple) or len(example) != 2 or not isinstance(example[1], str | list | tuple):
            return False
        return all(isinstance(name, str) for name in (example[0], *example[1]))

    def problem(self, example: Any) -> str | None:
        if problem := super().problem(example):
            return problem
        labels = self.labels(example)
        if "" in labels:
            return f"expected a label between any two commas, and no empty one in a list. Received: {example[1]!r}"
        if torn := [label for label in labels if LABEL_SEPARATOR in label or label.startswith("[")]:
            return (
                "expected labels without commas that do not begin with [, or a whole list as JSON writes it. "
                f"Received: {torn[0]!r}"
            )
        return None

    def labels(self, example: tuple[str, str | list[str]]) -> tuple[str, ...]:
        """Each label once, sorted: their order means nothing."""
        given = example[1]
        if isinstance(given, str):
            given = _listed(given)
        return tuple(sorted({label.strip() for label in given}))


def _listed(cell: str) -> list[str]:
    """The labels of one string: a list as JSON writes it, or what commas divide."""
    if cell.strip().startswith("["):
        try:
            found = json.loads(cell)
        except ValueError:
            found = None
        if isinstance(found, list) and all(isinstance(label, str) for label in found):
            return found
    return cell.split(LABEL_SEPARATOR) if cell.strip() else []


class LabeledTokens(ExampleType):
    """The tokens of a text with a label each."""

    fields = ("tokens", "tags")
    description = "a list of tokens and a list of as many tags"
    files = ".conll, .conllu, .bio or .jsonl"
    has_labels = True

    def conformed(self, example: Any) -> Any:
        if not isinstance(example, tuple) or not all(map(_is_row, example[:2])):
            return example
        return (*(list(map(_text, part)) for part in example[:2]), *example[2:])

    def holds(self, example: Any) -> bool:
        if not isinstance(example, tuple) or len(example) != 2:
            return False
        if not all(isinstance(part, list | tuple) for part in example) or len(example[0]) != len(example[1]):
            return False
        return all(isinstance(name, str) for part in example for name in part)

    def problem(self, example: Any) -> str | None:
        problem = super().problem(example)
        torn = None if problem else next(filter(TORN.search, example[0]), None)
        return problem if torn is None else f"expected tokens of one piece. Received: {torn!r}"

    def texts(self, example: tuple[list[str], list[str]]) -> tuple[Text, ...]:
        return (tuple(example[0]),)

    def labels(self, example: tuple[list[str], list[str]]) -> tuple[str, ...]:
        return tuple(example[1])

    def question(self, example: tuple[list[str], list[str]]) -> str:
        return " ".join(example[0])


class TextPair(ExampleType):
    """A source with its target."""

    fields = ("source", "target")
    description = "a source and a target, two strings"
    files = "two files such as a.en and a.de, or in .tsv, .csv or .jsonl"


EXAMPLE_TYPES: dict[str, ExampleType] = {
    "language-model": Sentence(),
    "labeler": LabeledTokens(),
    "classifier": LabeledText(),
    "encoder-decoder": TextPair(),
    "multi-label": SeveralLabels(),
}


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple) or type(value).__name__ in ("ndarray", "Series")


def _text(value: Any) -> Any:
    """A string; what is neither string nor integer stays, for an error to show."""
    number = value.item() if hasattr(value, "item") else value
    return str(number) if isinstance(number, str | int) else value
