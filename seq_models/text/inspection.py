"""What is wrong with this data, before a model is trained on it.

Every check is a function from the items of a corpus to the warnings it has, each one sentence; `_CHECKS` says which
checks a task has. Reading stops at what no reader can make sense of; a check warns of what trains, but badly.
"""

import dataclasses
import itertools
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf
from rich.cells import cell_len

from seq_models.errors import InputError
from seq_models.text.codec import Codec, chunked
from seq_models.text.counting import say_cut
from seq_models.text.example_types import EXAMPLE_TYPES, Example, Text
from seq_models.text.examples import located
from seq_models.text.labels import twins
from seq_models.text.options import TEXT_OPTIONS, VocabularyOptions

FEW = 10  # examples that say nothing about how many labels there should be
RARE_LABEL = 5  # a label with fewer examples is rare
DOMINANT_SHARE = 0.95
LONG_RATIO, LONG_LENGTH = 10, 200
LENGTH_RATIO = 5

_NAMED_PLACES = 3
_SHOWN_LABELS = 20
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but tab and line feed, which a quoted CSV field may hold
_REPLACEMENT = re.compile("\ufffd")
_BIO = re.compile("O|[BI]-.+")


class Report(NamedTuple):
    """What `inspect_examples` found; `str` of it is `format_report`."""

    counts: dict[str, int]
    labels: Counter[str] | None
    warnings: list[str]

    def __str__(self) -> str:
        return format_report(self)


class _Item(NamedTuple):
    """An example as the checks see it: one or two texts, their tokens, and labels if the task has them."""

    place: str
    texts: tuple[Text, ...]
    labels: tuple[str, ...]
    tokens: tuple[Sequence[str], ...]


Check = Callable[[list[_Item]], Iterator[str]]


def inspect_examples(examples: Iterable[Example], task: str, options: VocabularyOptions | None = None) -> Report:
    """Count a corpus and warn of what is likely to be wrong with it; says how many texts training would cut.

    All examples are held in memory, unlike in training.

    Args:
        examples: What `read_examples` returned, or any iterable of the same values. Warnings name `file:line` if it
            has `located()`, and the number of the example, from 1, if not.
        task: "language-model", "labeler", "classifier" or "encoder-decoder".
        options: How training would cut texts into tokens; by default with the task's defaults. Word pieces are not
            learned here: it counts words.
    Returns:
        The report. `counts` has examples, tokens, distinct tokens, characters and the tokens of the longest text, as
        the tokenizer cuts them. `labels` is None for a task without labels.
    Raises:
        ValueError: If there is no such task.
        InputError: If there is no example, or one is not of the form that the task has.

    Example:
        >>> report = inspect_examples([("good", "1"), ("bad", "0"), ("good", "1")], "classifier")
        >>> report.warnings[0]
        '1 example repeats an earlier one (example 3).'
    """
    if task not in EXAMPLE_TYPES:
        raise ValueError(f"task: expected one of {', '.join(EXAMPLE_TYPES)}. Received: {task!r}")
    kind = EXAMPLE_TYPES[task]
    options = options or TEXT_OPTIONS[task]()
    codec = _codec(options)
    items = []
    for chunk in chunked(located(examples)):
        for example, place in chunk:
            if problem := kind.problem(example):
                raise InputError(f"{place}: {problem}")
        texts = [kind.texts(example) for example, _ in chunk]
        for (example, place), both, tokens in zip(chunk, texts, _tokens(codec, texts), strict=True):
            items.append(_Item(place, both, kind.labels(example), tokens))
    if not items:
        raise InputError(f"examples: expected at least one example. Received: {examples!r}")
    labels = _label_counts(items) if kind.has_labels else None
    say_cut(Counter(max(map(len, item.tokens)) + 1 for item in items), options.max_length, "examples")
    warnings = [warning for check in _CHECKS[task] for warning in check(items)]
    return Report(_counts(items), labels, warnings)


def format_report(report: Report) -> str:
    """Lay a report out for a terminal.

    Args:
        report: What `inspect_examples` returned.
    Returns:
        Lines of text: the counts, the labels with their shares, the warnings.

    Example:
        >>> print(format_report(inspect_examples(read_examples("train.tsv"), "classifier")))
        examples        6,920
        ...
    """
    lines = [f"{name:<15} {number:>12,}" for name, number in report.counts.items()]
    if report.labels is not None:
        lines += ["", f"{'labels':<15} {len(report.labels):>12,}", *_label_lines(report.labels)]
    if not report.warnings:
        return "\n".join([*lines, "", "no warnings"])
    return "\n".join([*lines, "", "warnings", *(f"- {warning}" for warning in report.warnings)])


