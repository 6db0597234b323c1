"""The built-in corpora: is the grammar a distribution, and are the four forms of its sentences right?"""

import collections
import functools
import itertools
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chart_parser import inside, log_probability, log_probability_in_chinese

from seq_models.text import corpora, grammar

SAMPLE = corpora.sample(1_500, seed=7)
TASKS = ("language-model", "labeler", "classifier", "encoder-decoder")


@functools.cache
def length_distribution(symbol):
    """The probability of each length of `symbol`, from the rules alone."""
    total = collections.Counter()
    for rule in grammar.rules()[symbol]:
        sofar = {len(rule.english) - len(rule.children): rule.probability}
        for child in rule.children:
            longer = collections.Counter()
            for (a, p), (b, q) in itertools.product(sofar.items(), length_distribution(child).items()):
                longer[a + b] += p * q
            sofar = longer
        total.update(sofar)
    return total


def derivations(symbol, length):
    """Every phrase of `symbol` that has exactly `length` words, one for each tree."""
    for rule in grammar.rules()[symbol]:
        rest = length - (len(rule.english) - len(rule.children))
        for lengths in itertools.product(*map(length_distribution, rule.children)):
            if sum(lengths) == rest:
                parts = [list(derivations(*part)) for part in zip(rule.children, lengths, strict=True)]
                yield from (grammar.compose(rule, list(children)) for children in itertools.product(*parts))


def trees(symbol, words):
    """Every phrase of `symbol` whose English is `words`."""
    for rule in grammar.rules()[symbol]:
        for children in sequences(rule, rule.english, words):
            yield grammar.compose(rule, children)


def sequences(rule, items, words):
    """The children of `rule` in every way in which its `items` are `words`."""
    if not items:
        yield from [] if words else [[]]
    elif isinstance(items[0], grammar.Word):
        if words[:1] == (items[0].text,):
            yield from sequences(rule, items[1:], words[1:])
    else:
        symbol = rule.children[items[0]]
        for end in inside(symbol, 0, words, {}, "english"):
            for rest in sequences(rule, items[1:], words[end:]):
                yield from ([child, *rest] for child in trees(symbol, words[:end]))


@pytest.fixture(scope="module")
def three_words():
    return [grammar.spelled(phrase) for phrase in derivations("SENTENCE", 3)]


@pytest.fixture(scope="module")
def drawn():
    return collections.Counter(sentence.text for sentence in corpora.sample(10_000, seed=3))


def test_the_probabilities_of_the_rules_of_each_symbol_sum_to_one():
    for symbol, options in grammar.rules().items():
        assert math.isclose(sum(rule.probability for rule in options), 1.0), symbol


def test_all_sentences_together_have_probability_one_and_25_tokens_at_most():
    distribution = length_distribution("SENTENCE")
    assert math.isclose(sum(distribution.values()), 1.0)
    assert max(distribution) <= 25


def test_sampled_sentences_are_as_long_as_the_grammar_says():
    expected = sum(length * share for length, share in length_distribution("SENTENCE").items())
    assert 8 <= expected <= 11
    assert sum(len(sentence.tags) for sentence in SAMPLE) / len(SAMPLE) == pytest.approx(expected, rel=0.05)


def test_the_sentences_of_three_words_have_together_the_probability_of_this_length(three_words):
    total = sum(math.exp(log_probability(sentence.text)) for sentence in three_words)
    assert total == pytest.approx(length_distribution("SENTENCE")[3])


def test_no_sentence_of_three_words_has_two_trees(three_words):
    assert len(three_words) > 1_000
    assert len({sentence.text for sentence in three_words}) == len(three_words)


def test_no_sampled_sentence_has_two_trees():
    for sentence in SAMPLE:
        assert log_probability(sentence.text) == pytest.approx(sentence.log_probability, rel=1e-9)


@pytest.mark.parametrize("verb", ["arrived", "appeared", "returned"])
def test_log_probability_agrees_with_how_often_a_sentence_is_drawn(three_words, drawn, verb):
    texts = [sentence.text for sentence in three_words if sentence.text.endswith(verb)]
    expected = sum(drawn.values()) * sum(math.exp(log_probability(text)) for text in texts)
    assert expected > 10
    assert abs(sum(drawn[text] for text in texts) - expected) < 4 * math.sqrt(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the witch",
        "the witch arrive",
        "the witches was kind",
        "a old map appeared",
        "an map appeared",
        "the unicorn arrived",
        "the hotel sang",
        "the witch  arrived",
        "the flights the airline was canceling was full",
    ],
)
def test_a_string_outside_the_grammar_has_no_probability(text):
    assert log_probability(text) == -math.inf


