"""A small probabilistic synchronous grammar: one tree is an English sentence, tags, sentiment and translations.

A synchronous rule has one left side and three right sides that share their children (Chiang 2007, "Hierarchical
phrase-based translation", Computational Linguistics 33:2):

    weight | left side | English: children and word/TAG | Spanish: the number of a child, or a word
           | Chinese: the number of a child, or word/TAG | sentiment

A symbol has features in brackets. A capital feature is a variable, as in Prolog: it has the same value everywhere in
its rule, so `NP[N G S 0] VP[N G S 0]` is agreement. `DOMAINS` lists the values; one that is listed twice is drawn twice
as often. A row with variables stands for all the rules without; those that can never end in words are left out, and
the others share the weight of the row. The weights of the rows of one symbol are then divided by their sum.

The number in NP, VP and CL is how many modifiers (relative clauses, prepositional phrases) are inside. It is exact, and
ends at 2: hence the language is finite, and no sentence has two trees (a noun has at most one modifier, and every noun
has a determiner). So the probability of a tree is the probability of its sentence.

The Chinese of a sentence does not say where the English has left out "that". Where rules of one symbol that are the
same in Chinese are one rule, a Chinese sentence has one tree, too, and its probability is that of the sentence.

The small language simplifies the large ones: a noun has one gender in Spanish ("doctor" is "doctora"), Chinese always
says number and tense (那些 and 几, 了 and 当时), and "not" turns praise into blame and back, with nothing in between.

Sentiment is -1, 0 or +1. "2 1": child 2, and child 1 where that is 0. "-2": child 2 turned around. "1+2": the sign of
the sum. "+", "-", "0": just that.
"""

import bisect
import functools
import itertools
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from seq_models.text import chinese
from seq_models.text.lexicon import Row, Word, cells, lexicon_rows

DOMAINS = {
    **dict.fromkeys(("N", "M"), "sg pl"),  # number
    **dict.fromkeys(("G", "H"), "m f"),  # Spanish gender
    "S": "person person person person creature firm firm thing journey building land",  # a subject
    "X": "person person creature firm firm",  # the subject of an object relative: "the book that X sold"
    "O": "person creature firm thing thing journey journey journey building building land none arrival",  # an object
    "P": "building land",  # a place
    "A": "person creature firm",  # direct objects with "a" in Spanish: "vio a la bruja"
    "I": "thing journey building land",  # and those without: "vio la isla"
    "T": "present past",
    "Q": "yes yes yes no",  # "no" is negated
    "C": "ser ser ser estar color",  # the copula of an adjective; the colors take ser, but not "very"
    "D": "0 1 2",  # modifiers inside
}

