"""The built-in corpora: is the grammar a distribution, and are its four forms of a sentence right?"""

import collections
import itertools
import math
import os
import subprocess
import sys

import pytest

from seq_models.text import corpora, grammar

SAMPLE = corpora.sample(1_500, seed=7)
TASKS = ("language-model", "labeler", "classifier", "encoder-decoder")


def derivations(symbol, length):
    """Every phrase of `symbol` that has exactly `length` words."""
    for rule in grammar.rules()[symbol]:
        room = length - (len(rule.english) - len(rule.children))
        for lengths in itertools.product(range(room + 1), repeat=len(rule.children)):
            if sum(lengths) == room:
                parts = [list(derivations(*part)) for part in zip(rule.children, lengths, strict=True)]
                for children in itertools.product(*parts):
                    yield grammar.compose(rule, list(children))


def lengths(symbol, memory):
    """The distribution of the length of `symbol`, from the rules alone."""
    if symbol not in memory:
        total = collections.Counter()
        for rule in grammar.rules()[symbol]:
            ends = {len(rule.english) - len(rule.children): rule.probability}
            for child in rule.children:
                longer = collections.Counter()
                for (start, before), (more, then) in itertools.product(ends.items(), lengths(child, memory).items()):
                    longer[start + more] += before * then
                ends = longer
            total.update(ends)
        memory[symbol] = total
    return memory[symbol]


def example(text):
    """The forms of one sentence, from the tree that the chart finds for it."""
    found = [phrase for phrase in parses("SENTENCE", tuple(text.split()))]
    assert len(found) == 1
    return grammar.spelled(found[0])


def parses(symbol, words):
    """Every tree of `symbol` over exactly `words`."""
    return [phrase for rule in grammar.rules()[symbol] for phrase in rule_parses(rule, rule.english, words, [])]


def rule_parses(rule, items, words, children):
    if not items:
        if not words:
            yield grammar.compose(rule, children)
        return
    if isinstance(items[0], grammar.Word):
        if words[:1] == (items[0].text,):
            yield from rule_parses(rule, items[1:], words[1:], children)
        return
    symbol = rule.children[items[0]]
    for end in grammar.inside(symbol, 0, words, {}):
        for child in parses(symbol, words[:end]):
            yield from rule_parses(rule, items[1:], words[end:], [*children, child])


@pytest.fixture(scope="module")
def short_sentences():
    return [grammar.spelled(phrase) for length in (3, 4) for phrase in derivations("SENTENCE", length)]


def test_the_probabilities_of_the_rules_of_a_symbol_sum_to_one():
    for symbol, options in grammar.rules().items():
        assert math.isclose(sum(rule.probability for rule in options), 1.0), symbol


def test_the_probabilities_of_all_sentences_sum_to_one_and_none_is_longer_than_25_tokens():
    distribution = lengths("SENTENCE", {})
    assert math.isclose(sum(distribution.values()), 1.0)
    assert max(distribution) <= 25
    mean = sum(length * probability for length, probability in distribution.items())
    assert mean == pytest.approx(sum(len(sentence.tags) for sentence in SAMPLE) / len(SAMPLE), rel=0.05)


def test_the_sentences_of_three_and_four_words_have_together_the_probability_of_these_lengths(short_sentences):
    distribution = lengths("SENTENCE", {})
    total = sum(math.exp(corpora.log_probability(sentence.text)) for sentence in short_sentences[::1])
    assert total == pytest.approx(distribution[3] + distribution[4])


def test_no_short_sentence_has_two_trees(short_sentences):
    assert len(short_sentences) > 5_000
    assert len({sentence.text for sentence in short_sentences}) == len(short_sentences)


def test_no_sampled_sentence_has_two_trees():
    for sentence in SAMPLE[:400]:
        assert corpora.log_probability(sentence.text) == pytest.approx(sentence.log_probability)


def test_log_probability_agrees_with_how_often_a_sentence_is_drawn():
    draws = 20_000
    [(text, count)] = collections.Counter(sentence.text for sentence in corpora.sample(draws, 3)).most_common(1)
    expected = draws * math.exp(corpora.log_probability(text))
    assert abs(count - expected) < 5 * math.sqrt(expected) + 5


@pytest.mark.parametrize(
    "text",
    ["", "the", "the witch", "the witch arrive", "the the witch arrived", "a old map appeared", "an map appeared",
     "the witch arrived ,", "the unicorn arrived", "the hotel sang", "the witch  arrived", "an old map appeared again again"],
)  # fmt: skip
def test_a_string_outside_the_grammar_has_no_probability(text):
    assert corpora.log_probability(text) == -math.inf


def test_a_is_an_before_a_vowel_and_counts_as_the_same_word():
    assert corpora.log_probability("an old map appeared") == pytest.approx(
        corpora.log_probability("a lost map appeared") + math.log(example_share("old") / example_share("lost"))
    )


def example_share(adjective):
    """The probability that a noun phrase of a masculine singular thing has this adjective, given that it has one."""
    share = 0.0
    for rule in grammar.rules()["NOM[sg m thing]"]:
        for option in grammar.rules()[rule.children[0]]:
            if rule.children[0].startswith("ADJ") and option.english[0].text == adjective:
                share += rule.probability * option.probability
    return share


@pytest.mark.parametrize(
    "text, translation, tags, sentiment",
    [
        ("the green witch arrived", "llegó la bruja verde", "DET ADJ NOUN VERB", "neutral"),
        (
            "the flights the airline was canceling were full",
            "los vuelos que estaba cancelando la aerolínea estaban llenos",
            "DET NOUN DET NOUN AUX VERB AUX ADJ",
            "neutral",
        ),
        (
            "the pilot the witches watch watched my watch",
            None,
            None,
            None,
        ),
        (
            "the pilot that the queens saw saw my old saw",
            "el piloto al que vieron las reinas vio mi sierra vieja",
            "DET NOUN PRON DET NOUN VERB VERB PRON ADJ NOUN",
            "neutral",
        ),
        (
            "the books were good , but the circus did not book a tour",
            "los libros eran buenos , pero el circo no reservó una excursión",
            "DET NOUN AUX ADJ PUNCT CCONJ DET NOUN AUX PART VERB DET NOUN",
            "neutral",
        ),
        (
            "the songs were good , but the film was not very funny",
            "las canciones eran buenas , pero la película no era muy divertida",
            "DET NOUN AUX ADJ PUNCT CCONJ DET NOUN AUX PART ADV ADJ",
            "negative",
        ),
        (
            "the critic did not hate the films that bored him",
            None,
            None,
            None,
        ),
        (
            "the actresses behind the museum do not sing badly",
            "las actrices detrás del museo no cantan mal",
            "DET NOUN ADP DET NOUN AUX PART VERB ADV",
            "positive",
        ),
    ],
)
def test_known_sentences_have_their_tags_sentiment_and_translation(text, translation, tags, sentiment):
    if translation is None:
        assert corpora.log_probability(text) == -math.inf
    else:
        sentence = example(text)
        assert (sentence.translation, " ".join(sentence.tags), sentence.sentiment) == (translation, tags, sentiment)