def _label_lines(labels: Counter[str]) -> Iterator[str]:
    total = sum(labels.values())
    for label, number in labels.most_common(_SHOWN_LABELS):
        yield f"  {label}{' ' * (13 - cell_len(label))} {number:>12,} {number / total:>7.1%}"
    if len(labels) > _SHOWN_LABELS:
        yield f"  and {len(labels) - _SHOWN_LABELS:,} more"


# Counts


def _codec(options: VocabularyOptions) -> Codec:
    tokenizer = "words" if options.tokenizer == "wordpiece" else options.tokenizer
    return Codec.of(dataclasses.replace(options, tokenizer=tokenizer))


def _tokens(codec: Codec, examples: list[tuple[Text, ...]]) -> Iterator[tuple[Sequence[str], ...]]:
    """The tokens of the texts of each example."""
    strings = [text for texts in examples for text in texts if isinstance(text, str)]
    cut = codec.tokenizer.tokenize(codec.clean(tf.constant(strings, tf.string)))
    rows = iter(cut.to_list())
    for texts in examples:
        yield tuple([t.decode() for t in next(rows)] if isinstance(text, str) else text for text in texts)


def _string(text: Text) -> str:
    return text if isinstance(text, str) else "".join(text)


def _counts(items: list[_Item]) -> dict[str, int]:
    texts = [text for item in items for text in item.texts]
    tokens = [tokens for item in items for tokens in item.tokens]
    return {
        "examples": len(items),
        "tokens": sum(map(len, tokens)),
        "distinct tokens": len(set(itertools.chain.from_iterable(tokens))),
        "characters": sum(len(_string(text)) for text in texts),
        "longest example": max(map(len, tokens)),
    }


def _label_counts(items: list[_Item]) -> Counter[str]:
    return Counter(label for item in items for label in item.labels)


def _sides(items: list[_Item]) -> Iterator[tuple[str, list[Text], list[Sequence[str]]]]:
    """The first text of every example and its tokens, then the second if there are two, each with what to call it."""
    names = ("text",) if len(items[0].texts) == 1 else ("source", "target")
    for at, name in enumerate(names):
        yield name, [item.texts[at] for item in items], [item.tokens[at] for item in items]


def _is_unparted(text: Text) -> bool:
    return isinstance(text, str) and len(text.split()) < 2


def _is_unsegmented(texts: list[Text]) -> bool:
    """Whether most texts have no whitespace inside, as in Chinese."""
    return sum(map(_is_unparted, texts)) * 2 > len(texts)


def _lengths(texts: list[Text], tokens: list[Sequence[str]]) -> tuple[list[int], str]:
    """The length of every text and its unit: characters where whitespace does not part tokens."""
    if _is_unsegmented(texts):
        return [len(_string(text)) for text in texts], "characters"
    return list(map(len, tokens)), "tokens"


# How warnings are put


def _places(items: list[_Item]) -> str:
    named = ", ".join(item.place for item in items[:_NAMED_PLACES])
    return f"({named}, …)" if len(items) > _NAMED_PLACES else f"({named})"


