"""A small probabilistic synchronous grammar: one tree is an English sentence, its tags, its sentiment, its translation.

A synchronous rule has one left side and two right sides that share their children (Chiang 2007, "Hierarchical
phrase-based translation", Computational Linguistics 33:2):

    weight | left side | English: children and word/TAG | Spanish: the number of a child, or a word | sentiment

A symbol has features in brackets. A capital feature is a variable, as in Prolog: it has the same value everywhere in
its rule, so `NP[N G S 0] VP[N G S 0]` is agreement. `DOMAINS` lists the values; one that is listed twice is drawn twice
as often. A row with variables stands for all the rules without; those that can never end in words are left out, and
the others share the weight of the row. The weights of the rows of one symbol are then divided by their sum.

The number in NP, VP and CL is how many modifiers (relative clauses, prepositional phrases) are inside. It is exact, and
ends at 2: hence the language is finite, and no sentence has two trees (a noun has at most one modifier, and every noun
has a determiner). So the probability of a tree is the probability of its sentence.

The small language simplifies the large ones: a noun has one gender in Spanish ("doctor" is "doctora"), and "not" turns
praise into blame and back, with nothing in between.

Sentiment is -1, 0 or +1. "2 1": child 2, and child 1 where that is 0. "-2": child 2 turned around. "1+2": the sign of
the sum. "+", "-", "0": just that.
"""

import bisect
import functools
import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# What a noun stands for, so that no hotel sings; each goes by its initial in the lexicon.
SORTS = {s[0]: s for s in ("person", "creature", "firm", "thing", "journey", "building", "land")}
SORTS |= {"-": "none", "^": "arrival"}  # instead of an object: an intransitive verb, a verb of arriving or appearing

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
6 | SENTENCE        | CL[0]                                     | 1          | 1
8 | SENTENCE        | CL[1]                                     | 1          | 1
1 | SENTENCE        | CL[2]                                     | 1          | 1
3 | SENTENCE        | CL[0] ,/PUNCT but/CCONJ CL[0]             | 1 , pero 2 | 2
1 | SENTENCE        | CL[0] and/CCONJ CL[0]                     | 1 y 2      | 1+2

4 | CL[0]           | NP[N G S 0] VP[N G S 0]                   | 1 2        | 2 1
6 | CL[1]           | NP[N G S 1] VP[N G S 0]                   | 1 2        | 2 1
2 | CL[1]           | NP[N G S 0] VP[N G S 1]                   | 1 2        | 2 1
3 | CL[2]           | NP[N G S 2] VP[N G S 0]                   | 1 2        | 2 1
2 | CL[2]           | NP[N G S 1] VP[N G S 1]                   | 1 2        | 2 1
1 | CL[2]           | NP[N G S 0] VP[N G S 2]                   | 1 2        | 2 1
1 | CL[D]           | NP[N G S D] ARRIVE[N S]                   | 2 1        | 1

1 | NP[N G S 0]     | DET[N G] NOM[N G S]                       | 1 2        | 2
1 | NP[N G S 1]     | NP[N G S 0] MOD[N G S 0]                  | 1 2        | 1 2
1 | NP[N G S 2]     | NP[N G S 0] MOD[N G S 1]                  | 1 2        | 1 2
2 | NOM[N G S]      | NOUN[N G S]                               | 1          | 0
1 | NOM[N G S]      | ADJ[N G S C] NOUN[N G S]                  | 2 1        | 1

1 | MOD[N G S D]    | ADP[S P] NP[M H P D]                      | 1 2        | 0
1 | MOD[N G S D]    | WHO[S] VP[N G S D]                        | que 2      | 2
1 | MOD[N G S D]    | THAT QUE[N G S] NP[M H X D] VG[Q M X S]   | 2 4 3      | 4
1 | WHO[person]     | who/PRON                                  |            | 0
1 | WHO[creature]   | who/PRON                                  |            | 0
1 | WHO[firm]       | that/PRON                                 |            | 0
1 | WHO[I]          | that/PRON                                 |            | 0
1 | THAT            | that/PRON                                 |            | 0
1 | THAT            |                                           |            | 0
1 | QUE[N G I]      |                                           | que        | 0
1 | QUE[sg m A]     |                                           | a el que   | 0
1 | QUE[sg f A]     |                                           | a la que   | 0
1 | QUE[pl m A]     |                                           | a los que  | 0
1 | QUE[pl f A]     |                                           | a las que  | 0

