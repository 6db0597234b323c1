"""What is known of examples before they are batches: whether they are right, how many, how long, and which come twice.

What is found in files is kept, see `remembered`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from seq_models.errors import InputError
from seq_models.messages import say, say_once
from seq_models.text.batching import Parts
from seq_models.text.codec import Codec, chunked
from seq_models.text.doubts import doubts
from seq_models.text.example_types import Example
from seq_models.text.examples import Examples, located, remembered
from seq_models.text.given import Given
from seq_models.text.options import WHOLE, VocabularyOptions
from seq_models.text.preprocessors import Preprocessor
from seq_models.text.progress import watched

SHOWN = 10  # unseen labels in a sentence
LEFT = {"head": "", "tail": "the last ones, ", "both": "the first and the last ones, "}  # of a text that is cut
LARGEST = 1_000_000  # different examples that are looked for: 64 MB


def parts_of(preprocessor: Preprocessor, examples: Iterable[Example]) -> Parts:
    """The files of the examples, or all of them as one."""
    return getattr(examples, "parts", None) or (Given(examples, preprocessor.example_type),)


def check_examples(preprocessor: Preprocessor, examples: Iterable[Example]) -> list[int]:
    """Counts the examples of each part, and says what is wrong with them before training and not in the middle.

    Returns:
        A number for each file, or one for all examples if they come from no file.
    Raises:
        InputError: If there is no example, or one is not what the preprocessor takes; names its place.
    """
    labels = [] if preprocessor.labels is None else [preprocessor.labels.names]
    unseen: Counter[str] = Counter()

    def count(part: Iterable[Example]) -> int:
        number = 0
        for example, place in watched(located(part), "checking examples"):
            number += 1
            if problem := preprocessor.problem(example):
                raise InputError(f"{place}: {problem}")
            unseen.update(preprocessor.unseen_labels(example))
        return number

    parts = parts_of(preprocessor, examples)
    question = ["check", type(preprocessor).__name__, labels, preprocessor.scheme]
    counts, found = remembered(examples, question, lambda: [list(map(count, parts)), unseen.most_common()])
    if found:
        shown = ", ".join(f"{name} ({times})" for name, times in found[:SHOWN]) + (", …" if found[SHOWN:] else "")
        total = sum(times for _, times in found)
        say(f"Labels that training has not seen count as wrong, and not in the loss: {total} in all, {shown}.")
    for doubt in doubts(preprocessor, Given(examples, preprocessor.example_type), sum(counts)):
        say_once(doubt)  # the same examples are scored too
    return counts


def count_labels(preprocessor: Preprocessor, examples: Iterable[Example]) -> Counter[str]:
    """How often each label is there."""
    parts = parts_of(preprocessor, examples)
    question = ["labels", type(preprocessor).__name__, preprocessor.scheme]
    every = (name for part in parts for example in part for name in preprocessor.labels_of(example))
    return Counter(remembered(examples, question, lambda: Counter(every)))


def count_lengths(preprocessor: Preprocessor, examples: Iterable[Example]) -> list[dict[int, int]]:
    """How many examples of each part have so many tokens, by `Preprocessor.lengths`: before any is cut off."""

    def count(part: Iterable[Example]) -> list[tuple[int, int]]:
        counts: Counter[int] = Counter()
        for chunk in watched(chunked(part), "measuring examples"):
            counts.update(preprocessor.lengths(chunk))
        return sorted(counts.items())

    question = ["lengths", type(preprocessor).__name__, preprocessor.get_config()]
    parts = parts_of(preprocessor, examples)
    return list(map(dict, remembered(examples, question, lambda: list(map(count, parts)))))


def say_cut_examples(preprocessor: Preprocessor, examples: Iterable[Example], name: str) -> None:
    """Says how many examples are longer than what is read of one; see `say_cut`."""
    if preprocessor.codec.max_length == WHOLE:
        return
    lengths = sum(map(Counter, count_lengths(preprocessor, examples)), Counter())
    say_cut(lengths, preprocessor.codec, name)


def say_cut(lengths: Mapping[int, int], reading: Codec | VocabularyOptions, texts: str = "texts") -> None:
    """Says how many texts are longer than what is read of one; nothing if none is.

    Args:
        lengths: How many texts have so many tokens, the end token included.
        reading: Says by `max_length` how many tokens are read, and by `truncate` which.
        texts: What they are called.
    """
    number = sum(count for length, count in lengths.items() if length > reading.max_length)
    if number:
        say(
            f"{number:,} of {sum(lengths.values()):,} {texts} are cut to max_length={reading.max_length} tokens, "
            f"{LEFT[reading.truncate]}the end token included; the longest has {max(lengths):,}"
        )


def count_shared(train: Iterable[Example], valid: Iterable[Example]) -> int:
    """How many examples of `valid`, of its first million different ones, are in `train` too."""

    def count() -> int:
        sought: Counter[int] = Counter()
        for example in valid:
            sought[hash(repr(example))] += 1
            if len(sought) == LARGEST:
                break
        found = {key for example in watched(train, "comparing examples") if (key := hash(repr(example))) in sought}
        return sum(sought[key] for key in found)

    return remembered(train, ["shared, all", valid.fingerprint()], count) if isinstance(valid, Examples) else count()