KNOWN = [
    ("the green witch arrived", "llegó la bruja verde", "DET ADJ NOUN VERB", "neutral"),
    (
        "the flights the airline was canceling were full",
        "los vuelos que estaba cancelando la aerolínea estaban llenos",
        "DET NOUN DET NOUN AUX VERB AUX ADJ",
        "neutral",
    ),
    (
        "the king that the witches watch saw an old saw",
        "el rey al que miran las brujas vio una sierra vieja",
        "DET NOUN PRON DET NOUN VERB VERB DET ADJ NOUN",
        "neutral",
    ),
    (
        "the books were good , but the circus does not book a tour",
        "los libros eran buenos , pero el circo no reserva una excursión",
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
        "our actresses behind the museum do not sing badly",
        "nuestras actrices detrás del museo no cantan mal",
        "PRON NOUN ADP DET NOUN AUX PART VERB ADV",
        "positive",
    ),
]


@pytest.mark.parametrize("text, translation, tags, sentiment", KNOWN)
def test_known_sentences_have_their_tags_sentiment_and_translation(text, translation, tags, sentiment):
    [phrase] = trees("SENTENCE", tuple(text.replace("an ", "a ").split()))
    found = grammar.spelled(phrase)
    assert (found.text, found.translation, " ".join(found.tags)) == (text, translation, tags)
    assert found.sentiment == sentiment


@pytest.mark.parametrize(
    "text, chinese, tags",
    [
        ("the green witch arrived", "那个 绿色 的 女巫 到达 了", "DET NOUN ADJ PART NOUN VERB AUX"),
        (
            "the flights the airline was canceling were full",
            "那家 航空公司 当时 在 取消 的 那些 航班 当时 是 满 的",
            "DET NOUN NOUN ADV AUX VERB PART DET NOUN ADV AUX ADJ PART",
        ),
        (
            "the flights that the airline was canceling were full",
            "那家 航空公司 当时 在 取消 的 那些 航班 当时 是 满 的",
            "DET NOUN NOUN ADV AUX VERB PART DET NOUN ADV AUX ADJ PART",
        ),
        (
            "our actresses behind the museum do not sing badly",
            "那座 博物馆 后面 的 我们 的 那些 女演员 不 糟糕地 唱歌",
            "DET NOUN NOUN ADP PART PRON PART DET NOUN ADV ADV VERB",
        ),
        (
            "the king loved a map that was green",
            "那位 国王 当时 喜爱 当时 是 绿色 的 一张 地图",
            "DET NOUN NOUN ADV VERB ADV AUX ADJ PART NUM NOUN NOUN",
        ),
        (
            "the boy saw this map , but the club is not cruel",
            "那个 男孩 看见 了 这张 地图 ， 但是 那家 俱乐部 不 残忍",
            "DET NOUN NOUN VERB AUX DET NOUN NOUN PUNCT CCONJ DET NOUN NOUN ADV ADJ",
        ),
        (
            "some critics are not working here and a doctor returned again",
            "几位 评论家 没 在 在 这里 工作 而且 一位 医生 再次 回来 了",
            "NUM NOUN NOUN ADV AUX ADP PRON VERB CCONJ NUM NOUN NOUN ADV VERB AUX",
        ),
    ],
)
def test_known_sentences_have_their_chinese(text, chinese, tags):
    [phrase] = trees("SENTENCE", tuple(text.replace("an ", "a ").split()))
    sentence = grammar.spelled(phrase)
    assert (sentence.chinese.text, " ".join(sentence.chinese.tags)) == (chinese.replace(" ", ""), tags)


@pytest.mark.slow
def test_a_chinese_sentence_has_one_tree_where_rules_that_are_the_same_in_chinese_are_one():
    for sentence in SAMPLE[:400]:
        chinese = sentence.chinese
        expected = log_probability_in_chinese(chinese.tokens, chinese.tags)
        assert chinese.log_probability == pytest.approx(expected, rel=1e-9), chinese.text


