"""The words of the built-in grammar in its three languages, and the rows of its table of rules that they are."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Word(NamedTuple):
    """A word with its part of speech in Universal Dependencies."""

    text: str
    tag: str


MEASURE, PLACE = "*", "~"  # in Chinese, where the measure word of the next noun and the adverbs of a verb come

# What a noun stands for, so that no hotel sings; each goes by its initial in the lexicon.
SORTS = {s[0]: s for s in ("person", "creature", "firm", "thing", "journey", "building", "land")}
SORTS |= {"-": "none", "^": "arrival"}  # instead of an object: an intransitive verb, a verb of arriving or appearing

# Singular and plural in English; the Spanish sg m, sg f, pl m, pl f; Chinese singular and plural.
DETERMINERS = """
4 | the the    | el la los las                     | 那/DET *, 那些/DET
1 | this these | este esta estos estas             | 这/DET *, 这些/DET
2 | a some     | un una algunos algunas            | 一/NUM *, 几/NUM *
1 | my my      | mi mi mis mis                     | 我/PRON 的/PART 那/DET *, 我/PRON 的/PART 那些/DET
1 | our our    | nuestro nuestra nuestros nuestras | 我们/PRON 的/PART 那/DET *, 我们/PRON 的/PART 那些/DET
"""
POSSESSIVES = {"my", "our"}  # PRON in Universal Dependencies, the other determiners are DET

# Sort and gender; singular and plural in English and in Spanish; Chinese measure word and noun.
NOUNS = """
p m | pilot pilots, critic critics        | piloto pilotos, crítico críticos         | 位 飞行员, 位 评论家
p m | boy boys, king kings                | niño niños, rey reyes                    | 个 男孩, 位 国王
p f | doctor doctors, girl girls          | doctora doctoras, niña niñas             | 位 医生, 个 女孩
p f | queen queens, actress actresses     | reina reinas, actriz actrices            | 位 女王, 位 女演员
c m | dragon dragons, ghost ghosts        | dragón dragones, fantasma fantasmas      | 条 龙, 个 幽灵
c f | witch witches, mermaid mermaids     | bruja brujas, sirena sirenas             | 个 女巫, 条 美人鱼
f m | club clubs, circus circuses         | club clubes, circo circos                | 家 俱乐部, 家 马戏团
f f | airline airlines, company companies | aerolínea aerolíneas, empresa empresas   | 家 航空公司, 家 企业
t m | book books, watch watches           | libro libros, reloj relojes              | 本 书, 块 手表
t m | plan plans, map maps                | plan planes, mapa mapas                  | 份 计划, 张 地图
t f | letter letters, saw saws            | carta cartas, sierra sierras             | 封 信, 把 锯子
t f | film films, song songs              | película películas, canción canciones    | 部 电影, 首 歌
j m | flight flights, train trains        | vuelo vuelos, tren trenes                | 趟 航班, 列 火车
j f | boat boats, tour tours              | barca barcas, excursión excursiones      | 艘 船, 次 旅行
b m | hotel hotels, museum museums        | hotel hoteles, museo museos              | 家 酒店, 座 博物馆
b f | school schools, library libraries   | escuela escuelas, biblioteca bibliotecas | 所 学校, 座 图书馆
l m | park parks, lake lakes              | parque parques, lago lagos               | 座 公园, 个 湖
l f | island islands, city cities         | isla islas, ciudad ciudades              | 座 岛, 座 城市
"""

# Four forms in Spanish, one in Chinese; the copula, the sentiment, and the sorts of noun.
ADJECTIVES = """
kind      | amable amable amables amables             | 善良 | ser   | + | pc
brave     | valiente valiente valientes valientes     | 勇敢 | ser   | + | pc
good      | bueno buena buenos buenas                 | 好   | ser   | + | ftjbl
beautiful | hermoso hermosa hermosos hermosas         | 美丽 | ser   | + | ctjbl
funny     | divertido divertida divertidos divertidas | 有趣 | ser   | + | ptj
clean     | limpio limpia limpios limpias             | 干净 | estar | + | bl
rude      | grosero grosera groseros groseras         | 粗鲁 | ser   | - | pc
cruel     | cruel cruel crueles crueles               | 残忍 | ser   | - | pcf
bad       | malo mala malos malas                     | 糟糕 | ser   | - | ftjb
ugly      | feo fea feos feas                         | 丑陋 | ser   | - | ctbl
boring    | aburrido aburrida aburridos aburridas     | 无聊 | ser   | - | ptjb
dirty     | sucio sucia sucios sucias                 | 肮脏 | estar | - | bl
old       | viejo vieja viejos viejas                 | 老   | ser   | 0 | pcftb
young     | joven joven jóvenes jóvenes               | 年轻 | ser   | 0 | pc
tall      | alto alta altos altas                     | 高大 | ser   | 0 | pb
big       | grande grande grandes grandes             | 巨大 | ser   | 0 | cfbl
small     | pequeño pequeña pequeños pequeñas         | 小   | ser   | 0 | cftbl
new       | nuevo nueva nuevos nuevas                 | 新   | ser   | 0 | ftjb
long      | largo larga largos largas                 | 漫长 | ser   | 0 | j
tired     | cansado cansada cansados cansadas         | 疲惫 | estar | 0 | pc
busy      | ocupado ocupada ocupados ocupadas         | 忙碌 | estar | 0 | pc
lost      | perdido perdida perdidos perdidas         | 丢失 | estar | 0 | t
full      | lleno llena llenos llenas                 | 满   | estar | 0 | jb
open      | abierto abierta abiertos abiertas         | 敞开 | estar | 0 | b
closed    | cerrado cerrada cerrados cerradas         | 关闭 | estar | 0 | b
green     | verde verde verdes verdes                 | 绿色 | color | 0 | ctj
red       | rojo roja rojos rojas                     | 红色 | color | 0 | ctj
"""

# Bare form, third person, past, and gerund where the verb has a progressive. In Spanish: present sg and pl, past sg
# and pl, gerund; the past of a state is the imperfect. In Chinese the verb and what makes it past: 了 after it, or 当时
# before it, if it is a state. Then the sentiment, and who does it to what.
VERBS = """
see sees saw                                | ve ven vio vieron                                 | 看见 了   | 0 | pc > pctl
watch watches watched watching              | mira miran miró miraron mirando                   | 注视 了   | 0 | pc > pcj
book books booked booking                   | reserva reservan reservó reservaron reservando    | 预订 了   | 0 | pf > j
plan plans planned planning                 | planea planean planeó planearon planeando         | 计划 了   | 0 | pf > j
cancel cancels canceled canceling           | cancela cancelan canceló cancelaron cancelando    | 取消 了   | 0 | pf > j
sell sells sold selling                     | vende venden vendió vendieron vendiendo           | 出售 了   | 0 | pcf > t
paint paints painted painting               | pinta pintan pintó pintaron pintando              | 描绘 了   | 0 | pc > cbl
open opens opened opening                   | abre abren abrió abrieron abriendo                | 开办 了   | 0 | pf > b
clean cleans cleaned cleaning               | limpia limpian limpió limpiaron limpiando         | 打扫 了   | 0 | pcf > l
admire admires admired                      | admira admiran admiraba admiraban                 | 欣赏 当时 | + | pc > pcfl
love loves loved                            | adora adoran adoraba adoraban                     | 喜爱 当时 | + | pc > pctl
praise praises praised praising             | elogia elogian elogió elogiaron elogiando         | 称赞 了   | + | pf > ftb
hate hates hated                            | odia odian odiaba odiaban                         | 讨厌 当时 | - | pc > pct
criticize criticizes criticized criticizing | critica critican criticó criticaron criticando    | 批评 了   | - | pf > pft
amuse amuses amused                         | divierte divierten divirtió divirtieron           | 逗乐 了   | + | tjbl > pc
surprise surprises surprised                | sorprende sorprenden sorprendió sorprendieron     | 震惊 了   | 0 | tjbl > pc
disappoint disappoints disappointed         | decepciona decepcionan decepcionó decepcionaron   | 辜负 了   | - | tjbl > pc
sing sings sang singing                     | canta cantan cantó cantaron cantando              | 唱歌 了   | 0 | pc > -
dance dances danced dancing                 | baila bailan bailó bailaron bailando              | 跳舞 了   | 0 | pc > -
work works worked working                   | trabaja trabajan trabajó trabajaron trabajando    | 工作 了   | 0 | pcf > -
arrive arrives arrived arriving             | llega llegan llegó llegaron llegando              | 到达 了   | 0 | pcj > ^
return returns returned returning           | vuelve vuelven volvió volvieron volviendo         | 回来 了   | 0 | pcj > ^
appear appears appeared appearing           | aparece aparecen apareció aparecieron apareciendo | 出现 了   | 0 | pct > ^
"""  # noqa: E501

BE = """
is are was were | es son era eran         | ser color
is are was were | está están estaba estaban | estar
"""

ADPOSITIONS = """
near   | cerca de  | 附近 | pcftbl > bl
behind | detrás de | 后面 | pctb > b
from   | de        | 来   | pcj > l
to     | a         | 方向 | j > l
"""

NUMBERS_AND_GENDERS = ("sg m", "sg f", "pl m", "pl f")
TENSES_AND_NUMBERS = ("present sg", "present pl", "past sg", "past pl")

Row = Sequence[str]  # the six columns of `grammar.RULES`


def cells(table: str) -> list[list[str]]:
    """The cells of a table whose columns are divided by |."""
    return [[cell.strip() for cell in line.split("|")] for line in table.splitlines() if line.strip()]


def sort_pairs(arguments: str) -> list[str]:
    """The features that "pc > t" stands for: "person thing" and "creature thing"."""
    first, second = arguments.split(" > ")
    return [f"{SORTS[left]} {SORTS[right]}" for left, right in itertools.product(first, second)]


def determiner_rows() -> Iterator[Row]:
    """DET[number gender]"""
    for weight, english, spanish, chinese in cells(DETERMINERS):
        singular, plural = english.split()
        tag = "PRON" if singular in POSSESSIVES else "DET"
        one, many = chinese.split(", ")
        words = zip((singular, singular, plural, plural), spanish.split(), (one, one, many, many), strict=True)
        for features, (word, translation, in_chinese) in zip(NUMBERS_AND_GENDERS, words, strict=True):
            yield weight, f"DET[{features}]", f"{word}/{tag}", translation, in_chinese, "0"


def noun_rows() -> Iterator[Row]:
    """NOUN[number gender sort]"""
    for kind, *columns in cells(NOUNS):
        sort, gender = kind.split()
        for english, spanish, chinese in zip(*(column.split(", ") for column in columns), strict=True):
            _, noun = chinese.split()
            for number, word, translation in zip(("sg", "pl"), english.split(), spanish.split(), strict=True):
                features = f"{number} {gender} {SORTS[sort]}"
                yield "1", f"NOUN[{features}]", f"{word}/NOUN", translation, f"{noun}/NOUN", "0"


def measure_words() -> dict[str, str]:
    """The Chinese measure word of each noun: 本 of 书."""
    pairs = [pair.split() for *_, chinese in cells(NOUNS) for pair in chinese.split(", ")]
    return {noun: measure for measure, noun in pairs}


def adjective_rows() -> Iterator[Row]:
    """ADJ[number gender sort copula]"""
    for word, spanish, chinese, copula, sentiment, sorts in cells(ADJECTIVES):
        for features, form in zip(NUMBERS_AND_GENDERS, spanish.split(), strict=True):
            for sort in sorts:
                left = f"ADJ[{features} {SORTS[sort]} {copula}]"
                yield "1", left, f"{word}/ADJ", form, f"{chinese}/ADJ", sentiment


def verb_rows() -> Iterator[Row]:
    """FINITE and BARE[tense number subject object], GERUND[subject object]; Spanish is finite where English is bare.

    An adverb comes before a Chinese verb and after its negation.
    """
    for english, spanish, chinese, sentiment, arguments in cells(VERBS):
        bare, third, past, *gerund = english.split()
        *finite, spanish_gerund = spanish.split() if gerund else [*spanish.split(), ""]
        verb, sign = chinese.split()
        timeless = f"{PLACE} {verb}/VERB"
        before = f"{timeless} 了/AUX" if sign == "了" else f"{sign}/ADV {timeless}"
        for sorts in sort_pairs(arguments):
            forms = zip((third, bare, past, past), finite, (timeless, timeless, before, before), strict=True)
            for tense, (word, form, in_chinese) in zip(TENSES_AND_NUMBERS, forms, strict=True):
                yield "1", f"FINITE[{tense} {sorts}]", f"{word}/VERB", form, in_chinese, sentiment
                yield "1", f"BARE[{tense} {sorts}]", f"{bare}/VERB", form, timeless, sentiment
            for word in gerund:
                yield "1", f"GERUND[{sorts}]", f"{word}/VERB", spanish_gerund, timeless, sentiment


def function_word_rows() -> Iterator[Row]:
    """BE[tense number copula], ADP[sort of the noun before, sort of the noun after]"""
    for english, spanish, copulas in cells(BE):
        for tense, word, form in zip(TENSES_AND_NUMBERS, english.split(), spanish.split(), strict=True):
            for copula in copulas.split():
                chinese = "当时/ADV" if tense.startswith("past") else ""
                yield "1", f"BE[{tense} {copula}]", f"{word}/AUX", form, chinese, "0"
    for word, spanish, chinese, arguments in cells(ADPOSITIONS):
        for pair in sort_pairs(arguments):
            yield "1", f"ADP[{pair}]", f"{word}/ADP", spanish, f"{chinese}/ADP", "0"


def lexicon_rows() -> Iterator[Row]:
    """A row for each form of each word."""
    return itertools.chain(determiner_rows(), noun_rows(), adjective_rows(), verb_rows(), function_word_rows())
