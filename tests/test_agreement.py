"""Subject–verb agreement: attractors are counted as they are defined, and the right verb is the one of the grammar."""

import pytest

from seq_models.text import corpora
from seq_models.text.agreement import OTHER_FORM, Pair, agreement, agreement_pairs, attractors
from seq_models.text.grammar import Word


def words(text):
    nouns = {"flights", "flight", "airline", "boy", "parks", "city", "books", "watch"}
    return [Word(word, "NOUN" if word in nouns else "OTHER") for word in text.split()]


@pytest.mark.parametrize(
    "subject, count",
    [
        ("the flights", 0),
        ("the flights the airline was canceling", 1),
        ("the flight the airline was canceling", 0),
        ("the boy near the parks behind the city", 1),
        ("the books the boy who loved the city sold", 2),
        ("the watch the boy watches", 0),
    ],
)
def test_an_attractor_is_a_noun_of_the_other_number_after_the_head(subject, count):
    assert attractors(words(subject)) == count


def test_every_verb_that_shows_its_number_has_its_other_form():
    for one, two in {"is": "are", "was": "were", "does": "do", "sees": "see", "watches": "watch"}.items():
        assert (OTHER_FORM[one], OTHER_FORM[two]) == (two, one)
    assert not {"did", "saw", "canceled"} & OTHER_FORM.keys()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_pairs_are_of_test_sentences_and_have_the_verb_of_their_determiner(count, monkeypatch):
    held_out, split_of = [], corpora.split_of

    def seen(text):
        if split_of(text) == "test":
            held_out.append(text + " ")
        return split_of(text)

    monkeypatch.setattr(corpora, "split_of", seen)
    pairs = agreement_pairs(count, 20)
    assert pairs == agreement_pairs(count, 20)
    assert len({pair.prefix for pair in pairs}) == 20
    for pair in pairs:
        assert any(text.startswith(f"{pair.prefix} {pair.right} ") for text in held_out)
        if (determiner := pair.prefix.split()[0]) in ("this", "a", "an", "these", "some"):
            assert pair.right.endswith("s") == (determiner in ("this", "a", "an"))


def test_agreement_is_the_share_of_right_verbs_that_are_more_probable():
    class Stub:
        """P of "is" and of the end."""

        def score_tokens(self, texts):
            p = {"is": -1.0, "are": -2.0}
            return [{"log_probabilities": [-5.0, p[text.split()[-1]], 0.0]} for text in texts]

    assert agreement(Stub(), [Pair("a b", "is", "are"), Pair("a b", "are", "is")]) == 0.5
    assert agreement(Stub(), [Pair("a b", "is", "are")]) == 1.0


@pytest.mark.parametrize("count", [-1, 4, 1.0])
def test_more_attractors_than_the_rules_can_nest_are_refused(count):
    with pytest.raises(ValueError, match=f"count must be an integer from 0 to 3. Received: count={count}"):
        agreement_pairs(count, 1)


def test_more_pairs_than_there_are_are_refused(monkeypatch):
    monkeypatch.setattr("seq_models.text.agreement.PATIENCE", 50)
    with pytest.raises(ValueError, match=r"n must be at most the pairs that are found, \d+. Received: n=1000000"):
        agreement_pairs(2, 1_000_000)


def test_no_pair_is_refused():
    with pytest.raises(ValueError, match="at least one pair. Received: "):
        agreement(None, [])
