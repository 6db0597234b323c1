"""What is wrong with this data, before a model is trained on it.

Reading stops at what no reader can make sense of; `seq_models.text.checks` warns of what trains, but badly.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from rich.cells import cell_len

from seq_models.errors import InputError
from seq_models.text.batching import AsGiven, RowBatching, stacked
from seq_models.text.checks import CHECKS, HELD_OUT_CHECKS, Item, label_counts, string_of
from seq_models.text.codec import Codec, chunked
from seq_models.text.counting import say_cut
from seq_models.text.datasets import BATCH_SIZE
from seq_models.text.example_types import EXAMPLE_TYPES, Example, Text
from seq_models.text.examples import located
from seq_models.text.held_out import compared, unlike
from seq_models.text.options import TEXT_OPTIONS, VocabularyOptions

SHARES = (50, 90, 99)  # per cent of the examples, whose lengths are told
_SHOWN_LABELS = 20


class Report(NamedTuple):
    """What `inspect_examples` found; `str` of it is `format_report`.

    Attributes:
        counts: Examples, tokens, distinct tokens, characters and the tokens of the longest text.
        lengths: The tokens that 50, 90 and 99 % of the examples have at most; of a pair those of the longer side.
        padding: The share of padding in batches of rows of like length, in [0, 1).
        labels: How often each label comes, or None for a task without labels.
        held_out: What `compared` says of the data to be scored on, or None.
        warnings: What is likely to be wrong, a sentence each.
    """

    counts: dict[str, int]
    lengths: dict[str, int]
    padding: float
    labels: Counter[str] | None
    held_out: dict[str, float] | None
    warnings: list[str]

    def __str__(self) -> str:
        return format_report(self)


def inspect_examples(
    examples: Iterable[Example],
    task: str,
    options: VocabularyOptions | None = None,
    held_out: Iterable[Example] | None = None,
) -> Report:
    """Count a corpus and warn of what is likely to be wrong with it; says how many texts training would cut.

    All examples are held in memory, unlike in training.

    Args:
        examples: What `read_examples` returned, or any iterable of the same values. Warnings name `file:line` if it
            has `located()`, and the number of the example, from 1, if not.
        task: "language-model", "labeler", "classifier" or "encoder-decoder".
        options: How training would cut texts into tokens; by default with the task's defaults. Word pieces are not
            learned here: it counts words.
        held_out: Examples that a model is to be scored on: which of them the corpus has too, and what it lacks.
    Returns:
        The report.
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
    options = options or TEXT_OPTIONS[task]()
    items = _items(examples, task, options)
    lengths = [max(map(len, item.tokens)) for item in items]
    say_cut(Counter(length + 1 for length in lengths), options, "examples")
    warnings = [warning for check in CHECKS[task] for warning in check(items)]
    others = None if held_out is None else _items(held_out, task, options)
    return Report(
        counts=_counts(items),
        lengths={f"{share} %": int(np.percentile(lengths, share, method="inverted_cdf")) for share in SHARES},
        padding=_padding(items),
        labels=label_counts(items) if EXAMPLE_TYPES[task].has_labels else None,
        held_out=None if others is None else compared(items, others),
        warnings=warnings if others is None else [*warnings, *unlike(items, others), *_of_held_out(others, task)],
    )


def format_report(report: Report) -> str:
    """Lay a report out for a terminal.

    Args:
        report: What `inspect_examples` returned.
    Returns:
        Lines of text: the counts, the labels with their shares, the warnings.

    Example:
        >>> print(format_report(inspect_examples(read_examples("train.tsv"), "classifier")))
        examples             6,920
        ...
    """
    lines = [_line(name, number) for name, number in report.counts.items()]
    lines += [_line(f"length of {share}", length) for share, length in report.lengths.items()]
    lines += [_line("padding", report.padding)]
    if report.labels is not None:
        lines += ["", _line("labels", len(report.labels)), *_label_lines(report.labels)]
    if report.held_out is not None:
        lines += ["", "held out", *(_line(name, number) for name, number in report.held_out.items())]
    if not report.warnings:
        return "\n".join([*lines, "", "no warnings"])
    return "\n".join([*lines, "", "warnings", *(f"- {warning}" for warning in report.warnings)])


def _of_held_out(others: list[Item], task: str) -> Iterator[str]:
    """What is wrong with data to be scored on by themselves."""
    for check in HELD_OUT_CHECKS.get(task, ()):
        yield from (f"In the data to be scored on {warning}" for warning in check(others))


def _line(name: str, number: float) -> str:
    return f"{name:<20} {number:>12,}" if isinstance(number, int) else f"{name:<20} {number:>12.1%}"


def _label_lines(labels: Counter[str]) -> Iterator[str]:
    total = sum(labels.values())
    for label, number in labels.most_common(_SHOWN_LABELS):
        yield f"  {label}{' ' * (18 - cell_len(label))} {number:>12,} {number / total:>7.1%}"
    if len(labels) > _SHOWN_LABELS:
        yield f"  and {len(labels) - _SHOWN_LABELS:,} more"


def _items(examples: Iterable[Example], task: str, options: VocabularyOptions) -> list[Item]:
    """Examples as the checks see them."""
    kind: Any = EXAMPLE_TYPES[task]
    codec = _codec(options)
    items = []
    for chunk in chunked(located(examples)):
        for example, place in chunk:
            if problem := kind.problem(example):
                raise InputError(f"{place}: {problem}")
        texts = [kind.texts(example) for example, _ in chunk]
        for (example, place), both, tokens in zip(chunk, texts, _tokens(codec, texts), strict=True):
            items.append(Item(place, both, kind.labels(example), tokens))
    if not items:
        raise InputError(f"examples: expected at least one example. Received: {examples!r}")
    return items


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


def _counts(items: list[Item]) -> dict[str, int]:
    texts = [text for item in items for text in item.texts]
    tokens = [tokens for item in items for tokens in item.tokens]
    return {
        "examples": len(items),
        "tokens": sum(map(len, tokens)),
        "distinct tokens": len(set(itertools.chain.from_iterable(tokens))),
        "characters": sum(len(string_of(text)) for text in texts),
        "longest example": max(map(len, tokens)),
    }


def _padding(items: list[Item]) -> float:
    """The share of padding in batches as training makes them, of the default size, without the end tokens."""

    def encode(pool):
        return [tuple(np.ones(len(tokens), "int8") for tokens in item.tokens) for item in pool]

    size = filled = 0
    for rows in RowBatching(BATCH_SIZE).batches(items, encode, AsGiven(), 0):
        for side in zip(*rows, strict=True):
            size, filled = size + stacked(side).size, filled + sum(map(len, side))
    return 1 - filled / max(size, 1)
