"""Right scores: small inputs that once failed, each with its kind."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from seqeval.metrics import f1_score, precision_score, recall_score
from toy import small

import seq_models as sm
from seq_models.cli import main
from seq_models.tasks.translation_scores import tokenizer_for, translation_scores
from seq_models.text.entities import entities_by_row, scheme_of, spans, tag_codes
from seq_models.text.labels import Labels
from seq_models.training.metrics import EntityF1
from seq_models.training.strategy import distribute, make_strategy

BIOES = "Anna S-PER\nin O\nNew B-LOC\nYork E-LOC\n\nThe O\nBank B-ORG\nof I-ORG\nLyon E-ORG\n"
SEEN = "Anna B-PER\nreads O\n\nLyon B-LOC\nsleeps O\n\nthe O\nroom O\n"
UNSEEN = "Anna B-PER\nreads O\n\nAcme B-ORG\nsleeps O\n"
CHINESE = [
    ("I like tea", "我喜欢茶"),
    ("he reads a book", "他看书"),
    ("the cat sleeps on the bed", "猫在床上睡觉"),
    ("we go to school tomorrow", "我们明天去学校"),
    ("the weather is very good today", "今天天气很好"),
]
SPACED = "the phone is sad .\tel teléfono está triste .\nthe house is big !\t¡ la casa es grande !\n"


def entities(tags):
    """Entities by the rules of conlleval, one tag after the other: a list of (type, first, last)."""
    found, start = [], None
    for place, (before, tag) in enumerate(zip(["O", *tags], [*tags, "O"], strict=True)):
        (letter, _, kind), (last, _, kind_before) = tag.partition("-"), before.partition("-")
        begins = letter in "BSU" or last in ("O", "E", "S", "L", "U") or kind != kind_before
        if start is not None and (letter == "O" or begins):
            found.append((kind_before, start, place - 1))
            start = None
        if letter != "O" and begins:
            start = place
    return found


def random_tags(generator, letters, rows, longest):
    tags = ["O", *(f"{letter}-{kind}" for letter in letters for kind in ("PER", "LOC-X"))]
    return [generator.choice(tags, length).tolist() for length in generator.integers(1, longest, rows)]


@pytest.mark.parametrize("letters", ["BI", "I", "BIES", "BILU"])
def test_entities_are_those_of_conlleval_whatever_the_tags(letters):
    generator = np.random.default_rng(len(letters))
    expected, predicted = (random_tags(generator, letters, 40, 9) for _ in range(2))
    predicted = [(row + ["O"] * 9)[: len(other)] for row, other in zip(predicted, expected, strict=True)]
    for tags in expected:
        found = spans(tag_codes(tf.constant([tags]))).numpy()
        assert [(first, end - 1) for _, first, end, _ in found.tolist()] == [place[1:] for place in entities(tags)]
    there, guessed, correct = entities_by_row(expected, predicted).sum(axis=0)
    assert there == sum(len(entities(tags)) for tags in expected)
    both = [len({*entities(a)} & {*entities(b)}) for a, b in zip(expected, predicted, strict=True)]
    assert correct == sum(both) > 0
    spelled = str.maketrans("LU", "ES")  # what seqeval reads
    translated = [[[t[0].translate(spelled) + t[1:] for t in row] for row in side] for side in (expected, predicted)]
    assert correct / guessed == pytest.approx(precision_score(*translated))
    assert correct / there == pytest.approx(recall_score(*translated))


def test_the_metric_of_a_validation_is_the_f1_of_seqeval_under_masks_and_in_parts():
    generator = np.random.default_rng(5)
    expected = random_tags(generator, "BI", 50, 12)
    names = sorted({tag for row in expected for tag in row})
    guesses = [[tag if generator.random() < 0.7 else generator.choice(names) for tag in row] for row in expected]
    metric, labels = EntityF1(names), Labels(names)
    for start in range(0, 50, 7):  # batches of other lengths each
        sides = [tf.ragged.constant(side[start : start + 7]) for side in (expected, guesses)]
        targets, predictions = (labels.ids(side).to_tensor(2) for side in sides)  # padding is some entity or other
        metric.update_state(targets, predictions, tf.sequence_mask(sides[0].row_lengths(), dtype=tf.float32))
    assert float(metric.result()) == pytest.approx(f1_score(expected, guesses))
    assert 0 < float(metric.result()) < 1


def test_an_entity_counts_as_its_example_does_in_scores_comparison_and_validation():
    random = np.random.default_rng(4)
    texts = [random.choice(list("abcd"), length).tolist() for length in (5, 6, 1, 7, 4, 6, 5, 7)]
    known = [(text, ["B-X", "O"] * (len(text) // 2) + ["I-X"] * (len(text) % 2)) for text in texts]
    options = {"tokenizer": "whitespace", "units": 4, "characters": False, "head": "softmax"}
    model = sm.SequenceLabeler.from_examples(known, **options)
    model.set_weights([w if w.ndim == 0 else random.normal(size=w.shape, scale=2) for w in model.get_weights()])
    model.network.head.bias.assign([0, 0])
    answers = model.predict_text(texts)  # of which every other one is said to be right
    texts = [(t, a["tags"] if k % 2 else ["B-X"] * len(t)) for k, (t, a) in enumerate(zip(texts, answers, strict=True))]
    weights = [3, 1, 0, 2, 1, 1, 4, 1]
    weighted = [(*example, weight) for example, weight in zip(texts, weights, strict=True)]
    repeated = [example for example, weight in zip(texts, weights, strict=True) for _ in range(weight)]
    scores, plain = model.score(weighted), model.score(texts)
    assert scores == pytest.approx(model.score(repeated), rel=1e-6)
    assert scores["entity_f1"] != plain["entity_f1"] and 0 < scores["entity_f1"] < 1
    assert sm.compare(model, model, weighted, resamples=100).one == pytest.approx(scores["entity_f1"])
    model.compile()
    logs = [model.evaluate(model.dataset(each), verbose=0, return_dict=True) for each in (weighted, repeated)]
    assert logs[0]["entity_f1"] == pytest.approx(logs[1]["entity_f1"]) == pytest.approx(scores["entity_f1"])
    tenths = [(*example, 0.1) for example in texts]
    assert model.score(tenths) == pytest.approx(plain, rel=1e-6)
    assert sm.compare(model, model, tenths[:2], resamples=100).one == pytest.approx(model.score(texts[:2])["entity_f1"])


def test_an_unseen_tag_is_an_entity_that_is_missed_by_the_metric_too():
    labels = Labels(["B-PER", "O"])
    metric = EntityF1(labels.names)
    targets = labels.ids(tf.constant([["B-PER", "O", "B-ORG", "I-ORG", "B-PER", "I-PER"]]))
    metric.update_state(targets, tf.constant([[0, 1, 1, 1, 0, 1]]))
    # There are PER, ORG and a PER of two; predicted are PER right and PER of one token.
    assert float(metric.result()) == pytest.approx(2 * 1 / (3 + 2))


@pytest.mark.parametrize(
    ("labels", "scheme", "others"),
    [
        ("B-A I-A O", "BIO", ""),
        ("I-A I-B", "BIO", ""),
        ("S-A B-A E-A", "BIOES", ""),
        ("U-A B-A L-A I-A O", "BILOU", ""),
        ("B-A M-A E-A O", "BMES", ""),
        ("B-A I-A L-A S-B E-B O", "BIOES", "L-A"),
        ("B-A I-A PER O", "BIO", "PER"),
        ("NOUN VERB S-A", None, ""),
        ("O", None, ""),
    ],
)
def test_the_scheme_is_found_from_the_labels(labels, scheme, others):
    assert scheme_of(labels.split()) == (scheme, others.split())


def test_tags_of_two_schemes_are_named(tmp_path, capsys):
    (tmp_path / "mixed.conll").write_text(BIOES.replace("E-ORG", "L-ORG"))
    sm.SequenceLabeler.from_examples(sm.read_examples(tmp_path / "mixed.conll"), units=4)
    assert "one scheme, as BIOES. Received: 'L-ORG'" in capsys.readouterr().err


def train(tmp_path, task, train, *settings, valid=None):
    """Trains by the command line, learnt by heart; returns the run."""
    run = str(tmp_path / "run")
    files = ["--train", str(train), "--valid", str(valid or train)]
    defaults = ["epochs=60", "patience=60", "learning_rate=0.02", "units=16", "watch_share=0"]
    assert main(["train", task, *files, "--out", run, "--set", *defaults, *settings]) == 0
    return run


def scores(run, path, capsys):
    capsys.readouterr()
    assert main(["evaluate", run, "--data", str(path), "--json", "--report", f"{run}/report"]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out.splitlines()[-1]), captured.err


@pytest.mark.slow
def test_bioes_tags_are_scored_as_entities_and_choose_the_best_epoch(tmp_path, capsys):
    path = tmp_path / "bioes.conll"
    path.write_text(BIOES)
    run = train(tmp_path, "labeler", path, "characters=false")
    found, _ = scores(run, path, capsys)
    assert {**found, "ece": 0} == {"accuracy": 1, "ece": 0, "entity_precision": 1, "entity_recall": 1, "entity_f1": 1}
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["best"]["val_entity_f1"] == 1


@pytest.mark.slow
def test_an_unseen_label_counts_as_wrong_in_evaluation_and_validation(tmp_path, capsys):
    for name, text in {"train": SEEN, "test": UNSEEN}.items():
        (tmp_path / f"{name}.conll").write_text(text)
    run = train(tmp_path, "labeler", tmp_path / "train.conll", "characters=false", valid=tmp_path / "test.conll")
    warning = "Labels that training has not seen count as wrong, and not in the loss: 1 in all, B-ORG (1)."
    assert capsys.readouterr().err.count(warning) == 1
    found, err = scores(run, tmp_path / "test.conll", capsys)
    assert found["accuracy"] <= 3 / 4
    assert found["entity_recall"] <= 1 / 2
    assert err.count(warning) == 1
    best = json.loads((tmp_path / "run" / "metrics.json").read_text())["best"]
    assert np.isfinite(best["val_loss"])
    assert best["val_accuracy"] == pytest.approx(found["accuracy"])
    assert best["val_entity_f1"] == pytest.approx(found["entity_f1"])


def test_an_unseen_class_counts_as_wrong():
    model = small("classifier")
    texts = [("a b c", "long"), ("a", "medium")]
    assert model.score(texts)["accuracy"] <= 1 / 2
    model.compile()
    logs = model.evaluate(model.dataset(texts), return_dict=True, verbose=0)
    alone = model.evaluate(model.dataset(texts[:1]), return_dict=True, verbose=0)
    assert logs["loss"] == pytest.approx(alone["loss"])
    assert logs["accuracy"] == alone["accuracy"] / 2


def test_tokens_that_are_cut_off_are_missed():
    examples = [("a b c d e e e d".split(), "A B C D E E E D".split())]
    model = small("labeler", max_length=5)
    predicted = model.predict_text(["a b c d e e e d"])[0]["tags"]
    right = sum(map(str.__eq__, examples[0][1], predicted))
    assert model.score(examples)["accuracy"] == right / 8


@pytest.mark.parametrize(
    ("targets", "tokenizer"),
    [
        ([target for _, target in CHINESE], "zh"),
        (["彼は本を読む", "猫がベッドで寝る"], "char"),
        (["고양이가 침대에서 잔다"], "char"),
        (["แมวนอน"], "char"),
        (["el gato duerme", "我"], "13a"),
        (["кот спит"], "13a"),
        (["12 + 3"], "13a"),
    ],
)
def test_bleu_is_of_the_tokens_of_the_targets_script_and_100_for_right_answers(targets, tokenizer):
    assert tokenizer_for(targets) == tokenizer
    found = translation_scores(targets, targets)
    assert found["bleu"] == pytest.approx(100)
    assert f"tok:{tokenizer}|" in found["bleu_signature"]
    assert "version:" in found["chrf_signature"] and "case:lc|" in found["bleu_lowercased_signature"]


def test_the_edits_of_chinese_are_those_of_its_characters():
    found = translation_scores(["我喜欢这个地方"], ["我喜欢那个地方"])
    assert found["ter"] == pytest.approx(100 / 7)
    assert "asian:yes" in found["ter_signature"]


def test_bleu_of_chinese_pairs_is_100_for_the_right_answers(monkeypatch):
    model = sm.EncoderDecoder.from_examples(CHINESE, units=4)
    monkeypatch.setattr(model, "predict_text", lambda texts: [{"translation": dict(CHINESE)[text]} for text in texts])
    found = model.score(CHINESE)
    assert found["bleu"] == pytest.approx(100)
    assert found["exact_match"] == 1


@pytest.mark.parametrize("right", ["yes", "it is", "a b c"])
def test_right_answers_of_few_tokens_have_a_bleu_of_100_and_wrong_ones_less(right):
    assert translation_scores([right], [right])["bleu"] == pytest.approx(100)
    assert translation_scores(["no"], [right])["bleu"] == 0


@pytest.mark.slow
def test_an_answer_that_is_the_target_but_for_spaces_is_exact(tmp_path, capsys):
    (tmp_path / "spaced.tsv").write_text(SPACED)
    run = train(tmp_path, "encoder-decoder", tmp_path / "spaced.tsv")
    found, _ = scores(run, tmp_path / "spaced.tsv", capsys)
    assert found["exact_match"] == 1
    assert found["bleu_signature"].startswith("nrefs:1|case:mixed|eff:yes|tok:13a|")


@pytest.mark.slow
def test_two_replicas_count_the_entities_of_both():
    generator = np.random.default_rng(3)
    tags = random_tags(generator, "BI", 16, 6)
    examples = [([f"w{number}" for number in range(len(row))], row) for row in tags]
    found, weights = [], None
    for kind in ("one", "mirrored"):
        strategy = make_strategy(kind)
        with strategy.scope():
            keras.utils.set_random_seed(1)
            model = sm.SequenceLabeler.from_examples(examples, units=4, characters=False)
            model.compile(keras.optimizers.Adam(0.05))
        if weights is None:
            model.fit(model.dataset(examples, batch_size=8), epochs=4, verbose=0)
            weights = model.get_weights()
        model.set_weights(weights)
        data = distribute(strategy, model.dataset(examples, batch_size=6))
        found.append(model.evaluate(data, return_dict=True, verbose=0)["entity_f1"])
        assert model.distribute_strategy.num_replicas_in_sync == len(found)
        assert found[-1] == pytest.approx(model.score(examples)["entity_f1"])
    assert 0 < found[0] < 1