# Jurafsky & Martin, Speech and Language Processing, chapter 8, has two of the phenomena: agreement with a distant
# subject ("the flights the airline was canceling were full"), and a verb that Spanish puts first ("llegó la bruja
# verde"). CL[1] has the one in its first row, CL[D] the other.
RULES = """
6 | SENTENCE          | CL[0]                                   | 1          | 1                       | 1
8 | SENTENCE          | CL[1]                                   | 1          | 1                       | 1
1 | SENTENCE          | CL[2]                                   | 1          | 1                       | 1
3 | SENTENCE          | CL[0] ,/PUNCT but/CCONJ CL[0]           | 1 , pero 2 | 1 ，/PUNCT 但是/CCONJ 2 | 2
1 | SENTENCE          | CL[0] and/CCONJ CL[0]                   | 1 y 2      | 1 而且/CCONJ 2          | 1+2

4 | CL[0]             | NP[N G S 0] VP[N G S 0]                 | 1 2        | 1 2                     | 2 1
6 | CL[1]             | NP[N G S 1] VP[N G S 0]                 | 1 2        | 1 2                     | 2 1
2 | CL[1]             | NP[N G S 0] VP[N G S 1]                 | 1 2        | 1 2                     | 2 1
3 | CL[2]             | NP[N G S 2] VP[N G S 0]                 | 1 2        | 1 2                     | 2 1
2 | CL[2]             | NP[N G S 1] VP[N G S 1]                 | 1 2        | 1 2                     | 2 1
1 | CL[2]             | NP[N G S 0] VP[N G S 2]                 | 1 2        | 1 2                     | 2 1
1 | CL[D]             | NP[N G S D] ARRIVE[N S]                 | 2 1        | 1 2                     | 1

1 | NP[N G S 0]       | DET[N G] NOM[N G S]                     | 1 2        | 1 2                     | 2
1 | NP[N G S 1]       | NP[N G S 0] MOD[N G S 0]                | 1 2        | 2 的/PART 1             | 1 2
1 | NP[N G S 2]       | NP[N G S 0] MOD[N G S 1]                | 1 2        | 2 的/PART 1             | 1 2
2 | NOM[N G S]        | NOUN[N G S]                             | 1          | 1                       | 0
1 | NOM[N G S]        | ADJ[N G S C] NOUN[N G S]                | 2 1        | 1 的/PART 2             | 1

1 | MOD[N G S D]      | ADP[S P] NP[M H P D]                    | 1 2        | 2 1                     | 0
1 | MOD[N G S D]      | WHO[S] VP[N G S D]                      | que 2      | 2                       | 2
1 | MOD[N G S D]      | THAT QUE[N G S] NP[M H X D] VG[Q M X S] | 2 4 3      | 3 4                     | 4
1 | WHO[person]       | who/PRON                                |            |                         | 0
1 | WHO[creature]     | who/PRON                                |            |                         | 0
1 | WHO[firm]         | that/PRON                               |            |                         | 0
1 | WHO[I]            | that/PRON                               |            |                         | 0
1 | THAT              | that/PRON                               |            |                         | 0
1 | THAT              |                                         |            |                         | 0
1 | QUE[N G I]        |                                         | que        |                         | 0
1 | QUE[sg m A]       |                                         | a el que   |                         | 0
1 | QUE[sg f A]       |                                         | a la que   |                         | 0
1 | QUE[pl m A]       |                                         | a los que  |                         | 0
1 | QUE[pl f A]       |                                         | a las que  |                         | 0

4 | VP[N G S D]       | VG[Q N S O] OBJ[O D]                    | 1 2        | 1 2                     | 1 2
3 | VP[N G S 0]       | BE[T N C] PRED[N G S C]                 | 1 2        | 1 2                     | 2
1 | VP[N G S 0]       | BE[T N C] not/PART PRED[N G S C]        | no 1 2     | 1 不/ADV 2              | -2
1 | VP[N G S 0]       | VG[Q N S none]                          | 1          | 1                       | 0
1 | VP[N G S 0]       | VG[yes N S none] ADV                    | 1 2        | 1 2                     | 2
1 | VP[N G S 0]       | VG[no N S none] ADV                     | 1 2        | 1 2                     | -2
3 | PRED[N G S ser]   | ADJ[N G S ser]                          | 1          | 很/ADV 1                | 1
3 | PRED[N G S estar] | ADJ[N G S estar]                        | 1          | 是/AUX 1 的/PART        | 1
3 | PRED[N G S color] | ADJ[N G S color]                        | 1          | 是/AUX 1 的/PART        | 1
1 | PRED[N G S ser]   | very/ADV ADJ[N G S ser]                 | muy 1      | 特别/ADV 1              | 1
1 | OBJ[I D]          | NP[N G I D]                             | 1          | 1                       | 1
1 | OBJ[A D]          | NP[N G A D]                             | a 1        | 1                       | 1
4 | ARRIVE[N S]       | VG[Q N S arrival]                       | 1          | 1                       | 0
1 | ARRIVE[N S]       | VG[Q N S arrival] again/ADV             | 1 otra vez | 1 <再次/ADV             | 0
1 | ADV               | well/ADV                                | bien       | <好好地/ADV             | +
1 | ADV               | badly/ADV                               | mal        | <糟糕地/ADV             | -
1 | ADV               | here/ADV                                | aquí       | <在/ADP <这里/PRON      | 0

4 | VG[yes N S O]     | FINITE[T N S O]                         | 1          | 1                       | 1
1 | VG[yes N S O]     | BE[T N estar] GERUND[S O]               | 1 2        | 1 在/AUX 2              | 2
3 | VG[no N S O]      | DO[T N] not/PART BARE[T N S O]          | no 2       | 1 2                     | -2
1 | VG[no N S O]      | BE[T N estar] not/PART GERUND[S O]      | no 1 2     | 1 没/ADV 在/AUX 2       | -2
1 | DO[present sg]    | does/AUX                                |            | 不/ADV                  | 0
1 | DO[present pl]    | do/AUX                                  |            | 不/ADV                  | 0
1 | DO[past N]        | did/AUX                                 |            | 没/ADV                  | 0
"""