def test_a_chinese_text_has_one_way_to_be_cut_into_words_and_one_probability():
    forms = {}
    for sentence in corpora.sample(10_000, seed=5):
        chinese = sentence.chinese
        form = (chinese.tokens, chinese.tags, sentence.sentiment, round(chinese.log_probability, 9))
        assert forms.setdefault(chinese.text, form) == form
        assert len(chinese.tokens) == len(chinese.tags) and "".join(chinese.tokens) == chinese.text
        assert not set(chinese.text) & set("*~< ")


@pytest.mark.slow
def test_what_english_may_leave_out_is_the_only_thing_that_chinese_does_not_say():
    texts = collections.defaultdict(set)
    for sentence in corpora.sample(10_000, seed=6):
        texts[sentence.chinese.text].add(sentence.text.replace(" that ", " "))
        more = sentence.chinese.log_probability - sentence.log_probability
        assert more / math.log(2) == pytest.approx(round(more / math.log(2)), abs=1e-6)
    assert all(len(found) == 1 for found in texts.values())


def test_was_and_were_agree_with_their_subject_whatever_is_between_them():
    """In every sample, a sentence with the other number of one of its verbs is outside the grammar."""
    other = {"was": "were", "were": "was", "is": "are", "are": "is"}
    across = 0
    for sentence in SAMPLE:
        words = sentence.text.split()
        for place in [place for place, word in enumerate(words) if word in other]:
            wrong = [*words[:place], other[words[place]], *words[place + 1 :]]
            assert log_probability(" ".join(wrong)) == -math.inf, wrong
            across += sentence.tags[:place].count("NOUN") > 1
    assert across > 100


def test_a_sentence_has_one_tag_for_each_token():
    for sentence in SAMPLE:
        assert len(sentence.tags) == len(sentence.text.split())


def test_some_words_have_more_than_one_part_of_speech():
    found = collections.defaultdict(set)
    for sentence in corpora.sample(6_000, seed=1):
        for word, tag in zip(sentence.text.split(), sentence.tags, strict=True):
            found[word].add(tag)
    assert {word for word, tags in found.items() if len(tags) > 1} >= {"watch", "book", "plans", "saw", "open", "clean"}
    assert {tag for tags in found.values() for tag in tags} == {
        "DET", "NOUN", "ADJ", "VERB", "AUX", "ADP", "PRON", "CCONJ", "PART", "ADV", "PUNCT",
    }  # fmt: skip


def test_translation_tags_and_sentiment_are_functions_of_the_english_sentence():
    forms = {}
    for sentence in corpora.sample(6_000, seed=2):
        form = (sentence.translation, tuple(sentence.tags), sentence.sentiment)
        assert forms.setdefault(sentence.text, form) == form


def test_spanish_contracts_a_el_and_de_el():
    spanish = [sentence.translation.split() for sentence in SAMPLE]
    pairs = {pair for words in spanish for pair in itertools.pairwise(words)}
    assert not pairs & {("a", "el"), ("de", "el")}
    assert {"al", "del"} <= set(itertools.chain(*spanish))


def test_each_sentiment_has_between_a_quarter_and_a_half_of_the_sentences():
    counts = collections.Counter(label for _, label in corpora.load("classifier", 2_000, 10).train)
    assert set(counts) == {"positive", "negative", "neutral"}
    assert all(500 <= count <= 1_000 for count in counts.values())


@pytest.mark.parametrize(
    "formula, values, expected",
    [
        ("2 1", [1, -1], -1),
        ("2 1", [1, 0], 1),
        ("-2", [1, 1], -1),
        ("1+2", [1, -1], 0),
        ("1+2", [1, 1], 1),
        ("-", [], -1),
    ],
)
def test_sentiment_is_composed_as_the_formula_says(formula, values, expected):
    assert grammar.polarity(formula, values) == expected


@pytest.mark.parametrize("task", TASKS)
def test_the_splits_have_their_sizes_and_share_no_sentence(task):
    corpus = corpora.load(task, train_size=300, held_out_size=40)
    assert [len(corpus.train), len(corpus.valid), len(corpus.test)] == [300, 40, 40]
    train, valid, test = ({str(x if task == "language-model" else x[0]) for x in split} for split in corpus[:3])
    assert not (train & valid or train & test or valid & test)


