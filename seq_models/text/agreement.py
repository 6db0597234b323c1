"""Subject–verb agreement on the built-in grammar: pairs of sentences of which one is right, by number of attractors.

An attractor is a noun of the other number between the head of a subject and its verb (Linzen, Dupoux and Goldberg 2016,
"Assessing the Ability of LSTMs to Learn Syntax-Sensitive Dependencies"): "the flights the airline was canceling were
full" has one.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from seq_models.errors import positive
from seq_models.text import corpora, grammar
from seq_models.text.lexicon import BE, NOUNS, VERBS, Word, cells

PATIENCE = 100_000  # drawings without a new pair, after which there is none
MOST = 3  # attractors: a modifier, MOD, has two modifiers inside at most


class Pair(NamedTuple):
    """A prefix, and the verb that goes on with it in the right and in the wrong number."""

    prefix: str
    right: str
    wrong: str


def noun_numbers() -> dict[str, str]:
    """The number of each form of each noun."""
    forms = (pair.split() for _, english, *_ in cells(NOUNS) for pair in english.split(", "))
    return {form: number for pair in forms for form, number in zip(pair, ("sg", "pl"), strict=True)}


def other_forms() -> dict[str, str]:
    """The form in the other number of each verb that shows its number: "was" of "were", "sees" of "see"."""
    forms = [["do", "does"], *(english.split()[:2] for english, *_ in cells(VERBS))]
    forms += [tense for english, *_ in cells(BE) for tense in (english.split()[:2], english.split()[2:])]
    return {form: other for one, two in forms for form, other in ((one, two), (two, one))}


NUMBER, OTHER_FORM = noun_numbers(), other_forms()


def attractors(subject: Sequence[Word]) -> int:
    """How many nouns of a subject have another number than its head, which is the first noun."""
    head, *between = [NUMBER[word.text] for word in subject if word.tag == "NOUN"]
    return sum(number != head for number in between)


def agreement_pairs(count: int, n: int = 1000, seed: int = 7) -> list[Pair]:
    """Pairs drawn from the grammar, no two of one prefix, none of a sentence that `corpora.load` trains on.

    Args:
        count: Attractors of each subject, 0 to 3. Sentences of the grammar have at most 2; the subjects with 3 are
            nested deeper by the same rules.
        n: How many pairs.
        seed: Of the drawing.
    Returns:
        `n` pairs, the same for the same arguments; subjects have no noun beside the head and the attractors if `count`
        is 1 or more.
    Raises:
        ValueError: If an argument is not of this kind, or the grammar has not so many pairs.
    """
    if not isinstance(count, int) or not 0 <= count <= MOST:
        raise ValueError(f"count must be an integer from 0 to {MOST}. Received: count={count!r}")
    positive(n=n)
    generator = random.Random(seed)
    found: dict[str, Pair] = {}
    idle = 0  # drawings since the last new one
    while len(found) < n:
        if idle == PATIENCE:
            raise ValueError(f"n must be at most the pairs that are found, {len(found):,}. Received: n={n!r}")
        features = " ".join(generator.choice(grammar.DOMAINS[variable].split()) for variable in "NGS")
        subject = grammar.draw(f"NP[{features} 0]", generator).words
        if count:
            subject = subject + grammar.draw(f"MOD[{features} {count - 1}]", generator).words
        predicate = grammar.draw(f"VP[{features} 0]", generator).words
        verb, prefix = predicate[0].text, written(subject)
        held_out = corpora.split_of(written(subject + predicate)) == "test"
        idle += 1
        if verb in OTHER_FORM and attractors(subject) == count and held_out and prefix not in found:
            found[prefix], idle = Pair(prefix, verb, OTHER_FORM[verb]), 0
    return list(found.values())


def written(words: Sequence[Word]) -> str:
    """Words as a text."""
    return grammar.with_an(" ".join(word.text for word in words))


def agreement(model: Any, pairs: Sequence[Pair]) -> float:
    """The share of pairs with P(right | prefix) > P(wrong | prefix).

    Args:
        model: A language model, or what else has its `score_tokens`.
        pairs: Of `agreement_pairs`, or your own; at least one.
    Raises:
        ValueError: If there is no pair.
    """
    if not pairs:
        raise ValueError(f"pairs must have at least one pair. Received: pairs={pairs!r}")

    def log_p(verbs):
        texts = [f"{pair.prefix} {verb}" for pair, verb in zip(pairs, verbs, strict=True)]
        return [answer["log_probabilities"][-2] for answer in model.score_tokens(texts)]  # the last is of </s>

    right, wrong = log_p([pair.right for pair in pairs]), log_p([pair.wrong for pair in pairs])
    return sum(p > q for p, q in zip(right, wrong, strict=True)) / len(pairs)