class Rule(NamedTuple):
    """A rule without variables. A number in a right side is that of a child, from 0; the rest are words."""

    probability: float
    chinese_probability: float  # of all rules of its symbol that are the same in Chinese
    children: tuple[str, ...]
    english: tuple[int | Word, ...]
    spanish: tuple[int | str, ...]
    chinese: tuple[int | Word, ...]
    sentiment: str


class Chinese(NamedTuple):
    """A sentence in Chinese, without spaces; `tags` has one tag for each of `tokens`."""

    text: str
    tokens: list[str]
    tags: list[str]
    log_probability: float


class Sentence(NamedTuple):
    """One sentence in all its forms; `tags` has one tag for each token of `text`, `translation` is in Spanish."""

    text: str
    tags: list[str]
    sentiment: str
    translation: str
    log_probability: float
    chinese: Chinese


class Phrase(NamedTuple):
    """What one subtree yields, before the spelling rules."""

    words: list[Word]
    spanish: list[str]
    chinese: list[Word]
    sentiment: int
    log_probability: float
    chinese_log_probability: float


# From rows to rules without variables

Table = dict[str, list[tuple[float, list[Rule]]]]  # for a symbol, the weight and the rules of each of its rows


def instances(row: Row) -> Iterator[tuple[str, Rule]]:
    """The rules without variables that a row of the table stands for, each with its left side."""
    _, left, english, *others = row
    features = " ".join(re.findall(r"\[(.*?)\]", f"{left} {english}")).split()
    variables = sorted(DOMAINS.keys() & set(features))
    domains = [Counter(DOMAINS[variable].split()) for variable in variables]
    for values in itertools.product(*domains):
        binding = dict(zip(variables, values, strict=True))
        share = math.prod(domain[value] for domain, value in zip(domains, values, strict=True))
        yield bind(left, binding), synchronous_rule(share, bind(english, binding), *others)


def synchronous_rule(probability: float, english: str, spanish: str, chinese: str, sentiment: str) -> Rule:
    """The rule for one row whose variables are bound."""
    items = re.findall(r"[^\s\[]+(?:\[.*?\])?", english)
    children = [item for item in items if "/" not in item]
    numbers = itertools.count()
    english_order = tuple(Word(*item.split("/")) if "/" in item else next(numbers) for item in items)
    spanish_order = tuple(int(item) - 1 if item.isdigit() else item for item in spanish.split())
    chinese_order = tuple(
        int(item) - 1 if item.isdigit() else Word(*item.partition("/")[::2]) for item in chinese.split()
    )
    return Rule(probability, probability, tuple(children), english_order, spanish_order, chinese_order, sentiment)


def bind(symbols: str, binding: dict[str, str]) -> str:
    """`symbols` with the value of each variable inside brackets."""
    return re.sub(r"\b[A-Z]\b", lambda variable: binding[variable[0]], symbols)


@functools.cache
def rules() -> dict[str, list[Rule]]:
    """The rules of every symbol; their probabilities sum to 1."""
    table: Table = {}
    for row in itertools.chain(cells(RULES), lexicon_rows()):
        by_left: dict[str, list[Rule]] = {}
        for left, rule in instances(row):
            by_left.setdefault(left, []).append(rule)
        for left, alternatives in by_left.items():
            table.setdefault(left, []).append((float(row[0]), alternatives))
    while (kept := without_dead_ends(table)) != table:
        table = kept
    return {left: normalized(rows) for left, rows in table.items()}


def without_dead_ends(table: Table) -> Table:
    """The rules whose every child has rules itself: no verb takes just any two sorts of noun."""
    kept: Table = {}
    for left, rows in table.items():
        for weight, alternatives in rows:
            if usable := [rule for rule in alternatives if all(child in table for child in rule.children)]:
                kept.setdefault(left, []).append((weight, usable))
    return kept