@pytest.mark.parametrize("task", TASKS)
def test_a_corpus_may_be_chinese(task):
    corpus = corpora.load(task, train_size=2_000, held_out_size=40, language="chinese")
    assert [len(corpus.train), len(corpus.valid), len(corpus.test)] == [2_000, 40, 40]
    texts = {
        "language-model": lambda example: example,
        "labeler": lambda example: "".join(example[0]),
        "classifier": lambda example: example[0],
        "encoder-decoder": lambda example: example[1],
    }[task]
    train, valid, test = (set(map(texts, split)) for split in corpus[:3])
    for name, found in {"train": train, "valid": valid, "test": test}.items():
        assert {corpora.split_of(text) for text in found} == {name}  # so that none is in two, whatever its English is
    assert "本" in "".join(train) and not any(character.isspace() for text in train for character in text)
    if task == "encoder-decoder":
        assert all(source.isascii() for source, _ in corpus.train)


def test_the_lowest_perplexity_of_chinese_is_that_of_its_characters():
    corpus, pairs = (corpora.load(task, 5, 50, language="chinese") for task in ("language-model", "labeler"))
    nats = -sum(log_probability_in_chinese(*example) for example in pairs.test)
    assert corpus.lowest_perplexity == pytest.approx(math.exp(nats / sum(len(text) + 1 for text in corpus.test)))


def test_an_unknown_language_is_a_value_error_that_names_the_languages():
    with pytest.raises(ValueError, match="language must be one of 'english', 'chinese'.*Received: language='spanish'"):
        corpora.load("labeler", language="spanish")


def test_the_splits_of_two_seeds_share_no_sentence_either():
    train = set(corpora.load("language-model", 3_000, 10, seed=0).train)
    assert not train & set(corpora.load("language-model", 10, 300, seed=1).test)


def test_a_tenth_of_the_sentences_is_held_out_for_each_split_whatever_their_length():
    splits = collections.Counter(corpora.split_of(sentence.text) for sentence in SAMPLE)
    assert 0.75 < splits["train"] / len(SAMPLE) < 0.85
    assert 0.08 < splits["valid"] / len(SAMPLE) < 0.12
    lengths = {len(sentence.text) for sentence in SAMPLE if corpora.split_of(sentence.text) == "test"}
    assert len({length % 10 for length in lengths}) == 10


def test_every_task_has_the_same_sentences():
    text, labeler, classifier, pairs = (corpora.load(task, 50, 5).train for task in TASKS)
    assert [" ".join(tokens) for tokens, _ in labeler] == text
    assert [source for source, _ in classifier] == text
    assert [source for source, _ in pairs] == text


def test_the_lowest_perplexity_is_that_of_the_test_split():
    corpus = corpora.load("language-model", 10, 50)
    nats = -sum(log_probability(text) for text in corpus.test)
    tokens = sum(len(text.split()) + 1 for text in corpus.test)
    assert corpus.lowest_perplexity == pytest.approx(math.exp(nats / tokens))


def test_no_sentence_has_no_perplexity():
    assert math.isnan(corpora.load("language-model", 5, 0).lowest_perplexity)


@pytest.mark.parametrize("task", TASKS[1:])
def test_only_the_language_model_has_a_lowest_perplexity(task):
    assert corpora.load(task, 5, 5).lowest_perplexity is None


def test_the_default_corpus_is_rich_small_and_fast():
    start = time.process_time()
    corpus = corpora.load("language-model")
    assert time.process_time() - start < 6  # about 1.5 s on an idle core
    assert len(set(corpus.test)) >= 0.98 * len(corpus.test)
    counts = collections.Counter(word for text in corpus.train for word in text.split())
    assert 120 <= len(counts) <= 220
    assert min(counts.values()) >= 25
    assert {word for text in corpus.test for word in text.split()} <= counts.keys()


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another():
    assert corpora.load("encoder-decoder", 50, 5, seed=4) == corpora.load("encoder-decoder", 50, 5, seed=4)
    assert corpora.load("encoder-decoder", 50, 5, seed=4) != corpora.load("encoder-decoder", 50, 5, seed=5)


def test_the_corpus_does_not_depend_on_the_hash_seed_of_python():
    # Not through seq_models itself, which imports TensorFlow.
    code = (
        "import sys, types; package = types.ModuleType('seq_models'); package.__path__ = ['seq_models'];"
        "sys.modules['seq_models'] = package; from seq_models.text import corpora;"
        "print(corpora.load('language-model', 40, 5)); assert 'tensorflow' not in sys.modules"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("task", ["parser", "multi-label"])
def test_an_unknown_task_is_a_value_error_that_names_the_tasks(task):
    with pytest.raises(ValueError, match=f"'language-model', 'labeler'.*Received: task='{task}'"):
        corpora.load(task)
