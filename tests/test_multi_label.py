"""Texts with any number of labels: reading, head, loss, scores, thresholds, answers, the command line."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import f1_score

import seq_models as sm
from seq_models import cli
from seq_models.exports.operations import forbidden, known
from seq_models.layers import SigmoidHead
from seq_models.tasks.report import report
from seq_models.tasks.thresholds import best_threshold, choose_thresholds_of_run
from seq_models.text.batching import lengths_of
from seq_models.text.given import Given
from seq_models.text.inspection import inspect_examples
from seq_models.training.run_directory import RunDirectory
from seq_models.training.strategy import make_strategy

H, K = 4, 3
EXAMPLES = [
    ("good cheap food", ["price", "food"]),
    ("bad food here", "food"),
    ("hello", []),
    ("cheap price , food and staff", " staff,price , food"),
    ("rude staff", ["staff", "staff"]),
]
SETS = [("food", "price"), ("food",), (), ("food", "price", "staff"), ("staff",)]
NAMES = ["food", "price", "staff"]
SMALL = {"units": 5, "tokenizer": "whitespace", "dropout": 0.0, "pooling": "mean"}


def small(seed=3, **options):
    keras.utils.set_random_seed(seed)
    model = sm.MultiLabelClassifier.from_examples(EXAMPLES, **{**SMALL, **options})
    model.network.head.kernel.assign(20 * model.network.head.kernel.numpy())  # some labels more probable than others
    return model


@pytest.fixture(scope="module")
def model():
    """One that no test changes."""
    return small()


def given(model, examples=EXAMPLES, threshold=0.5):
    """What the model gives to examples, 0 or 1 (N, K), from its probabilities."""
    answers = model.predict_text([example[0] for example in examples])
    return (np.array([answer["probabilities"] for answer in answers]) >= threshold).astype(int)


# Examples


def test_a_table_of_answers_is_read_again(model, tmp_path):
    model.save_run(tmp_path / "run")
    (tmp_path / "in.txt").write_text("good cheap food\nhello\nrude staff\n", "utf-8")
    for ending in ("tsv", "csv", "jsonl"):
        out = tmp_path / f"answers.{ending}"
        assert (
            cli.main(["predict", str(tmp_path / "run"), "--input", str(tmp_path / "in.txt"), "--output", str(out)]) == 0
        )
        assert model.score(list(sm.read_examples(out)))["exact_match"] == 1


@pytest.mark.parametrize("labels", [["a,b"], '["a,b"]', "[a", '["a", 3]', '[["a"]]', ["[x]"]], ids=str)
def test_a_label_that_could_not_be_told_from_several_is_refused(labels):
    with pytest.raises(sm.InputError, match="expected labels without commas that do not begin with"):
        sm.MultiLabelClassifier.from_examples([("a b", "x"), ("c", labels)], **SMALL)


def test_thresholds_are_not_chosen_by_examples_without_labels(model):
    before = model.thresholds
    with pytest.raises(sm.InputError, match="Some example must have a label that training has seen. Received: none of"):
        model.choose_thresholds([("good", []), ("bad", ["unseen"])])
    assert model.thresholds == before


def test_labels_are_a_list_or_have_commas_between_them_and_their_order_means_nothing(tmp_path):
    assert sm.MultiLabelClassifier.from_examples(EXAMPLES, **SMALL).preprocessor.labels.names == NAMES
    kind = sm.MultiLabelClassifier.preprocessor_class.example_type
    assert [kind.labels(example) for example in EXAMPLES] == SETS
    rows = [{"text": text, "labels": labels} for text, labels in EXAMPLES]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert [kind.labels(example) for example in sm.read_examples(tmp_path / "a.jsonl")] == SETS
    (tmp_path / "a.tsv").write_text("text\tlabels\nbad food\tfood, staff\n", "utf-8")
    assert [kind.labels(example) for example in sm.read_examples(tmp_path / "a.tsv")] == [("food", "staff")]
    as_json = 'text,labels\ngood,"[""食物"",""staff""]"\nbad,[]\nfine, [ ] \n'
    (tmp_path / "a.csv").write_text(as_json, "utf-8")
    assert [kind.labels(example) for example in sm.read_examples(tmp_path / "a.csv")] == [("staff", "食物"), (), ()]
    conformed = list(Given([("a", np.array(["x", "y"])), ("b", (1, 2))], kind))
    assert conformed == [("a", ["x", "y"]), ("b", ["1", "2"])]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("food,,staff", "a.jsonl:1: expected a label between any two commas"),
        (["food", "a\nb"], "a.jsonl:1: expected no U.000A in a token or tag"),
        ([["food"]], "a.jsonl:1: expected a string, an integer or a boolean in 'labels'"),
        (None, "a.jsonl:1: expected a string, an integer or a boolean in 'labels'"),
    ],
)
def test_what_are_no_labels_is_refused_with_its_line(labels, message, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a", "labels": labels}) + "\n", "utf-8")
    with pytest.raises(sm.InputError, match=message):
        sm.MultiLabelClassifier.from_examples(sm.read_examples(tmp_path / "a.jsonl"), **SMALL)


def test_a_list_of_labels_is_none_of_another_classifier_and_some_example_has_a_label():
    with pytest.raises(sm.InputError, match="example 1: expected a text and a label.*Received: a text and its labels"):
        sm.SequenceClassifier.from_examples(EXAMPLES, **SMALL)
    with pytest.raises(sm.InputError, match="Some example must have a label. Received: none of any"):
        sm.MultiLabelClassifier.from_examples([("a", ""), ("b", [])], **SMALL)


def test_targets_say_of_each_label_whether_it_is_there_and_whether_one_is_unseen(model):
    _, targets, weights = model.batch([*EXAMPLES, ("food", "new, food", 2.0), ("", [])])
    expected = [[name in labels for name in NAMES] + [False] for labels in SETS]
    assert np.array_equal(targets, np.array([*expected, [1, 0, 0, 1], [0, 0, 0, 0]], float))
    assert weights.numpy().tolist() == [1, 1, 1, 1, 1, 2, 1]


def test_the_length_of_a_row_is_that_of_its_text_however_many_labels_there_are(model):
    rows = model.preprocessor.rows(EXAMPLES)
    assert [lengths_of(row) for row in rows] == [(len(example[0].split()) + 1,) for example in EXAMPLES]
    batches = list(model.dataset(EXAMPLES, batch_tokens=4))
    assert sum(len(weights) for _, _, weights in batches) == len(EXAMPLES)


def test_the_inspection_counts_labels_and_finds_other_sets_of_a_text():
    report = inspect_examples([*EXAMPLES, ("hello", "staff")], "multi-label")
    assert report.labels == {"food": 3, "staff": 3, "price": 2}
    assert any("1 text has different labels" in warning for warning in report.warnings)


# Head, loss and metrics


def test_the_head_is_its_equations_and_no_large_logit_overflows():
    head, hidden = SigmoidHead(K), np.random.normal(size=(6, H)).astype("float32")
    logits = head(hidden).numpy().astype(float)
    targets = np.random.randint(0, 2, (6, K))
    p = 1 / (1 + np.exp(-logits))
    losses, predicted = head.compare(hidden, targets)
    assert np.allclose(losses, -np.sum(np.where(targets, np.log(p), np.log(1 - p)), axis=1), atol=1e-5)
    assert np.allclose(head.probabilities(hidden), p, atol=1e-6)
    assert np.allclose(head.log_probability(hidden, targets), -losses.numpy())
    head.thresholds.assign([0.9, 0.1, 0.5])
    assert np.array_equal(head.predict(hidden), p >= [0.9, 0.1, 0.5])
    assert np.array_equal(predicted, p >= 0.5)
    losses, _ = head.compare(1e4 * hidden, targets)
    assert np.isfinite(losses).all()
    assert [weight.name for weight in head.non_trainable_weights] == ["thresholds"]
    assert SigmoidHead.from_config(head.get_config()).get_config() == head.get_config()
    for wrong in ({"label_smoothing": 0.1}, {"calibrated": True}):
        with pytest.raises(ValueError, match="needs one softmax over all classes"):
            SigmoidHead(K, **wrong)


def test_validation_reports_the_loss_and_scores_of_all_texts_by_their_weights(model):
    examples = [*EXAMPLES, ("cheap staff", "new,price", 3.0)]
    model.compile(weighted_metrics=[keras.metrics.BinaryCrossentropy(from_logits=True, name="mean_loss")])
    logs = [model.evaluate(model.dataset(examples, size), verbose=0, return_dict=True) for size in (2, 6)]
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)
    weights, predicted = np.array([1, 1, 1, 1, 1, 3.0]), given(model, examples)
    targets = np.array([[name in labels for name in NAMES] for labels in (*SETS, ("price",))], int)
    wide = np.pad(targets, [[0, 0], [0, 1]])
    wide[5, 3] = 1
    answers = np.pad(predicted, [[0, 0], [0, 1]])
    f1 = f1_score(wide, answers, average="micro", sample_weight=weights, zero_division=0)
    assert logs[0]["micro_f1"] == pytest.approx(f1)
    assert logs[0]["exact_match"] == pytest.approx(np.average((wide == answers).all(axis=1), weights=weights))
    assert logs[0]["mean_loss"] == pytest.approx(logs[0]["loss"] / K, rel=1e-5)


def test_replicas_and_parts_change_no_training(model):
    batch = model.batch(EXAMPLES)

    def trained(**options):
        model = small()
        model.compile(keras.optimizers.SGD(0.1), **options)
        model.train_step(batch)
        return model.get_weights()

    whole = trained()
    with make_strategy("one").scope():
        parts = trained(accumulate=3)
    for one, other, before in zip(whole, parts, small().get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-5)
        assert np.allclose(before, 0.5) or not np.array_equal(one, before)


def test_weights_of_classes_are_refused(model):
    with pytest.raises(sm.InputError, match="class_weights must be left out where a text may have several labels"):
        model.fit(model.dataset(EXAMPLES), class_weight={"food": 2.0})


# Answers and scores


def test_answers_have_the_labels_above_the_threshold_the_most_probable_first_and_all_probabilities(model):
    texts = [example[0] for example in EXAMPLES]
    seen = set()
    for answer, above in zip(model.predict_text(texts), given(model), strict=True):
        p = dict(zip(answer["classes"], answer["probabilities"], strict=True))
        assert answer["classes"] == NAMES and all(0 < value < 1 for value in p.values())
        expected = sorted((name for name, is_above in zip(NAMES, above, strict=True) if is_above), key=lambda n: -p[n])
        assert answer["labels"] == expected and answer["scores"] == [p[name] for name in expected]
        assert answer["lengths"] == len(expected)
        seen.add(len(expected))
        assert model.line(answer).split("\t")[0] == ",".join(expected)
    assert len(seen) > 1
    assert model.line({"labels": [], "scores": []}) == "\t"


def test_answers_go_by_the_threshold_of_each_label():
    model = small()
    [before] = model.predict_text(["good food"])
    low = [p - 1e-3 if k != 1 else p + 1e-3 for k, p in enumerate(before["probabilities"])]
    model.network.head.thresholds.assign(low)
    [answer] = model.predict_text(["good food"])
    assert sorted(answer["labels"]) == ["food", "staff"]
    assert np.all(np.diff(answer["scores"]) <= 0)


def test_a_server_has_all_operations_of_an_answer(model):
    graph = model._answer.get_concrete_function().graph
    operations = {op.type for op in graph.get_operations()} - {"SeqModelsLSTM"}  # of which an export has another
    assert not {op for op in operations if op not in known() or forbidden(op)}
    outputs = model._answer.get_concrete_function().structured_outputs
    assert {name: len(each.shape) for name, each in outputs.items()} == {
        "labels": 2, "scores": 2, "lengths": 1, "probabilities": 2, "classes": 2,
    }  # fmt: skip
    empty = model._answer(tf.constant([], tf.string))
    assert all(len(each) == 0 for each in empty.values())


def test_scores_are_those_of_scikit_learn_and_an_unseen_label_is_missed(model):
    examples = [*EXAMPLES, ("cheap staff", "new,price", 3.0)]
    scores = model.score(examples)
    weights = np.array([1, 1, 1, 1, 1, 3.0])
    names = [*NAMES, "new"]
    targets = np.array([[name in labels for name in names] for labels in (*SETS, ("price", "new"))], int)
    answers = np.pad(given(model, examples), [[0, 0], [0, 1]])
    for average in ("micro", "macro"):
        expected = f1_score(targets, answers, average=average, sample_weight=weights, zero_division=0)
        assert scores[f"{average}_f1"] == pytest.approx(expected)
    assert scores["exact_match"] == pytest.approx(np.average((targets == answers).all(axis=1), weights=weights))
    assert 0 < scores["micro_f1"] < 1 and 0 <= scores["ece"] <= 1
    with pytest.raises(sm.InputError, match="Some example must have a weight above 0"):
        model.score([("a", "food", 0)])


def test_an_unseen_label_is_said_once_where_thresholds_are_chosen(capsys):
    model = small()
    model.choose_thresholds([*EXAMPLES, ("cheap staff", "new,price")])
    assert capsys.readouterr().err.count("Labels that training has not seen") == 1


def test_the_report_and_the_comparison_count_labels(model):
    found = report(model, EXAMPLES)
    counts = {name: sum(name in labels for labels in SETS) for name in NAMES}
    rows = [line.split() for line in found.text().split("label  ")[1].splitlines()[1:4]]
    assert {row[0]: int(row[-1]) for row in rows} == counts
    predicted = dict(zip(NAMES, given(model).sum(axis=0), strict=True))
    assert {name: sum(n for (_, b), n in found.pairs.items() if b == name) for name in NAMES} == predicted
    compared = sm.compare(model, small(seed=4), EXAMPLES, resamples=100)
    assert compared.measure == "micro_f1" and compared.one == pytest.approx(model.score(EXAMPLES)["micro_f1"])


# Thresholds


def f1_above(p, there, weights, missed, threshold):
    above = p >= np.float32(threshold)
    both, total = np.sum(weights * (above & there)), np.sum(weights * there) + missed + np.sum(weights * above)
    return 2 * both / total


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_the_best_of_all(seed):
    random = np.random.default_rng(seed)
    p, missed = np.round(random.random(60), 1).astype(np.float32), 2.0 * seed  # some are equal
    there, weights = random.random(60) < p / 2, random.random(60)
    found = best_threshold(p, there, weights, missed)
    best = max(f1_above(p, there, weights, missed, each) for each in [*np.unique(p), 0.0, 2.0])
    assert f1_above(p, there, weights, missed, found) == pytest.approx(best)
    assert np.float32(found) not in p


def test_where_no_label_is_there_the_threshold_is_a_half():
    assert best_threshold([0.9, 0.1], [False, False], [1, 1]) == 0.5 == best_threshold([], [], [])
    assert best_threshold([0.3], [True], [1]) == pytest.approx(0.15)


@pytest.mark.parametrize("measure", ["micro_f1", "macro_f1"])
def test_chosen_thresholds_are_better_and_stay_with_the_model(measure, tmp_path):
    model = small()
    before = model.score(EXAMPLES)[measure]
    found = model.choose_thresholds(EXAMPLES, measure)
    after = model.score(EXAMPLES)[measure]
    assert (found.before, found.after) == (before, after) and after > before
    assert list(found.thresholds.values()) == model.thresholds
    assert (len(set(model.thresholds)) == 1) == (measure == "micro_f1")
    p = np.array([answer["probabilities"] for answer in model.predict_text([text for text, _ in EXAMPLES])])
    there = np.array([[name in labels for name in NAMES] for labels in SETS])
    sides = [(p.ravel(), there.ravel())] if measure == "micro_f1" else zip(p.T, there.T, strict=True)
    best = [max(f1_above(p.astype("float32"), t, 1.0, 0.0, each) for each in p) for p, t in sides]
    assert after == pytest.approx(np.mean(best))
    model.save_run(tmp_path / "run")
    assert sm.load_run(tmp_path / "run").thresholds == model.thresholds


def test_what_has_no_thresholds_or_temperature_says_so(model):
    with pytest.raises(sm.InputError, match="a classifier or a labeler with head=softmax. Received: multi-label"):
        model.calibrate(EXAMPLES)
    with pytest.raises(sm.InputError, match="measure must be one of micro_f1, macro_f1. Received: f1"):
        model.choose_thresholds(EXAMPLES, "f1")


@pytest.mark.slow
def test_the_command_line_trains_chooses_thresholds_and_answers(tmp_path, capsys):
    data, run = tmp_path / "data.tsv", tmp_path / "run"
    rows = [(text, ",".join(labels)) for (text, _), labels in zip(EXAMPLES, SETS, strict=True) if labels]
    data.write_text("text\tlabels\n" + "".join(f"{text}\t{labels}\n" for text, labels in rows), "utf-8")
    options = ["units=4", "batch_size=2", "watch_share=0", "dropout=0"]
    files = ["--train", str(data), "--valid", str(data)]
    assert cli.main(["train", "multi-label", *files, "--out", str(run), "--set", *options, "epochs=2"]) == 0
    assert "micro_f1" in capsys.readouterr().out
    assert cli.main(["calibrate", str(run), "--data", str(data), "--threshold", "macro_f1"]) == 0
    assert "by which macro_f1 is" in capsys.readouterr().out
    known = json.loads((run / "calibration.json").read_text("utf-8"))["thresholds"]
    assert list(known) == NAMES and list(known.values()) == sm.load_run(run).thresholds
    assert cli.main(["predict", str(run), "--input", str(data), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["classes"] for answer in answers] == [NAMES] * len(rows)
    assert cli.main(["calibrate", str(run), "--data", str(data), "--threshold", "macro_f1", "--abstain", "a=1"]) == 2
    assert cli.main(["evaluate", str(run), "--data", str(data), "--report", str(tmp_path / "report")]) == 0


def test_thresholds_stay_with_their_model_and_go_with_it(model, tmp_path, capsys):
    run = RunDirectory(tmp_path / "run")
    model.save_run(run.path)
    assert run.read_calibration() == {}
    chosen = choose_thresholds_of_run(run, EXAMPLES, "micro_f1")
    assert run.load_model().thresholds == list(chosen.thresholds.values()) != model.thresholds
    model.finish(run, EXAMPLES)
    assert run.read_calibration() == chosen._asdict()
    model.save(run.model)  # as a better epoch does
    model.finish(run, EXAMPLES)
    assert "has a better model now, whose thresholds are 0.5" in capsys.readouterr().err
    assert run.read_calibration() == {}