def normalized(rows: list[tuple[float, list[Rule]]]) -> list[Rule]:
    """The rules of one symbol with their probabilities: that of the row, times the share of the rule in its row."""
    total = sum(weight for weight, _ in rows)
    shares = [(weight / total / sum(rule.probability for rule in row), row) for weight, row in rows]
    found = [rule._replace(probability=factor * rule.probability) for factor, row in shares for rule in row]
    in_chinese: dict[Any, float] = defaultdict(float)
    for rule in found:
        in_chinese[rule.children, rule.chinese] += rule.probability
    return [rule._replace(chinese_probability=in_chinese[rule.children, rule.chinese]) for rule in found]


# Sampling


def sample(n: int, seed: int) -> list[Sentence]:
    """`n` sentences drawn from the grammar, always the same for a seed; a short sentence may come more than once."""
    return list(itertools.islice(sentences(seed), n))


def sentences(seed: int) -> Iterator[Sentence]:
    """Sentences drawn from the grammar without end."""
    generator = random.Random(seed)
    while True:
        yield spelled(draw("SENTENCE", generator))


def draw(symbol: str, generator: random.Random) -> Phrase:
    """A tree below `symbol`, each rule drawn with its probability."""
    thresholds, options = choices(symbol)
    # A sum of probabilities may miss 1 by rounding: hence the bound.
    chosen = options[min(bisect.bisect(thresholds, generator.random()), len(options) - 1)]
    if isinstance(chosen, Phrase):
        return chosen
    return compose(chosen, [draw(child, generator) for child in chosen.children])


@functools.cache
def choices(symbol: str) -> tuple[list[float], list[Rule | Phrase]]:
    """The cumulative probabilities of the rules of `symbol`, and the rules, those without children as phrases."""
    thresholds = list(itertools.accumulate(rule.probability for rule in rules()[symbol]))
    return thresholds, [rule if rule.children else compose(rule, []) for rule in rules()[symbol]]


def compose(rule: Rule, children: list[Phrase]) -> Phrase:
    """The phrase that `rule` makes of its children, in all languages."""
    return Phrase(
        arranged(rule.english, [child.words for child in children]),
        arranged(rule.spanish, [child.spanish for child in children]),
        arranged(rule.chinese, [child.chinese for child in children]),
        polarity(rule.sentiment, [child.sentiment for child in children]),
        math.log(rule.probability) + sum([child.log_probability for child in children]),
        math.log(rule.chinese_probability) + sum([child.chinese_log_probability for child in children]),
    )


def arranged(order: tuple, children: list[list]) -> list:
    """The words of `order`, with those of a child for its number."""
    if order == (0,):  # half of all phrases; spares the copy
        return children[0]
    words: list = []
    for item in order:
        words += children[item] if isinstance(item, int) else [item]
    return words


CONSTANTS = {"+": 1, "-": -1, "0": 0}


def polarity(formula: str, values: list[int]) -> int:
    """The sentiment of a phrase from those of its children; the module's docstring has the notation."""
    if formula in CONSTANTS:
        return CONSTANTS[formula]
    if formula == "1+2":
        return (sum(values) > 0) - (sum(values) < 0)
    for number in formula.split():
        if value := values[abs(int(number)) - 1]:
            return value if int(number) > 0 else -value
    return 0


def spelled(phrase: Phrase) -> Sentence:
    """The sentence after the spelling rules of its languages: an old map; al dragón, del museo; 那本书."""
    words, tags = zip(*phrase.words, strict=True)
    spanish = re.sub(r"\b(a|de) el\b", lambda pair: {"a": "al", "de": "del"}[pair[1]], " ".join(phrase.spanish))
    sentiment = {1: "positive", -1: "negative", 0: "neutral"}[phrase.sentiment]
    tokens, of_tokens = map(list, zip(*chinese.spelled(phrase.chinese), strict=True))
    in_chinese = Chinese("".join(tokens), tokens, of_tokens, phrase.chinese_log_probability)
    return Sentence(with_an(" ".join(words)), list(tags), sentiment, spanish, phrase.log_probability, in_chinese)


def with_an(text: str) -> str:
    """`text` with "an" for "a" before a vowel."""
    return re.sub(r"\ba (?=[aeiou])", "an ", text)
