"""Two models compared: the scores are theirs, and the interval is that of all samples there could be."""

import itertools
import json
import math
import types

import numpy as np
import pytest
import tensorflow as tf
from sacrebleu.metrics import BLEU
from toy import EXAMPLES, PLAIN, small

from seq_models import cli
from seq_models.catalog import load_run
from seq_models.errors import InputError
from seq_models.tasks import comparison
from seq_models.tasks.comparison import compare
from seq_models.tasks.judging import Judged
from seq_models.text.example_types import LabeledText, TextPair

TAGS = [(["Ann", "Lee", "ran"], ["B-PER", "I-PER", "O"]), (["Bo"], ["B-PER"]), (["in", "Rome"], ["O", "B-LOC"])]


def said(right, weights=None):
    """A model whose answers are known: right or wrong, an example each."""
    weights = [1.0] * len(right) if weights is None else weights
    judged = [
        Judged(k, w, 0.0, 1, ["x"], ["x" if r else "y"]) for k, (r, w) in enumerate(zip(right, weights, strict=True))
    ]
    labels = types.SimpleNamespace(names=["x", "y"])
    preprocessor = types.SimpleNamespace(example_type=LabeledText(), labels=labels)
    return types.SimpleNamespace(judged=judged, preprocessor=preprocessor, task_name="classifier")


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(comparison, "judge", lambda model, _: model.judged)
    monkeypatch.setattr(comparison, "check_examples", lambda *_: None)


@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5, 2.0, 1.0]], ids=["plain", "weighted"])
def test_the_interval_and_p_are_those_of_all_samples(known, weights):
    right = np.array([[1, 1, 1, 0, 1], [0, 1, 0, 1, 0]])
    found = compare(*(said(row, weights) for row in right), EXAMPLES["classifier"], resamples=40_000)
    w = np.ones(5) if weights is None else np.array(weights)
    places = np.array(list(itertools.product(range(5), repeat=5)))  # every sample is as likely
    differences = ((right[0] - right[1]) * w)[places].sum(axis=1) / w[places].sum(axis=1)
    assert found.difference == pytest.approx(((right[0] - right[1]) * w).sum() / w.sum())
    low, high = np.percentile(differences, [2.5, 97.5])
    steps = np.unique(differences)
    # A percentile of a distribution of steps may fall on the step before or after.
    assert abs(np.searchsorted(steps, found.low) - np.searchsorted(steps, low)) <= 1
    assert abs(np.searchsorted(steps, found.high) - np.searchsorted(steps, high)) <= 1
    assert found.p == pytest.approx(2 * (differences <= 1e-12).mean(), abs=0.01)
    assert found.examples == 5


def test_the_sign_turns_with_the_models_and_the_same_one_twice_differs_in_nothing(known):
    one, other = said([1, 1, 1, 1, 0, 1, 1, 1]), said([0, 1, 0, 1, 0, 1, 0, 1])
    found, turned = compare(one, other, [], seed=3), compare(other, one, [], seed=3)
    assert (found.one, found.other) == (7 / 8, 4 / 8) == (turned.other, turned.one)
    assert (found.low, found.high) == pytest.approx((-turned.high, -turned.low))
    assert found.p == turned.p
    assert compare(one, one, [])[3:] == (0, 0, 0, 1, 8)


def test_more_examples_of_the_same_make_it_surer(known):
    ps = [compare(said([1, 1, 1, 0] * k), said([1, 0, 0, 1] * k), []).p for k in (1, 10, 100)]
    assert ps == sorted(ps, reverse=True) and ps[0] > 0.1 > 0.01 > ps[2]


@pytest.mark.parametrize("task", ["labeler", "classifier"])
def test_the_scores_are_those_of_an_evaluation(task):
    models = small(task), small(task, units=7)
    found = compare(*models, EXAMPLES[task], resamples=100)
    assert [found.one, found.other] == pytest.approx([model.score(EXAMPLES[task])["accuracy"] for model in models])
    assert found.measure == "accuracy"


