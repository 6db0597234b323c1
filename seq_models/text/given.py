"""Examples as Python code gives them: checked one by one, and in the types that the task has."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seq_models.errors import InputError, shortened
from seq_models.text.example_types import Example, ExampleType, TextPair
from seq_models.text.examples import located
from seq_models.text.lines import unexpected


class Given:
    """Examples of a task, from a file or from Python, each of the form that the task wants.

    Args:
        examples: An iterable that can be read again and again.
        kind: What an example of the task is.
    Raises:
        InputError: If it is no such iterable; while iterating, at the first that is no example, or if there is none.
    """

    def __init__(self, examples: Iterable[Any], kind: ExampleType):
        if problem := _problem(examples):
            received = repr(examples) if isinstance(examples, str | bytes | int | None) else type(examples).__name__
            raise InputError(f"examples: expected {problem}. Received: {shortened(received, 60)}")
        for part in getattr(examples, "parts", ())[:1]:
            if len(part.paths) == 2 and kind.fields != TextPair.fields:
                expected = f"{kind.description}, as in {kind.files}"
                raise unexpected(part.paths[0], expected, f"parallel text with {part.paths[1]}", quote=False)
        self.examples, self.kind = examples, kind

    def __iter__(self) -> Iterator[Example]:
        right = 0
        for example in self.examples:
            example = self.kind.conformed(example)
            if self.kind.problem(example):
                break
            yield example
            right += 1
        else:
            if right:
                return
        next(itertools.islice(self.located(), right, None))  # raises; to make every place would take half of the time

    def located(self) -> Iterator[tuple[Example, str]]:
        """Every example with its place; see `located`."""
        place = None
        for example, place in located(self.examples):
            example = self.kind.conformed(example)
            if problem := self.kind.problem(example):
                raise InputError(f"{place}: {problem}")
            yield example, place
        if place is None:
            raise InputError("There must be at least one example. Received: none")


def _problem(examples: Any) -> str | None:
    """What is expected instead of examples that cannot be any, or None."""
    if hasattr(examples, "itertuples") or isinstance(examples, str | bytes | Mapping):
        return "an iterable of examples, as list(zip(table['text'], table['label'])) is of a table"
    try:
        once = iter(examples) is examples
    except TypeError:
        return "an iterable of examples"
    return "an iterable that can be read again and again, as list(…) of this one can" if once else None
