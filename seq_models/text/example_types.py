"""What an example of each task is: the one place that knows its form."""

from collections.abc import Mapping
from typing import Any

Example = str | tuple[str, str] | tuple[list[str], list[str]]
Text = str | tuple[str, ...]  # a text that came as tokens stays tokens


class ExampleType:
    """What the examples of a task are, a class a kind; by default two strings, the first of which is the text.

    Attributes:
        fields: The names of the values of an example, as in the header of a table.
        description: An example in words, for errors.
        has_labels: Whether labels belong to it.
    """

    fields: tuple[str, ...]
    description: str
    has_labels = False

    def holds(self, example: Any) -> bool:
        """Whether a value is an example of this kind."""
        return isinstance(example, tuple) and len(example) == 2 and all(isinstance(part, str) for part in example)

    def problem(self, example: Any) -> str | None:
        """What is wrong with an example, as a sentence goes on after its place, or None."""
        return None if self.holds(example) else f"expected {self.description}. Received: {repr(example)[:60]}"

    def from_fields(self, values: Mapping[str, Any]) -> Example:
        """The example with these values of its fields; others are left out."""
        return tuple(values[name] for name in self.fields)

    def texts(self, example: Any) -> tuple[Text, ...]:
        """The texts of an example, one or two."""
        return example

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

    def holds(self, example: Any) -> bool:
        return isinstance(example, str)

    def from_fields(self, values: Mapping[str, Any]) -> str:
        return values["text"]

    def texts(self, example: str) -> tuple[Text, ...]:
        return (example,)

    def question(self, example: str) -> str:
        return example


class LabeledText(ExampleType):
    """A text with its label."""

    fields = ("text", "label")
    description = "a text and a label, two strings"
    has_labels = True

    def texts(self, example: tuple[str, str]) -> tuple[Text, ...]:
        return example[:1]

    def labels(self, example: tuple[str, str]) -> tuple[str, ...]:
        return example[1:]


class LabeledTokens(ExampleType):
    """The tokens of a text with a label each."""

    fields = ("tokens", "tags")
    description = "a list of tokens and a list of as many tags"
    has_labels = True

    def holds(self, example: Any) -> bool:
        if not isinstance(example, tuple) or len(example) != 2:
            return False
        return all(isinstance(part, list | tuple) for part in example) and len(example[0]) == len(example[1])

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


EXAMPLE_TYPES: dict[str, ExampleType] = {
    "language-model": Sentence(),
    "labeler": LabeledTokens(),
    "classifier": LabeledText(),
    "encoder-decoder": TextPair(),
}