@pytest.mark.slow
def test_the_scores_of_entities_are_those_of_an_evaluation():
    labeler = type(small("labeler"))
    options = {"tokenizer": "whitespace", "units": 5, "embedding_units": 4, "characters": False}
    models = [labeler.from_examples(TAGS, head=head, **options) for head in ("softmax", "crf")]
    found = compare(*models, TAGS, resamples=100)
    assert found.measure == "entity_f1"
    assert [found.one, found.other] == pytest.approx([model.score(TAGS)["entity_f1"] for model in models])


def test_the_perplexities_are_those_of_an_evaluation_of_sentences():
    models = small("language-model"), small("language-model", units=7)
    found = compare(*models, EXAMPLES["language-model"], resamples=100)
    scores = [model.score(EXAMPLES["language-model"])["perplexity"] for model in models]
    assert [found.one, found.other] == pytest.approx(scores, rel=1e-5)


@pytest.mark.parametrize("task", ["classifier", "language-model"])
def test_weighted_examples_count_by_weight(task):
    values = EXAMPLES[task] if task == "classifier" else [(text,) for text in EXAMPLES[task]]
    examples = [(*value, weight) for value, weight in zip(values, [0, 3, 1, 0.5, 2, 1, 1, 4], strict=True)]
    model = small(task)
    score = model.score(examples)[{"classifier": "accuracy", "language-model": "perplexity"}[task]]
    assert compare(model, small(task, units=7), examples, resamples=100).one == pytest.approx(score, rel=1e-5)


def test_examples_that_all_count_nothing_have_no_score():
    with pytest.raises(InputError, match="Some example must have a weight above 0. Received: "):
        small("classifier").score([(text, label, 0) for text, label in EXAMPLES["classifier"]])


def test_what_each_model_has_not_seen_and_that_examples_are_few_is_said(capsys):
    seen = small("classifier")
    unseen = type(seen).from_examples([("a b", "long"), ("c", "other")], tokenizer="whitespace", units=4)
    for models in ((seen, unseen), (unseen, seen)):
        compare(*models, EXAMPLES["classifier"], resamples=100)
        said = capsys.readouterr().err
        assert "training has not seen" in said and "short (5)" in said
        assert "8 examples are few" in said
    compare(seen, seen, EXAMPLES["classifier"] * 3, resamples=100)
    assert "few" not in capsys.readouterr().err


WORDS = ["the green witch arrived at home", "a b c d e f", "it is late", "no", "we saw Mary and her dog there"]


def translator(answers, targets):
    """A model whose translations are known."""
    preprocessor = types.SimpleNamespace(example_type=TextPair())
    answer_to = dict(zip(map(str, range(len(targets))), answers, strict=True))
    predict_text = lambda texts: [{"translation": answer_to[text]} for text in texts]  # noqa: E731
    return types.SimpleNamespace(preprocessor=preprocessor, task_name="encoder-decoder", predict_text=predict_text)


def test_translations_are_compared_by_corpus_bleu_of_samples_of_sentences(known):
    answers = [list(WORDS), list(WORDS)]
    answers[0][0], answers[1][1], answers[1][4] = "the green witch came home", "a b", "we saw Mary and a dog there"
    models = [translator(each, WORDS) for each in answers]
    examples = [(str(k), target) for k, target in enumerate(WORDS)]
    found = compare(*models, examples, resamples=4_000)

    def bleu(translated, places):
        chosen, targets = ([texts[k] for k in places] for texts in (translated, WORDS))
        return BLEU(tokenize="13a", effective_order=True).corpus_score(chosen, [targets]).score

    assert (found.measure, found.examples) == ("bleu", 5) and not found.lower_is_better
    everything = range(len(WORDS))
    assert [found.one, found.other] == pytest.approx([bleu(each, everything) for each in answers])
    samples = list(itertools.combinations_with_replacement(everything, 5))
    ways = [math.factorial(5) / math.prod(math.factorial(each.count(k)) for k in everything) for each in samples]
    differences = np.array([bleu(answers[0], each) - bleu(answers[1], each) for each in samples])
    against = sum(way for way, difference in zip(ways, differences, strict=True) if difference <= 0) / 5**5
    assert 0 < found.p == pytest.approx(2 * against, abs=0.04)
    order = np.argsort(differences)
    cumulative = np.cumsum(np.array(ways)[order]) / 5**5
    for end, share in ((found.low, 0.025), (found.high, 0.975)):
        low, high = (differences[order][np.searchsorted(cumulative, share + more)] for more in (-0.01, 0.01))
        assert low - 1e-9 <= end <= high + 1e-9


