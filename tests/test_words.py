"""Words that are counted by arrays are those that are there, and the tokens of a text are those of its words."""

import random
from collections import Counter

import pytest

from seq_models.text import words as module
from seq_models.text.codec import Codec, decoded
from seq_models.text.options import LanguageModelTextOptions, TextOptions
from seq_models.text.vocabulary import Vocabulary
from seq_models.text.words import WordCounts, Words, counted

# Each stands in texts beside each other one: scripts, marks, what joins, what parts, what has another form.
PARTS = [
    *("a", "don't", "3.5", "é", "e\u0301", "\u0301", "straße", "ŒUVRE", "ТЕКСТ", "слова", "λόγος", "नमस्ते", "שלום"),
    *("漢", "字", "中文", "一", "\u4e00\u0301", "\u9f7f\u9f7f", "\u9fa0\u9fa0", "㐀㐀", "\uf900\uf900", "𠀀𠀀"),
    *(
        "，",
        "。",
        "-",
        ".",
        "'",
        "’",
        "👩\u200d💻",
        "👍🏽",
        "🇩🇪🇫🇷",
        "\u200d",
        "\u200b",
        "\xad",
        "\ufeff",
        "ﬁ",
        "¨",
        "\x1f",
        "\0",
    ),
    *("\u212b", "\u1100\u1161", "가", "\uff21", "²", "0123456789abcdef", "0123456789abcdefg", "12345678"),
    *(" ", " ", " ", "  ", "\t", "\v", "\f", "\r", "\n", "\x85", "\xa0", "\u3000", "\u2028", "\u200a"),
]


def texts(number, seed=1):
    draw = random.Random(seed)
    return ["".join(draw.choices(PARTS, k=draw.randrange(12))) for _ in range(number)]


def tokens_of_whole_texts(some, options):
    return Counter(decoded(Codec.of(options).tokenize(some).flat_values))


@pytest.mark.parametrize("normalization", ["nfc", "nfkc", "none"])
@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("tokenizer", ["whitespace", "words", "chars"])
def test_tokens_counted_word_by_word_are_those_of_whole_texts(tokenizer, lowercase, normalization):
    options = LanguageModelTextOptions(tokenizer=tokenizer, normalization=normalization, lowercase=lowercase)
    some = texts(4000)
    expected = tokens_of_whole_texts(some, options)
    assert Codec.of(options).count(some) == expected
    learned = Codec.train(some, options).vocabulary
    whole = Vocabulary.from_counts(expected)
    assert (learned.tokens, learned.seen_once) == (whole.tokens, whole.seen_once)


def test_tokens_that_are_cut_off_do_not_count():
    options = TextOptions(max_length=3)
    assert Codec.train(["a b c c", "d 漢字"], options).vocabulary.tokens[4:] == ["a", "b", "d", "漢"]


def test_counts_are_those_of_python_whatever_has_a_slot(monkeypatch):
    monkeypatch.setattr(module, "SLOTS_BITS", 3)
    monkeypatch.setattr(module, "BLOCK", 50)
    some = [f"abcdefgh{n % 40}" for n in range(400)] + texts(300)  # those of one first number have the slots
    expected = Counter(word for text in some for word in text.encode().split())
    [found] = counted(some, Words())
    assert found == expected
    monkeypatch.setattr(module, "WORDS", 20)
    several = list(counted(some, Words()))
    assert len(several) > 3 and sum(map(Counter, several), Counter()) == expected


def test_a_frequent_word_has_a_slot():
    counts = WordCounts(Words())
    for _ in range(3):
        counts.add("the cat " * 100 + "x" * 17)
    assert len(counts) == 3 and counts.take() == {b"the": 300, b"cat": 300, b"x" * 17: 3}
    assert counts.take() == {}
    counts.add("the")
    assert counts.take() == {b"the": 1}


def test_two_han_characters_are_two_words_and_nothing_else_is_parted():
    counts = WordCounts(Words(between_han=True))
    counts.add("中文字，字 a中 \u9f80\u9f80 㐀㐀")
    assert {word.decode() for word in counts.take()} == {"中", "文", "字，字", "a中", "\u9f80\u9f80", "㐀㐀"}


def test_a_long_text_is_cut_between_two_words_only(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 10)
    for words in (Words(), Words(between_han=True)):
        for text in ["abc defg " * 9, "中" * 99, "x" * 99, "中文 abcde" * 9]:
            blocks = list(words.blocks([text]))
            assert "".join(blocks).strip() == text.strip()
            [whole], [parts] = counted([text], words), counted(blocks, words)
            assert whole == parts
    assert len(list(Words(between_han=True).blocks(["中" * 99]))) > 5
    assert list(Words().blocks(["中" * 99])) == ["中" * 99] and list(Words().blocks([])) == []
