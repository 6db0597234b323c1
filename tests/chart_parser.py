"""The probability of a sentence by all its trees, from the rules of the built-in grammar alone."""

import functools
import math
import re

from seq_models.text.grammar import Rule, Word, rules, with_an

Chart = dict[tuple[str, int], dict[int, float]]


def log_probability(text: str) -> float:
    """The natural logarithm of the probability of a sentence under the grammar, -inf for what it does not produce.

    The sum over all trees, by the inside algorithm from the top down: no rule is left-recursive. Jurafsky & Martin,
    Speech and Language Processing, appendix on statistical constituency parsing. Tokens are divided by one space.
    """
    underlying = re.sub(r"\ban (?=[aeiou])", "a ", text)
    if with_an(underlying) != text:
        return -math.inf
    words = tuple(underlying.split(" "))
    total = inside("SENTENCE", 0, words, {}).get(len(words), 0.0)
    return math.log(total) if total else -math.inf


def inside(symbol: str, start: int, words: tuple[str, ...], chart: Chart) -> dict[int, float]:
    """For each end, the probability that `symbol` yields the words from `start` to that end."""
    if (symbol, start) not in chart:
        ends: dict[int, float] = {}
        for rule in rules()[symbol] if may_start(symbol, words[start : start + 1]) else ():
            for end, probability in follow(rule, start, words, chart).items():
                ends[end] = ends.get(end, 0.0) + probability
        chart[symbol, start] = ends
    return chart[symbol, start]


def may_start(symbol: str, following: tuple[str, ...]) -> bool:
    """Whether `symbol` can be empty or begin with the following word; it spares the chart most symbols."""
    return not first_words(symbol).isdisjoint({"", *following})


@functools.cache
def first_words(symbol: str) -> frozenset[str]:
    """The words that `symbol` can begin with, and "" where it can be empty."""
    found: set[str] = set()
    for rule in rules()[symbol]:
        firsts = {""}
        for item in rule.english:
            if "" in firsts:
                firsts = firsts - {""} | ({item.text} if isinstance(item, Word) else first_words(rule.children[item]))
        found |= firsts
    return frozenset(found)


def follow(rule: Rule, start: int, words: tuple[str, ...], chart: Chart) -> dict[int, float]:
    """For each end, the probability that `rule` is used and yields the words from `start` to that end."""
    ends = {start: rule.probability}
    for item in rule.english:
        longer: dict[int, float] = {}
        for middle, before in ends.items():
            for end, probability in step(rule, item, middle, words, chart).items():
                longer[end] = longer.get(end, 0.0) + before * probability
        ends = longer
    return ends


def step(rule: Rule, item: int | Word, start: int, words: tuple[str, ...], chart: Chart) -> dict[int, float]:
    """For each end, the probability that one item of the right side of `rule` yields the words up to it."""
    if isinstance(item, int):
        return inside(rule.children[item], start, words, chart)
    return {start + 1: 1.0} if words[start : start + 1] == (item.text,) else {}
