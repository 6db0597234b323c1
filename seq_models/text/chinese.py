"""The spelling rules of the Chinese side of the built-in grammar: 那本绿色的书, 没在这里唱歌, 不善良."""

import itertools
from collections.abc import Sequence

from seq_models.text.lexicon import MEASURE, PLACE, Word, measure_words

MEASURE_WORDS = measure_words()
LEFT_OUT = {("不", "很"), ("的", "的")}  # the second after the first


def spelled(words: Sequence[Word]) -> list[Word]:
    """The words of a sentence, of those that the rules have put together."""
    words = with_adverbs(with_measure_words(words))
    pairs = itertools.pairwise([Word("", ""), *words])
    return [word for before, word in pairs if (before.text, word.text) not in LEFT_OUT]


def with_measure_words(words: Sequence[Word]) -> list[Word]:
    """The measure word of the noun that comes next in each place of one: 那 * 新 的 书 -> 那 本 新 的 书."""
    found, measure = [], ""
    for word in reversed(words):
        measure = MEASURE_WORDS.get(word.text, measure)
        found.append(Word(measure, "NOUN") if word.text == MEASURE else word)
    return found[::-1]


def with_adverbs(words: Sequence[Word]) -> list[Word]:
    """Adverbs, marked by <, in the place before the verb that they come after: 没 ~ 唱歌 <再次 -> 没 再次 唱歌."""
    found: list[Word] = []
    place = 0
    for word in words:
        if word.text == PLACE:
            place = len(found)
        elif word.text.startswith("<"):
            found.insert(place, word._replace(text=word.text[1:]))
            place += 1
        else:
            found.append(word)
    return found