4 | VP[N G S D]     | VG[Q N S O] OBJ[O D]                      | 1 2        | 1 2
3 | VP[N G S 0]     | BE[T N C] PRED[N G S C]                   | 1 2        | 2
1 | VP[N G S 0]     | BE[T N C] not/PART PRED[N G S C]          | no 1 2     | -2
1 | VP[N G S 0]     | VG[Q N S none]                            | 1          | 0
1 | VP[N G S 0]     | VG[yes N S none] ADV                      | 1 2        | 2
1 | VP[N G S 0]     | VG[no N S none] ADV                       | 1 2        | -2
3 | PRED[N G S C]   | ADJ[N G S C]                              | 1          | 1
1 | PRED[N G S ser] | very/ADV ADJ[N G S ser]                   | muy 1      | 1
1 | OBJ[I D]        | NP[N G I D]                               | 1          | 1
1 | OBJ[A D]        | NP[N G A D]                               | a 1        | 1
4 | ARRIVE[N S]     | VG[Q N S arrival]                         | 1          | 0
1 | ARRIVE[N S]     | VG[Q N S arrival] again/ADV               | 1 otra vez | 0
1 | ADV             | well/ADV                                  | bien       | +
1 | ADV             | badly/ADV                                 | mal        | -
1 | ADV             | here/ADV                                  | aquí       | 0

