"""The checks of a corpus: each is a function from its items to the warnings that it has, one sentence each.

`CHECKS` says which checks a task has. A check warns of what trains, but badly.
"""

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

from seq_models.text.example_types import Text
from seq_models.text.labels import twins
from seq_models.text.schemes import misfits, steps_of

FEW = 10  # examples that say nothing about how many labels there should be
RARE_LABEL = 5  # a label with fewer examples is rare
DOMINANT_SHARE = 0.95
LONG_RATIO, LONG_LENGTH = 10, 200
LENGTH_RATIO = 5

_NAMED_PLACES = 3
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but tab and line feed, which a quoted CSV field may hold
_REPLACEMENT = re.compile("\ufffd")


class Item(NamedTuple):
    """An example as the checks see it: one or two texts, their tokens, and labels if the task has them."""

    place: str
    texts: tuple[Text, ...]
    labels: tuple[str, ...]
    tokens: tuple[Sequence[str], ...]


Check = Callable[[list[Item]], Iterator[str]]


def string_of(text: Text) -> str:
    return text if isinstance(text, str) else "".join(text)


def label_counts(items: list[Item]) -> Counter[str]:
    return Counter(label for item in items for label in item.labels)


def sides_of(items: list[Item]) -> Iterator[tuple[str, list[Text], list[Sequence[str]]]]:
    """The first text of every example and its tokens, then the second if there are two, each with what to call it."""
    names = ("text",) if len(items[0].texts) == 1 else ("source", "target")
    for at, name in enumerate(names):
        yield name, [item.texts[at] for item in items], [item.tokens[at] for item in items]


def _is_unparted(text: Text) -> bool:
    return isinstance(text, str) and len(text.split()) < 2


def _is_unsegmented(texts: list[Text]) -> bool:
    """Whether most texts have no whitespace inside, as in Chinese."""
    return sum(map(_is_unparted, texts)) * 2 > len(texts)


def lengths_of(texts: list[Text], tokens: list[Sequence[str]]) -> tuple[list[int], str]:
    """The length of every text and its unit: characters where whitespace does not part tokens."""
    if _is_unsegmented(texts):
        return [len(string_of(text)) for text in texts], "characters"
    return list(map(len, tokens)), "tokens"


# How warnings are put


def places_of(items: list[Item]) -> str:
    named = ", ".join(item.place for item in items[:_NAMED_PLACES])
    return f"({named}, …)" if len(items) > _NAMED_PLACES else f"({named})"


