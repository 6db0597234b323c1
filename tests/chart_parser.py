"""The probability of a sentence by all its trees, from the rules of the built-in grammar alone."""

import collections
import functools
import itertools
import math
import re

from seq_models.text.grammar import Word, rules, with_an
from seq_models.text.lexicon import MEASURE, PLACE, measure_words

Chart = dict[tuple[str, int], dict[int, float]]
ADVERBS = {"好好地", "糟糕地", "再次", "这里"}
MEASURES = set(measure_words().values())


def log_probability(text: str) -> float:
    """The natural logarithm of the probability of a sentence under the grammar, -inf for what it does not produce.

    The sum over all trees, by the inside algorithm from the top down: no rule is left-recursive. Jurafsky & Martin,
    Speech and Language Processing, appendix on statistical constituency parsing. Tokens are divided by one space.
    """
    underlying = re.sub(r"\ban (?=[aeiou])", "a ", text)
    if with_an(underlying) != text:
        return -math.inf
    return log_probability_of(tuple(underlying.split(" ")), "english")


def log_probability_in_chinese(tokens: list[str], tags: list[str]) -> float:
    """The same for the words of a Chinese sentence."""
    return log_probability_of(before_spelling(tokens, tags), "chinese")


def log_probability_of(words: tuple[str, ...], language: str) -> float:
    total = inside("SENTENCE", 0, words, {}, language).get(len(words), 0.0)
    return math.log(total) if total else -math.inf


def before_spelling(tokens: list[str], tags: list[str]) -> tuple[str, ...]:
    """The words of a Chinese sentence as the rules put them together."""
    words, adverbs = [], []
    for (word, tag), (following, next_tag) in itertools.pairwise([*zip(tokens, tags, strict=True), ("", "")]):
        if tag == "NOUN" and word in MEASURES:
            words.append(MEASURE)
        elif word in ADVERBS or (word, following) == ("在", "这里"):
            adverbs.append(f"<{word}")
        else:
            words += [PLACE, word] if tag == "VERB" else [word]
            words += ["很"] if word == "不" and next_tag == "ADJ" else []
            words += ["的"] if word == "的" and words[-3:-2] == ["是"] and next_tag in ("DET", "NUM", "PRON") else []
        if (tag == "VERB" and following != "了") or word == "了":
            words, adverbs = words + adverbs, []
    return tuple(words)


def inside(symbol: str, start: int, words: tuple[str, ...], chart: Chart, language: str) -> dict[int, float]:
    """For each end, the probability that `symbol` yields the words from `start` to that end."""
    if (symbol, start) not in chart:
        ends: dict[int, float] = {}
        following = {"", *words[start : start + 1]}  # it spares the chart most symbols
        starts = not first_words(symbol, language).isdisjoint(following)
        for rule, share in alternatives(symbol, language).items() if starts else ():
            for end, probability in follow(rule, share, start, words, chart, language).items():
                ends[end] = ends.get(end, 0.0) + probability
        chart[symbol, start] = ends
    return chart[symbol, start]


@functools.cache
def alternatives(symbol: str, language: str) -> dict:
    """The probability of each (children, right side) of a symbol in one language."""
    found: collections.Counter = collections.Counter()
    for rule in rules()[symbol]:
        found[rule.children, getattr(rule, language)] += rule.probability
    return found


@functools.cache
def first_words(symbol: str, language: str) -> frozenset[str]:
    """The words that `symbol` can begin with, and "" where it can be empty."""
    found: set[str] = set()
    for children, order in alternatives(symbol, language):
        firsts = {""}
        for item in order:
            if "" in firsts:
                more = {item.text} if isinstance(item, Word) else first_words(children[item], language)
                firsts = firsts - {""} | more
        found |= firsts
    return frozenset(found)


def follow(rule, share: float, start: int, words: tuple[str, ...], chart: Chart, language: str) -> dict[int, float]:
    """For each end, the probability that a rule is used and yields the words from `start` to that end."""
    children, order = rule
    ends = {start: share}
    for item in order:
        longer: dict[int, float] = {}
        for middle, before in ends.items():
            if isinstance(item, Word):
                after = {middle + 1: 1.0} if words[middle : middle + 1] == (item.text,) else {}
            else:
                after = inside(children[item], middle, words, chart, language)
            for end, probability in after.items():
                longer[end] = longer.get(end, 0.0) + before * probability
        ends = longer
    return ends