4 | VG[yes N S O]   | FINITE[T N S O]                           | 1          | 1
1 | VG[yes N S O]   | BE[T N estar] GERUND[S O]                 | 1 2        | 2
3 | VG[no N S O]    | DO[T N] not/PART BARE[T N S O]            | no 2       | -2
1 | VG[no N S O]    | BE[T N estar] not/PART GERUND[S O]        | no 1 2     | -2
1 | DO[present sg]  | does/AUX                                  |            | 0
1 | DO[present pl]  | do/AUX                                    |            | 0
1 | DO[past N]      | did/AUX                                   |            | 0
"""

# Singular and plural in English; then the Spanish sg m, sg f, pl m, pl f.
DETERMINERS = """
4 | the the    | el la los las
1 | this these | este esta estos estas
2 | a some     | un una algunos algunas
1 | my my      | mi mi mis mis
1 | our our    | nuestro nuestra nuestros nuestras
"""
POSSESSIVES = {"my", "our"}  # PRON in Universal Dependencies, the other determiners are DET

NOUNS = """
p m | pilot pilots, critic critics        | piloto pilotos, crítico críticos
p m | boy boys, king kings                | niño niños, rey reyes
p f | doctor doctors, girl girls          | doctora doctoras, niña niñas
p f | queen queens, actress actresses     | reina reinas, actriz actrices
c m | dragon dragons, ghost ghosts        | dragón dragones, fantasma fantasmas
c f | witch witches, mermaid mermaids     | bruja brujas, sirena sirenas
f m | club clubs, circus circuses         | club clubes, circo circos
f f | airline airlines, company companies | aerolínea aerolíneas, empresa empresas
t m | book books, watch watches           | libro libros, reloj relojes
t m | plan plans, map maps                | plan planes, mapa mapas
t f | letter letters, saw saws            | carta cartas, sierra sierras
t f | film films, song songs              | película películas, canción canciones
j m | flight flights, train trains        | vuelo vuelos, tren trenes
j f | boat boats, tour tours              | barca barcas, excursión excursiones
b m | hotel hotels, museum museums        | hotel hoteles, museo museos
b f | school schools, library libraries   | escuela escuelas, biblioteca bibliotecas
l m | park parks, lake lakes              | parque parques, lago lagos
l f | island islands, city cities         | isla islas, ciudad ciudades
"""

ADJECTIVES = """
kind      | amable amable amables amables             | ser   | + | pc
brave     | valiente valiente valientes valientes     | ser   | + | pc
good      | bueno buena buenos buenas                 | ser   | + | ftjbl
beautiful | hermoso hermosa hermosos hermosas         | ser   | + | ctjbl
funny     | divertido divertida divertidos divertidas | ser   | + | ptj
clean     | limpio limpia limpios limpias             | estar | + | bl
rude      | grosero grosera groseros groseras         | ser   | - | pc
cruel     | cruel cruel crueles crueles               | ser   | - | pcf
bad       | malo mala malos malas                     | ser   | - | ftjb
ugly      | feo fea feos feas                         | ser   | - | ctbl
boring    | aburrido aburrida aburridos aburridas     | ser   | - | ptjb
dirty     | sucio sucia sucios sucias                 | estar | - | bl
old       | viejo vieja viejos viejas                 | ser   | 0 | pcftb
young     | joven joven jóvenes jóvenes               | ser   | 0 | pc
tall      | alto alta altos altas                     | ser   | 0 | pb
big       | grande grande grandes grandes             | ser   | 0 | cfbl
small     | pequeño pequeña pequeños pequeñas         | ser   | 0 | cftbl
new       | nuevo nueva nuevos nuevas                 | ser   | 0 | ftjb
long      | largo larga largos largas                 | ser   | 0 | j
tired     | cansado cansada cansados cansadas         | estar | 0 | pc
busy      | ocupado ocupada ocupados ocupadas         | estar | 0 | pc
lost      | perdido perdida perdidos perdidas         | estar | 0 | t
full      | lleno llena llenos llenas                 | estar | 0 | jb
open      | abierto abierta abiertos abiertas         | estar | 0 | b
closed    | cerrado cerrada cerrados cerradas         | estar | 0 | b
green     | verde verde verdes verdes                 | color | 0 | ctj
red       | rojo roja rojos rojas                     | color | 0 | ctj
"""

# Bare form, third person, past, and gerund where the verb has a progressive. In Spanish: present sg and pl, past sg
# and pl, gerund; the past of a state is the imperfect. Then the sentiment, and who does it to what.
VERBS = """
see sees saw                                | ve ven vio vieron                                 | 0 | pc > pctl
watch watches watched watching              | mira miran miró miraron mirando                   | 0 | pc > pcj
book books booked booking                   | reserva reservan reservó reservaron reservando    | 0 | pf > j
plan plans planned planning                 | planea planean planeó planearon planeando         | 0 | pf > j
cancel cancels canceled canceling           | cancela cancelan canceló cancelaron cancelando    | 0 | pf > j
sell sells sold selling                     | vende venden vendió vendieron vendiendo           | 0 | pcf > t
paint paints painted painting               | pinta pintan pintó pintaron pintando              | 0 | pc > cbl
open opens opened opening                   | abre abren abrió abrieron abriendo                | 0 | pf > b
clean cleans cleaned cleaning               | limpia limpian limpió limpiaron limpiando         | 0 | pcf > l
admire admires admired                      | admira admiran admiraba admiraban                 | + | pc > pcfl
love loves loved                            | adora adoran adoraba adoraban                     | + | pc > pctl
praise praises praised praising             | elogia elogian elogió elogiaron elogiando         | + | pf > ftb
hate hates hated                            | odia odian odiaba odiaban                         | - | pc > pct
criticize criticizes criticized criticizing | critica critican criticó criticaron criticando    | - | pf > pft
amuse amuses amused                         | divierte divierten divirtió divirtieron           | + | tjbl > pc
surprise surprises surprised                | sorprende sorprenden sorprendió sorprendieron     | 0 | tjbl > pc
disappoint disappoints disappointed         | decepciona decepcionan decepcionó decepcionaron   | - | tjbl > pc
sing sings sang singing                     | canta cantan cantó cantaron cantando              | 0 | pc > -
dance dances danced dancing                 | baila bailan bailó bailaron bailando              | 0 | pc > -
work works worked working                   | trabaja trabajan trabajó trabajaron trabajando    | 0 | pcf > -
arrive arrives arrived arriving             | llega llegan llegó llegaron llegando              | 0 | pcj > ^
return returns returned returning           | vuelve vuelven volvió volvieron volviendo         | 0 | pcj > ^
appear appears appeared appearing           | aparece aparecen apareció aparecieron apareciendo | 0 | pct > ^
"""

BE = """
is are was were | es son era eran         | ser color
is are was were | está están estaba estaban | estar
"""

ADPOSITIONS = """
near   | cerca de  | pcftbl > bl
behind | detrás de | pctb > b
from   | de        | pcj > l
to     | a         | j > l
"""


class Word(NamedTuple):
    """An English word with its part of speech in Universal Dependencies."""

    text: str
    tag: str


class Rule(NamedTuple):
    """A rule without variables. A number in `english` and `spanish` is that of a child, from 0; the rest are words."""

    probability: float
    children: tuple[str, ...]
    english: tuple[int | Word, ...]
    spanish: tuple[int | str, ...]
    sentiment: str


class Sentence(NamedTuple):
    """One sentence in all its forms; `tags` has one tag for each token of `text`."""

    text: str
    tags: list[str]
    sentiment: str
    translation: str
    log_probability: float


class Phrase(NamedTuple):
    """What one subtree yields, before the spelling rules."""

    words: list[Word]
    spanish: list[str]
    sentiment: int
    log_probability: float


# ------------------------------------------------------------
# From the tables to rules without variables
# ------------------------------------------------------------

NUMBERS_AND_GENDERS = ("sg m", "sg f", "pl m", "pl f")
TENSES_AND_NUMBERS = ("present sg", "present pl", "past sg", "past pl")

Row = Sequence[str]  # the five columns of RULES
Table = dict[str, list[tuple[float, list[Rule]]]]  # for a symbol, the weight and the rules of each of its rows


def cells(table: str) -> list[list[str]]:
    """The cells of a table whose columns are divided by |."""
    return [[cell.strip() for cell in line.split("|")] for line in table.splitlines() if line.strip()]


def sort_pairs(arguments: str) -> list[str]:
    """The features that "pc > t" stands for: "person thing" and "creature thing"."""
    first, second = arguments.split(" > ")
    return [f"{SORTS[left]} {SORTS[right]}" for left, right in itertools.product(first, second)]


def determiner_rows() -> Iterator[Row]:
    """DET[number gender]"""
    for weight, english, spanish in cells(DETERMINERS):
        singular, plural = english.split()
        tag = "PRON" if singular in POSSESSIVES else "DET"
        words = (singular, singular, plural, plural)
        for features, word, translation in zip(NUMBERS_AND_GENDERS, words, spanish.split(), strict=True):
            yield weight, f"DET[{features}]", f"{word}/{tag}", translation, "0"


def noun_rows() -> Iterator[Row]:
    """NOUN[number gender sort]"""
    for kind, english, spanish in cells(NOUNS):
        sort, gender = kind.split()
        for pair in zip(english.split(", "), spanish.split(", "), strict=True):
            for number, word, translation in zip(("sg", "pl"), *map(str.split, pair), strict=True):
                yield "1", f"NOUN[{number} {gender} {SORTS[sort]}]", f"{word}/NOUN", translation, "0"


def adjective_rows() -> Iterator[Row]:
    """ADJ[number gender sort copula]"""
    for word, spanish, copula, sentiment, sorts in cells(ADJECTIVES):
        for features, form in zip(NUMBERS_AND_GENDERS, spanish.split(), strict=True):
            for sort in sorts:
                yield "1", f"ADJ[{features} {SORTS[sort]} {copula}]", f"{word}/ADJ", form, sentiment


def verb_rows() -> Iterator[Row]:
    """FINITE and BARE[tense number subject object], GERUND[subject object]; Spanish is finite where English is bare."""
    for english, spanish, sentiment, arguments in cells(VERBS):
        bare, third, past, *gerund = english.split()
        *finite, spanish_gerund = spanish.split() if gerund else [*spanish.split(), ""]
        for sorts in sort_pairs(arguments):
            for tense, word, form in zip(TENSES_AND_NUMBERS, (third, bare, past, past), finite, strict=True):
                yield "1", f"FINITE[{tense} {sorts}]", f"{word}/VERB", form, sentiment
                yield "1", f"BARE[{tense} {sorts}]", f"{bare}/VERB", form, sentiment
            for word in gerund:
                yield "1", f"GERUND[{sorts}]", f"{word}/VERB", spanish_gerund, sentiment


def function_word_rows() -> Iterator[Row]:
    """BE[tense number copula], ADP[sort of the noun before, sort of the noun after]"""
    for english, spanish, copulas in cells(BE):
        for tense, word, form in zip(TENSES_AND_NUMBERS, english.split(), spanish.split(), strict=True):
            for copula in copulas.split():
                yield "1", f"BE[{tense} {copula}]", f"{word}/AUX", form, "0"
    for word, spanish, arguments in cells(ADPOSITIONS):
        for pair in sort_pairs(arguments):
            yield "1", f"ADP[{pair}]", f"{word}/ADP", spanish, "0"


def instances(row: Row) -> Iterator[tuple[str, Rule]]:
    """The rules without variables that a row of the table stands for, each with its left side."""
    _, left, english, spanish, sentiment = row
    features = " ".join(re.findall(r"\[(.*?)\]", f"{left} {english}")).split()
    variables = sorted(DOMAINS.keys() & set(features))
    domains = [Counter(DOMAINS[variable].split()) for variable in variables]
    for values in itertools.product(*domains):
        binding = dict(zip(variables, values, strict=True))
        share = math.prod(domain[value] for domain, value in zip(domains, values, strict=True))
        yield bind(left, binding), synchronous_rule(share, bind(english, binding), spanish, sentiment)


def synchronous_rule(probability: float, english: str, spanish: str, sentiment: str) -> Rule:
    """The rule for one row whose variables are bound."""
    items = re.findall(r"[^\s\[]+(?:\[.*?\])?", english)
    children = [item for item in items if "/" not in item]
    numbers = itertools.count()
    english_order = tuple(Word(*item.split("/")) if "/" in item else next(numbers) for item in items)
    spanish_order = tuple(int(item) - 1 if item.isdigit() else item for item in spanish.split())
    return Rule(probability, tuple(children), english_order, spanish_order, sentiment)


def bind(symbols: str, binding: dict[str, str]) -> str:
    """`symbols` with the value of each variable inside brackets."""
    return re.sub(r"\b[A-Z]\b", lambda variable: binding[variable[0]], symbols)


@functools.cache
def rules() -> dict[str, list[Rule]]:
    """The rules of every symbol; their probabilities sum to 1."""
    lexicon = (determiner_rows(), noun_rows(), adjective_rows(), verb_rows(), function_word_rows())
    table: Table = {}
    for row in itertools.chain(cells(RULES), *lexicon):
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
    return [rule._replace(probability=factor * rule.probability) for factor, row in shares for rule in row]


# ------------------------------------------------------------
# Sampling
# ------------------------------------------------------------


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
    """The phrase that `rule` makes of its children, in both languages."""
    return Phrase(
        arranged(rule.english, [child.words for child in children]),
        arranged(rule.spanish, [child.spanish for child in children]),
        polarity(rule.sentiment, [child.sentiment for child in children]),
        math.log(rule.probability) + sum([child.log_probability for child in children]),
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
    """The sentence after the spelling rules of both languages: an old map; al dragón, del museo."""
    words, tags = zip(*phrase.words, strict=True)
    spanish = re.sub(r"\b(a|de) el\b", lambda pair: {"a": "al", "de": "del"}[pair[1]], " ".join(phrase.spanish))
    sentiment = {1: "positive", -1: "negative", 0: "neutral"}[phrase.sentiment]
    return Sentence(with_an(" ".join(words)), list(tags), sentiment, spanish, phrase.log_probability)


def with_an(text: str) -> str:
    """`text` with "an" for "a" before a vowel."""
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


# ------------------------------------------------------------
# Probability
# ------------------------------------------------------------


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


Chart = dict[tuple[str, int], dict[int, float]]


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