@pytest.fixture
def eager():
    """To trace a search takes longer than its few steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_bleu_of_a_comparison_is_that_of_an_evaluation_and_of_the_search_that_is_asked_for(tmp_path, capsys):
    examples = EXAMPLES["encoder-decoder"]
    for name, options in (("a", {}), ("b", {"beam_width": 2})):
        model = small("encoder-decoder", **{**PLAIN, "max_length": 6, **options})
        model.network.head.bias.assign([0, 0, 0, 1, 1, 1, 1, 1, 1])
        model.save_run(tmp_path / name)
    (tmp_path / "data.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in examples), "utf-8")
    command = ["compare", *(str(tmp_path / name) for name in "ab"), "--data", str(tmp_path / "data.tsv"), "--json"]
    assert cli.main(command) == 0
    found = json.loads(capsys.readouterr().out)
    scores = [load_run(tmp_path / name).score(examples)["bleu"] for name in "ab"]
    assert found["measure"] == "bleu" and [found["one"], found["other"]] == pytest.approx(scores)
    assert cli.main([*command, "--beam-width", "2", "--min-length", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["one"], found["difference"]) == (found["other"], 0)


@pytest.mark.slow
def test_what_cannot_be_compared_is_said():
    examples = EXAMPLES["classifier"]
    with pytest.raises(InputError, match="The models must be of one task. Received: classifier and labeler"):
        compare(small("classifier"), small("labeler"), examples)
    texts, language_model = EXAMPLES["language-model"], type(small("language-model"))
    for options, differing in (
        ({"tokenizer": "whitespace", "min_count": 4}, "vocabulary"),
        ({"tokenizer": "words", "lowercase": True}, "tokenizer and lowercase"),
        ({"tokenizer": "whitespace", "normalization": "nfkc"}, "normalization"),
    ):
        other = language_model.from_examples(texts, units=4, **options)
        with pytest.raises(InputError, match=f"same tokens of a text, .* Received: another {differing}$"):
            compare(small("language-model"), other, texts)
    with pytest.raises(InputError, match="examples must be at least two. Received: 1"):
        compare(small("classifier"), small("classifier"), examples[:1])
    for wrong in ({"resamples": 0}, {"resamples": 99}, {"resamples": 10**7}, {"resamples": 2e3}, {"seed": -1}):
        [name] = wrong
        with pytest.raises(InputError, match=f"{name} must be an integer from .* to .*. Received: {name}="):
            compare(small("classifier"), small("classifier"), examples, **wrong)


@pytest.mark.slow
def test_the_command_prints_both_scores_and_what_they_differ_by(tmp_path, capsys):
    for name, units in (("a", 5), ("b", 7)):
        small("classifier", units=units).save_run(tmp_path / name)
    (tmp_path / "data.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in EXAMPLES["classifier"]), "utf-8")
    command = ["compare", *(str(tmp_path / name) for name in "ab"), "--data", str(tmp_path / "data.tsv")]
    assert cli.main(command) == 0
    first, second, difference = capsys.readouterr().out.splitlines()
    assert first.startswith("accuracy ") and first.endswith(str(tmp_path / "a"))
    assert second.startswith("accuracy ") and second.endswith(str(tmp_path / "b"))
    assert difference.startswith("difference ") and "8 examples, 1,000 samples" in difference
    assert cli.main([*command, "--json", "--resamples", "100"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert first.split()[1] == f"{found['one']:.4f}" and second.split()[1] == f"{found['other']:.4f}"
    assert cli.main([*command, "--resamples", "0"]) == 2
