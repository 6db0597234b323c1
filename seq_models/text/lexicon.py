"""The words of the built-in grammar in both languages, and the rows of its table of rules that they are."""

import itertools
from collections.abc import Iterator, Sequence

# What a noun stands for, so that no hotel sings; each goes by its initial in the lexicon.
SORTS = {s[0]: s for s in ("person", "creature", "firm", "thing", "journey", "building", "land")}
SORTS |= {"-": "none", "^": "arrival"}  # instead of an object: an intransitive verb, a verb of arriving or appearing

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

NUMBERS_AND_GENDERS = ("sg m", "sg f", "pl m", "pl f")
TENSES_AND_NUMBERS = ("present sg", "present pl", "past sg", "past pl")

Row = Sequence[str]  # the five columns of `grammar.RULES`


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


def lexicon_rows() -> Iterator[Row]:
    """A row for each form of each word."""
    return itertools.chain(determiner_rows(), noun_rows(), adjective_rows(), verb_rows(), function_word_rows())