def _plural(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _examples_have(found: list[_Item], what: str) -> Iterator[str]:
    if found:
        yield f"{_plural(len(found), 'example has', 'examples have')} {what} {_places(found)}."


# Checks


def _duplicates(items: list[_Item]) -> Iterator[str]:
    first: dict[Hashable, _Item] = {}
    repeated = [item for item in items if first.setdefault((item.texts, item.labels), item) is not item]
    if repeated:
        yield f"{_plural(len(repeated), 'example repeats', 'examples repeat')} an earlier one {_places(repeated)}."


def _contradictions(items: list[_Item]) -> Iterator[str]:
    by_text: dict[Hashable, dict[tuple[str, ...], _Item]] = defaultdict(dict)
    for item in items:
        by_text[item.texts].setdefault(item.labels, item)
    clashes = [list(variants.values()) for variants in by_text.values() if len(variants) > 1]
    if clashes:
        places = _places([item for clash in clashes for item in clash])
        yield f"{_plural(len(clashes), 'text has', 'texts have')} different labels in different examples {places}."


def _rare_labels(items: list[_Item]) -> Iterator[str]:
    rare = {label: number for label, number in _label_counts(items).items() if number < RARE_LABEL}
    if not rare:
        return
    rarest = sorted(rare, key=rare.__getitem__)[:_NAMED_PLACES]
    named = ", ".join(f"{label!r} {rare[label]}" for label in rarest)
    places = _places([next(item for item in items if label in item.labels) for label in rarest])
    once = sum(number == 1 for number in rare.values())
    number = _plural(len(rare), "label occurs", "labels occur")
    yield f"{number} fewer than {RARE_LABEL} times, {once:,} of them once, for example {named} {places}."


def _twin_labels(items: list[_Item]) -> Iterator[str]:
    for group in twins(_label_counts(items)):
        places = _places([next(item for item in items if label in item.labels) for label in group])
        yield f"The labels {', '.join(map(ascii, group))} differ by white space or invisible characters only {places}."


def _too_many_labels(items: list[_Item]) -> Iterator[str]:
    labels = len(_label_counts(items))
    if labels * 2 > len(items) >= FEW:
        places = _places(items)
        yield f"{labels:,} distinct labels in {len(items):,} examples: probably the columns are swapped {places}."


def _dominant_label(items: list[_Item]) -> Iterator[str]:
    labels = _label_counts(items)
    for label, number in labels.most_common(1):
        share = number / labels.total()
        if share > DOMINANT_SHARE:
            places = _places([item for item in items if label in item.labels])
            yield f"{share:.1%} of the labels are {label!r}: answering it always is as accurate {places}."


def _long_examples(items: list[_Item]) -> Iterator[str]:
    for name, texts, tokens in _sides(items):
        lengths, unit = _lengths(texts, tokens)
        median = statistics.median(lengths)
        limit = max(LONG_RATIO * median, LONG_LENGTH)
        found = [item for item, length in zip(items, lengths, strict=True) if length > limit]
        if found:
            number = _plural(len(found), f"{name} is", f"{name}s are")
            yield f"{number} longer than {limit:g} {unit} at a median of {median:g} {_places(found)}."


def _matches(items: list[_Item], pattern: re.Pattern[str]) -> list[_Item]:
    return [item for item in items if any(pattern.search(_string(text)) for text in item.texts)]


def _control_characters(items: list[_Item]) -> Iterator[str]:
    if found := _matches(items, _CONTROL):
        first = _CONTROL.findall("".join(map(_string, found[0].texts)))[0]
        yield from _examples_have(found, f"control characters such as U+{ord(first):04X}")


def _replacement_characters(items: list[_Item]) -> Iterator[str]:
    return _examples_have(_matches(items, _REPLACEMENT), "U+FFFD, so bytes were lost when the text was decoded before")


def _copies(items: list[_Item]) -> Iterator[str]:
    return _examples_have([item for item in items if item.texts[0] == item.texts[1]], "a target equal to the source")


def _length_ratios(items: list[_Item]) -> Iterator[str]:
    pairs = zip(*(_lengths(texts, tokens)[0] for _, texts, tokens in _sides(items)), strict=True)
    found = [item for item, pair in zip(items, pairs, strict=True) if max(pair) > LENGTH_RATIO * min(pair)]
    return _examples_have(found, f"one side more than {LENGTH_RATIO} times as long as the other")


def _invalid_bio(items: list[_Item]) -> Iterator[str]:
    labels = _label_counts(items)
    if set(labels) == {"O"} or not all(map(_BIO.fullmatch, labels)):
        return
    orphans = [item for item in items if _has_orphan(item.labels)]
    yield from _examples_have(orphans, "an I- tag after neither B- nor I- of the same type, which is not valid BIO")


def _has_orphan(tags: tuple[str, ...]) -> bool:
    pairs = zip(("O", *tags), tags, strict=False)
    return any(tag.startswith("I-") and before not in (tag, f"B-{tag[2:]}") for before, tag in pairs)


def _no_whitespace(items: list[_Item]) -> Iterator[str]:
    for name, texts, tokens in _sides(items):
        whole = [len(found) < 2 and _is_unparted(text) for text, found in zip(texts, tokens, strict=True)]
        if sum(whole) * 2 > len(texts):
            places = _places([item for item, is_whole in zip(items, whole, strict=True) if is_whole])
            yield f'Most {name}s are one token each: use the tokenizer "words" or "chars" {places}.'


_TEXT_CHECKS: tuple[Check, ...] = (_duplicates, _long_examples, _control_characters, _replacement_characters)
_LABEL_CHECKS: tuple[Check, ...] = (_contradictions, _twin_labels, _rare_labels, _dominant_label)

_CHECKS = {
    "language-model": (*_TEXT_CHECKS, _no_whitespace),
    "labeler": (*_TEXT_CHECKS, *_LABEL_CHECKS, _invalid_bio),
    "classifier": (*_TEXT_CHECKS, *_LABEL_CHECKS, _too_many_labels, _no_whitespace),
    "encoder-decoder": (*_TEXT_CHECKS, _copies, _length_ratios, _no_whitespace),
}
