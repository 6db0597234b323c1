"""The built-in corpora: sentences of one small grammar for all four tasks, so that nothing has to be downloaded."""

import hashlib
import math
from collections.abc import Callable
from typing import NamedTuple

from seq_models.text import grammar
from seq_models.text.example_types import EXAMPLE_TYPES, Example
from seq_models.text.grammar import Sentence, sample

__all__ = ["Corpus", "Sentence", "load", "sample"]

TASKS = ("language-model", "labeler", "classifier", "encoder-decoder")  # the grammar has one sentiment a sentence


class Corpus(NamedTuple):
    """The examples of one task; `lowest_perplexity` is that of `test`, and only a language model has it."""

    train: list
    valid: list
    test: list
    lowest_perplexity: float | None


def load(
    task: str, train_size: int = 12_000, held_out_size: int = 1_000, seed: int = 0, language: str = "english"
) -> Corpus:
    """The corpus for `task`, with `held_out_size` examples in each of valid and test.

    An example is a sentence ("language-model"), its tokens and their part-of-speech tags ("labeler"), the sentence and
    positive, negative or neutral ("classifier"), or an English sentence and its translation ("encoder-decoder").
    The same sizes, seed and language give the same sentences for every task.

    Args:
        task: One of these four.
        train_size: Examples of train.
        held_out_size: Examples of each of valid and test.
        seed: Of the drawing.
        language: "english", whose tokens are divided by one space and whose translation is Spanish; or "chinese",
            written without spaces, into which English is translated. The tokens of a labeler are words, those of the
            lowest perplexity are characters.
    Raises:
        ValueError: For another task or language.
    """
    if task not in TASKS:
        raise ValueError(f"Expected one of {', '.join(map(repr, TASKS))} for the task. Received: task={task!r}")
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(map(repr, LANGUAGES))}. Received: language={language!r}")
    written = LANGUAGES[language]
    splits = draw_splits({"train": train_size, "valid": held_out_size, "test": held_out_size}, seed, written)
    examples = {name: [example_of(each, task, written) for each in sentences] for name, sentences in splits.items()}
    lowest = perplexity([written(sentence) for sentence in splits["test"]]) if task == "language-model" else None
    return Corpus(**examples, lowest_perplexity=lowest)


class Written(NamedTuple):
    """A sentence in one language."""

    text: str
    tokens: list[str]
    tags: list[str]
    translation: tuple[str, str]  # a text and what it is in the other language
    length: int  # tokens of a language model
    log_probability: float


def in_english(sentence: Sentence) -> Written:
    """Tokens are words."""
    text, tokens = sentence.text, sentence.text.split()
    pair = text, sentence.translation
    return Written(text, tokens, sentence.tags, pair, len(tokens), sentence.log_probability)


def in_chinese(sentence: Sentence) -> Written:
    """Tokens of a language model are characters."""
    text, tokens, tags, log_probability = sentence.chinese
    return Written(text, tokens, tags, (sentence.text, text), len(text), log_probability)


LANGUAGES = {"english": in_english, "chinese": in_chinese}


def example_of(sentence: Sentence, task: str, written: Callable[[Sentence], Written]) -> Example:
    """A sentence of the grammar as an example of a task."""
    text, tokens, tags, (source, target), *_ = written(sentence)
    values = {"text": text, "label": sentence.sentiment, "tokens": tokens, "tags": tags}
    return EXAMPLE_TYPES[task].from_fields({**values, "source": source, "target": target})


def draw_splits(sizes: dict[str, int], seed: int, written: Callable[[Sentence], Written]) -> dict[str, list[Sentence]]:
    """Sentences as the grammar draws them, each put into its split until every split has its size."""
    splits: dict[str, list[Sentence]] = {name: [] for name in sizes}
    sentences = grammar.sentences(seed)
    while any(len(splits[name]) < size for name, size in sizes.items()):
        sentence = next(sentences)
        name = split_of(written(sentence).text)
        if len(splits[name]) < sizes[name]:
            splits[name].append(sentence)
    return splits


def split_of(text: str) -> str:
    """The split of a sentence: a hash of its text gives 80 % to train and 10 % each to valid and test.

    So no sentence is in two splits, whatever the seed, and the splits do not differ in kind. (Python's own `hash` of a
    string is another one in every process.)
    """
    bucket = hashlib.sha256(text.encode()).digest()[0] % 10
    return {8: "valid", 9: "test"}.get(bucket, "train")


def perplexity(sentences: list[Written]) -> float:
    """The perplexity of the grammar itself on `sentences`, each with one end token: no model can expect a lower one.

    It is exp of the cross-entropy in nats per token. The grammar is unambiguous, so the probability of the one tree is
    that of the sentence. Jurafsky & Martin, Speech and Language Processing, chapter 3. NaN where there is no sentence.
    """
    if not sentences:
        return math.nan
    tokens = sum(sentence.length + 1 for sentence in sentences)
    return math.exp(-sum(sentence.log_probability for sentence in sentences) / tokens)
