"""Data that look like those of another task, or that contradict themselves: they train, but badly, so it is said."""

from collections.abc import Callable, Iterator
from typing import Any

from seq_models.text.entities import scheme_of
from seq_models.text.example_types import LabeledText, LabeledTokens, TextPair
from seq_models.text.examples import remembered
from seq_models.text.given import Given
from seq_models.text.schemes import Step, misfits, steps_of

MANY = 100  # examples, or tokens, that say what data look like
FREQUENT = 20  # times that targets come in the mean which may be labels


def doubts(preprocessor: Any, examples: Given, number: int) -> Iterator[str]:
    """What makes it doubtful that so many examples are meant for a task, a sentence each."""
    doubt = _DOUBTS.get(type(preprocessor.example_type))
    if doubt is not None:
        yield from doubt(preprocessor, examples, number)


def _of_labeled_text(preprocessor: Any, examples: Given, number: int) -> Iterator[str]:
    labels = len(preprocessor.labels)
    if MANY <= number < 2 * labels <= 2 * number:
        yield (
            f"{_name(examples)}: a text and its label are expected, but {labels:,} labels in {number:,} examples look "
            "like the second texts of pairs, which are for the encoder-decoder, or like texts in the place of labels, "
            "for which --columns names the two columns."
        )


def _of_labeled_tokens(preprocessor: Any, examples: Given, _: int) -> Iterator[str]:
    tokens, tags = len(preprocessor.codec.vocabulary), len(preprocessor.labels)
    if MANY <= tokens < 2 * tags:
        yield (
            f"{_name(examples)}: tokens and their tags are expected, but {tags:,} tags beside {tokens:,} tokens look "
            "like words; --columns names the two columns."
        )
    elif scheme_of(preprocessor.labels.names)[0] is not None:
        yield from _of_entities(preprocessor, examples)


def _of_entities(preprocessor: Any, examples: Given) -> Iterator[str]:
    tags = ((example[1], place) for example, place in examples.located())
    steps = [Step(*step) for step in remembered(examples.examples, ["steps"], lambda: steps_of(tags))]
    scheme, others = misfits(steps)
    so = "so that one thing is learned under two names"
    if preprocessor.scheme is not None:
        so = f"and are read as the entities that conlleval finds in them, which become {preprocessor.scheme}"
    for first in others[:1]:
        yield (
            f"{first.place}: {first.tag!r} after {first.before!r}, tag {first.number} of its sentence, is not of the "
            f"scheme {scheme}, which most tags keep to; {sum(step.times for step in others):,} in all do not, {so}."
        )


def _of_text_pair(_: Any, examples: Given, number: int) -> Iterator[str]:
    targets: set[str] = set()
    for example in examples if number >= MANY else ():
        targets.add(example[1])
        if len(targets) * FREQUENT > number:
            return
    if targets:
        yield (
            f"{_name(examples)}: a source and its target are expected, but {len(targets):,} different targets in "
            f"{number:,} examples, as {min(targets)!r}, look like labels, which are for the classifier."
        )


_DOUBTS: dict[type, Callable[[Any, Given, int], Iterator[str]]] = {
    LabeledText: _of_labeled_text,
    LabeledTokens: _of_labeled_tokens,
    TextPair: _of_text_pair,
}


def _name(examples: Given) -> str:
    """What a sentence calls examples: their first file, if they come from files."""
    return str(next(iter(getattr(examples.examples, "paths", ())), "examples"))
