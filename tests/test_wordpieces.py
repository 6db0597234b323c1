"""Word pieces are those of byte-pair encoding over letters, the same every time, and as many as are asked for."""

import subprocess
import sys
from collections import Counter

import pytest

from seq_models.text.codec import Codec
from seq_models.text.options import TextOptions
from seq_models.text.vocabulary import SPECIAL_TOKENS
from seq_models.text.wordpieces import learn_wordpieces

RESERVED = tuple(SPECIAL_TOKENS)
COUNTS = {"low": 50, "lower": 20, "lowest": 11, "newer": 17, "newest": 30, "wide": 9, "wider": 7, "élan": 3, "x": 1}


def byte_pairs(counts, size, min_count):
    """Joins the most frequent pair of pieces, of several the one with the smaller numbers, until there are enough."""
    forms = {letter for word in counts for letter in word} | {f"##{letter}" for word in counts for letter in word[1:]}
    pieces = [*RESERVED, *sorted(forms, key=lambda form: (len(form), form))]
    cut = {word: [word[0], *(f"##{letter}" for letter in word[1:])] for word in counts}
    while len(pieces) < size:
        pairs = Counter()
        for word, parts in cut.items():
            for pair in zip(parts, parts[1:], strict=False):
                pairs[pair] += counts[word]
        number = {piece: n for n, piece in enumerate(pieces)}
        best = max(pairs, key=lambda p: (pairs[p], -number[p[0]], -number[p[1]]), default=None)
        if best is None or pairs[best] < min_count:
            break
        joined = best[0] + best[1].removeprefix("##")
        if joined not in pieces:
            pieces.append(joined)
        for word, parts in cut.items():
            after = []
            for part in parts:
                if after and (after[-1], part) == best:
                    after[-1] = joined
                else:
                    after.append(part)
            cut[word] = after
    return pieces


@pytest.mark.parametrize("min_count", [2, 12])
@pytest.mark.parametrize("size", [33, 40, 50, 1000])
def test_pieces_are_those_of_byte_pair_encoding(size, min_count):
    found = learn_wordpieces(COUNTS, size, RESERVED, min_count)
    assert found == byte_pairs(COUNTS, size, min_count)
    assert len(found) <= size and found[: len(RESERVED)] == list(RESERVED)


def test_a_piece_of_several_letters_is_seen_so_often():
    pieces = learn_wordpieces(COUNTS, 1000, RESERVED, 12)
    for piece in pieces[len(RESERVED) :]:
        part = piece.removeprefix("##")
        if len(part) > 1:
            assert sum(count for word, count in COUNTS.items() if part in word) >= 12
    assert "lower" in pieces and "wider" not in pieces


def test_of_too_many_letters_the_most_frequent_ones_are_pieces_and_other_words_are_unknown():
    pieces = learn_wordpieces({"a": 9, "b": 8, "bc": 7, "zq": 1}, 8, RESERVED)
    assert pieces == [*RESERVED, "a", "b", "c", "##c"]
    codec = Codec.train(["a a b bc bc zq"] * 2, TextOptions("wordpiece", vocabulary_size=9))
    assert codec.decode(codec.encode(["a bc zq"]).to_tensor()).numpy().tolist() == [b"a bc <unk>"]


def test_no_word_at_all_has_no_pieces():
    assert learn_wordpieces({}, 100, RESERVED) == list(RESERVED)


def test_pieces_are_the_same_in_every_process():
    code = (
        "from seq_models.text.wordpieces import learn_wordpieces; "
        f"print(learn_wordpieces({COUNTS!r}, 45, {RESERVED!r}))"
    )
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(found) == 1


@pytest.mark.parametrize("min_count", [1, 3])
def test_min_count_is_that_of_pieces_and_at_least_two(min_count):
    texts = ["rare rarely seen seen seen"] * 2
    tokens = Codec.train(texts, TextOptions("wordpiece", min_count=min_count)).vocabulary.tokens
    assert "seen" in tokens and ("rarely" in tokens) == (min_count == 1)
    assert "once" not in Codec.train(["once seen seen"], TextOptions("wordpiece")).vocabulary.tokens