def plural(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _examples_have(found: list[Item], what: str) -> Iterator[str]:
    if found:
        yield f"{plural(len(found), 'example has', 'examples have')} {what} {places_of(found)}."


# Checks


def _duplicates(items: list[Item]) -> Iterator[str]:
    first: dict[Hashable, Item] = {}
    repeated = [item for item in items if first.setdefault((item.texts, item.labels), item) is not item]
    if repeated:
        yield f"{plural(len(repeated), 'example repeats', 'examples repeat')} an earlier one {places_of(repeated)}."


def _contradictions(items: list[Item]) -> Iterator[str]:
    by_text: dict[Hashable, dict[tuple[str, ...], Item]] = defaultdict(dict)
    for item in items:
        by_text[item.texts].setdefault(item.labels, item)
    clashes = [list(variants.values()) for variants in by_text.values() if len(variants) > 1]
    if clashes:
        places = places_of([item for clash in clashes for item in clash])
        yield f"{plural(len(clashes), 'text has', 'texts have')} different labels in different examples {places}."


def _rare_labels(items: list[Item]) -> Iterator[str]:
    rare = {label: number for label, number in label_counts(items).items() if number < RARE_LABEL}
    if not rare:
        return
    rarest = sorted(rare, key=rare.__getitem__)[:_NAMED_PLACES]
    named = ", ".join(f"{label!r} {rare[label]}" for label in rarest)
    places = places_of([next(item for item in items if label in item.labels) for label in rarest])
    once = sum(number == 1 for number in rare.values())
    number = plural(len(rare), "label occurs", "labels occur")
    yield f"{number} fewer than {RARE_LABEL} times, {once:,} of them once, for example {named} {places}."


def _twin_labels(items: list[Item]) -> Iterator[str]:
    for group in twins(label_counts(items)):
        places = places_of([next(item for item in items if label in item.labels) for label in group])
        yield f"The labels {', '.join(map(ascii, group))} differ by white space or invisible characters only {places}."


def _too_many_labels(items: list[Item]) -> Iterator[str]:
    labels = len(label_counts(items))
    if labels * 2 > len(items) >= FEW:
        places = places_of(items)
        yield f"{labels:,} distinct labels in {len(items):,} examples: probably the columns are swapped {places}."


def _dominant_label(items: list[Item]) -> Iterator[str]:
    labels = label_counts(items)
    for label, number in labels.most_common(1):
        share = number / labels.total()
        if share > DOMINANT_SHARE:
            places = places_of([item for item in items if label in item.labels])
            yield f"{share:.1%} of the labels are {label!r}: answering it always is as accurate {places}."


def _long_examples(items: list[Item]) -> Iterator[str]:
    for name, texts, tokens in sides_of(items):
        lengths, unit = lengths_of(texts, tokens)
        median = statistics.median(lengths)
        limit = max(LONG_RATIO * median, LONG_LENGTH)
        found = [item for item, length in zip(items, lengths, strict=True) if length > limit]
        if found:
            number = plural(len(found), f"{name} is", f"{name}s are")
            yield f"{number} longer than {limit:g} {unit} at a median of {median:g} {places_of(found)}."


def _matches(items: list[Item], pattern: re.Pattern[str]) -> list[Item]:
    return [item for item in items if any(pattern.search(string_of(text)) for text in item.texts)]


def _control_characters(items: list[Item]) -> Iterator[str]:
    if found := _matches(items, _CONTROL):
        first = _CONTROL.findall("".join(map(string_of, found[0].texts)))[0]
        yield from _examples_have(found, f"control characters such as U+{ord(first):04X}")


def _replacement_characters(items: list[Item]) -> Iterator[str]:
    return _examples_have(_matches(items, _REPLACEMENT), "U+FFFD, so bytes were lost when the text was decoded before")


def _copies(items: list[Item]) -> Iterator[str]:
    return _examples_have([item for item in items if item.texts[0] == item.texts[1]], "a target equal to the source")


def _length_ratios(items: list[Item]) -> Iterator[str]:
    pairs = zip(*(lengths_of(texts, tokens)[0] for _, texts, tokens in sides_of(items)), strict=True)
    found = [item for item, pair in zip(items, pairs, strict=True) if max(pair) > LENGTH_RATIO * min(pair)]
    return _examples_have(found, f"one side more than {LENGTH_RATIO} times as long as the other")


def _illegal_tags(items: list[Item]) -> Iterator[str]:
    scheme, broken = misfits(steps_of((item.labels, item.place) for item in items))
    if broken:
        number = plural(sum(step.times for step in broken), "tag breaks", "tags break")
        before, tag, place, n, _ = broken[0]
        said = f"{tag!r} after {before!r}, tag {n} ({place})"
        yield f"{number} the rules of {scheme}, which most keep to: {said}."


def _no_whitespace(items: list[Item]) -> Iterator[str]:
    for name, texts, tokens in sides_of(items):
        whole = [len(found) < 2 and _is_unparted(text) for text, found in zip(texts, tokens, strict=True)]
        if sum(whole) * 2 > len(texts):
            places = places_of([item for item, is_whole in zip(items, whole, strict=True) if is_whole])
            yield f'Most {name}s are one token each: use the tokenizer "words" or "chars" {places}.'


_TEXT_CHECKS: tuple[Check, ...] = (_duplicates, _long_examples, _control_characters, _replacement_characters)
_LABEL_CHECKS: tuple[Check, ...] = (_contradictions, _twin_labels, _rare_labels, _dominant_label)

HELD_OUT_CHECKS: dict[str, tuple[Check, ...]] = {"labeler": (_illegal_tags,)}  # of data to be scored on, too

CHECKS = {
    "language-model": (*_TEXT_CHECKS, _no_whitespace),
    "labeler": (*_TEXT_CHECKS, *_LABEL_CHECKS, _illegal_tags),
    "classifier": (*_TEXT_CHECKS, *_LABEL_CHECKS, _too_many_labels, _no_whitespace),
    "encoder-decoder": (*_TEXT_CHECKS, _copies, _length_ratios, _no_whitespace),
    "multi-label": (*_TEXT_CHECKS, _contradictions, _twin_labels, _rare_labels, _no_whitespace),
}
