"""Confidence: expected calibration error, temperature, abstaining; in answers, exports and runs, old ones too."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy import EXAMPLES, PLAIN, small

import seq_models as sm
from seq_models import cli
from seq_models.layers import CRFHead, SoftmaxHead
from seq_models.plots import plot_reliability
from seq_models.tasks import TASKS
from seq_models.tasks.calibration import (
    HOTTEST,
    calibrate,
    choose_threshold,
    fit_temperature,
    logits_of,
    reliability,
)
from seq_models.tasks.report import report
from seq_models.training import trainer
from seq_models.training.options import TrainingOptions

B, H, K = 7, 5, 3


def test_the_calibration_error_is_that_of_small_cases_by_hand():
    # Bins of 1/15: 0.95 and 0.97 lie in the last one, 0.55 in the ninth.
    found = reliability([0.95, 0.97, 0.55, 0.55], [True, False, True, False], [1, 1, 1, 1])
    assert found.ece == pytest.approx((2 * abs(0.5 - 0.96) + 2 * abs(0.5 - 0.55)) / 4)
    assert reliability([0.95, 0.97, 0.55], [1, 0, 1], [2, 1, 3]).ece == pytest.approx(
        (abs(2 - (2 * 0.95 + 0.97)) + abs(3 - 3 * 0.55)) / 6
    )
    assert reliability([1.0, 1.0], [True, True], [1, 1]).ece == 0 == reliability().ece


def test_a_bin_has_its_upper_end_and_not_its_lower_one():
    confidence = np.array([0.2, 0.200001, 0.4, 1 / 15, 0.0, 1.0], np.float32)
    bins = [int(np.flatnonzero(reliability([each], [True], [1]).weights)[0]) for each in confidence]
    assert bins == [2, 3, 5, 0, 0, 14]


def test_reliabilities_of_parts_are_that_of_all():
    random = np.random.default_rng(0)
    data = random.random(50), random.random(50) < 0.5, random.random(50)
    parts = [reliability(*(values[k::3] for values in data)) for k in range(3)]
    whole = reliability().plus(parts[0]).plus(parts[1]).plus(parts[2])
    assert np.allclose(whole, reliability(*data)) and whole.ece == pytest.approx(reliability(*data).ece)


def drawn(scale, count=20000):
    """Logits, and targets drawn by the softmax of the logits over a scale."""
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, (count, K))
    gumbel = -np.log(-np.log(random.random((count, K))))
    return logits * scale, (logits + gumbel).argmax(axis=1), np.ones(count)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_known_scaling_of_the_logits(scale):
    assert fit_temperature(*drawn(scale)) == pytest.approx(scale, rel=0.04)


def test_the_temperature_is_the_best_of_all_and_weights_are_examples_that_come_again():
    logits, targets, weights = drawn(2.5, 300)
    T = fit_temperature(logits, targets, weights)

    def loss(T):
        return -np.mean(np.take_along_axis(tf.nn.log_softmax(logits / T).numpy(), targets[:, None], axis=1))

    assert loss(T) <= min(map(loss, np.geomspace(0.1, 20, 400))) + 1e-9
    weights[:100] = 3
    again = np.concatenate([np.arange(300), np.arange(100), np.arange(100)])
    assert fit_temperature(logits, targets, weights) == pytest.approx(
        fit_temperature(logits[again], targets[again], np.ones(500)), rel=1e-4
    )


@pytest.mark.parametrize(("targets", "expected"), [([0, 1], None), ([1, 0], HOTTEST)])
def test_where_all_is_right_no_temperature_is_the_best_and_where_all_is_wrong_it_is_the_highest(targets, expected):
    assert fit_temperature(np.array([[2.0, 0.0], [0.0, 3.0]]), np.array(targets), np.full(2, 20)) == expected


def test_of_answers_that_do_not_tell_it_from_1_the_temperature_is_1():
    random, kept = np.random.default_rng(5), 0
    for _ in range(300):
        logits = random.normal(size=(30, K)) * 2
        targets = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
        kept += fit_temperature(logits, targets, np.ones(30)) == 1
    assert 270 < kept < 297  # 95 % of models that are calibrated already
    logits, targets, weights = drawn(3.0, 300)
    assert fit_temperature(logits[:2], targets[:2], weights[:2]) == 1 < fit_temperature(logits, targets, weights)


def test_the_threshold_has_the_largest_coverage_that_reaches_the_accuracy():
    random = np.random.default_rng(3)
    confidence = np.round(random.random(200), 2).astype(np.float32)  # some are equal
    right, weights = random.random(200) < confidence, random.random(200)
    found = choose_threshold(confidence, right, weights, 0.8)
    covered = {}
    for threshold in [0.0, *confidence]:
        answered = confidence >= threshold
        if np.average(right[answered], weights=weights[answered]) >= 0.8:
            covered[threshold] = weights[answered].sum() / weights.sum()
    assert found.coverage == pytest.approx(max(covered.values()))
    answered = confidence >= np.float32(found.threshold)
    assert np.average(right[answered], weights=weights[answered]) == pytest.approx(found.accuracy)
    assert found.accuracy >= 0.8
    assert found.threshold not in confidence


def test_an_accuracy_that_all_reach_needs_no_threshold_and_one_that_none_reach_is_refused():
    assert choose_threshold([0.5, 0.9], [True, True], [1, 1], 0.99) == (0.0, 1.0, 1.0)
    with pytest.raises(sm.InputError, match="accuracy must be one that answers have, 0.6667 at most. Received: .*=0.9"):
        choose_threshold([0.9, 0.8, 0.7], [False, True, True], [1, 1, 1], 0.9)
    confidence = np.float32(0.5)
    for _ in range(2):  # the middle of two neighbours is rounded up for one pair and down for the next one
        below = np.nextafter(confidence, np.float32(0))
        found = choose_threshold([confidence, below], [True, False], [1, 1], 1.0)
        assert np.float32(found.threshold) == confidence and found.coverage == 0.5
        confidence = below


# The head


@pytest.fixture
def head():
    """A head with a temperature, hidden states, and the same head without one."""
    hidden = np.random.normal(size=(B, H)).astype("float32")
    head, plain = SoftmaxHead(K, calibrated=True), SoftmaxHead(K)
    plain(hidden)
    head(hidden)
    head.set_weights([*plain.get_weights(), np.float32(1), np.float32(0)])
    return head, hidden, plain


def test_the_temperature_is_in_probabilities_and_in_nothing_else(head):
    head, hidden, plain = head
    targets = np.arange(B) % K
    assert np.array_equal(head.probabilities(hidden), plain.probabilities(hidden))
    head.temperature.assign(2.5)
    expected = keras.ops.softmax(plain(hidden) / 2.5)
    assert np.allclose(head.probabilities(hidden), expected, atol=1e-7)
    picked = np.take_along_axis(np.log(expected), targets[:, None], axis=1)[:, 0]
    assert np.allclose(head.log_probability(hidden, targets), picked, atol=1e-6)
    assert np.array_equal(head(hidden), plain(hidden)) and np.array_equal(head.predict(hidden), plain.predict(hidden))
    for ours, theirs in zip(head.compare(hidden, targets), plain.compare(hidden, targets), strict=True):
        assert np.array_equal(ours, theirs)
    assert [weight.name for weight in head.non_trainable_weights] == ["temperature", "threshold"]


def test_it_abstains_below_the_threshold_and_another_head_never(head):
    head, _, plain = head
    confidence = np.array([0.2, 0.5, 0.7], "float32")
    assert not np.any(head.abstains(confidence)) and not np.any(plain.abstains(confidence))
    head.threshold.assign(0.5)
    assert np.array_equal(head.abstains(confidence), [True, False, False])


# Models


@pytest.fixture(params=["classifier", "labeler"])
def model(request):
    options = {"head": "softmax", "characters": False} if request.param == "labeler" else {}
    model = small(request.param, **options)
    model.network.head.kernel.assign(20 * model.network.head.kernel.numpy())  # as sure as a trained one
    return model


def mostly_right(model):
    """Examples of which the model is wrong about the third that it is least sure of."""
    texts = list(map(model.question, EXAMPLES[model.task_name]))
    answers = model.predict_text(texts)
    scores = [np.atleast_1d(answer.get("score", answer.get("scores"))) for answer in answers]
    limit, names = np.quantile(np.concatenate(scores), 1 / 3), model.preprocessor.labels.names
    examples = []
    for text, answer, sure in zip(texts, answers, scores, strict=True):
        said = [answer["label"]] if "label" in answer else answer["tags"]
        labels = [name if s >= limit else names[names.index(name) - 1] for name, s in zip(said, sure, strict=True)]
        examples.append((text, labels[0]) if "label" in answer else (text.split(), labels))
    return examples


def test_a_model_is_calibrated_on_examples_and_answers_by_it(model):
    examples = mostly_right(model)
    before = model.score(examples)
    found = model.calibrate(examples * 40)  # by so many that a temperature can be told from 1
    after = model.score(examples)
    assert {**after, "ece": 0} == {**before, "ece": 0}
    assert (before["ece"], after["ece"]) == pytest.approx((found.before.ece, found.after.ece), abs=1e-5)
    logits, targets, weights = logits_of(model, examples * 40)
    assert found.temperature == pytest.approx(fit_temperature(logits, targets, weights))
    assert found.temperature != 1
    assert model.network.head.temperature.numpy() == pytest.approx(found.temperature)
    assert found.answers == len(targets) == 40 * (len(examples) if model.task_name == "classifier" else 23)
    [answer] = model.predict_text(["a b"])
    assert not np.any(answer["abstain"]) and "abstain" not in model.line(answer) and "?" not in model.line(answer)


def test_a_threshold_makes_the_least_sure_answers_abstain(model):
    examples = mostly_right(model)
    accuracy = model.score(examples)["accuracy"]
    found = model.calibrate(examples, accuracy=min(1.0, accuracy + 0.05)).abstaining
    answers = model.predict_text(list(map(model.question, examples)))
    silent = np.concatenate([np.atleast_1d(answer["abstain"]) for answer in answers])
    assert 1 - silent.mean() == pytest.approx(found.coverage) and 0 < found.coverage < 1
    scores = np.concatenate([np.atleast_1d(answer.get("score", answer.get("scores"))) for answer in answers])
    assert np.array_equal(silent, scores.astype("float32") < np.float32(found.threshold))
    lines = " ".join(map(model.line, answers))
    assert ("abstain" if model.task_name == "classifier" else "?") in lines
    model.calibrate(examples)
    assert model.network.head.threshold.numpy() == 0


def test_labels_that_training_has_not_seen_are_wrong_and_no_part_of_the_fit():
    model = small("classifier")
    examples = mostly_right(model) * 40
    T = model.calibrate(examples).temperature
    found = model.calibrate([*examples, ("a b", "unseen")])
    assert found.temperature == pytest.approx(T, rel=1e-4) and found.answers == len(examples) + 1
    assert found.before.right.sum() == model.calibrate(examples).before.right.sum()


def test_heads_over_sentences_are_not_calibrated_but_have_an_error():
    examples = [(["New", "York", "is"], ["B-LOC", "I-LOC", "O"])] * 2
    model = sm.SequenceLabeler.from_examples(examples, units=3, characters=False)
    assert 0 <= model.score(examples)["ece"] <= 1
    assert not np.any(model.predict_text(["New York"])[0]["abstain"])
    with pytest.raises(sm.InputError, match="a labeler with head=softmax. Received: labeler, CRFHead"):
        model.calibrate(examples)
    with pytest.raises(ValueError, match="marginals of a head over sentences have no temperature"):
        CRFHead(K, calibrated=True)


def test_a_model_from_before_there_were_temperatures_answers_the_same(tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(SoftmaxHead, "build_calibration", lambda head: setattr(head, "calibrated", False))
        old = small("classifier")
        old.save_run(tmp_path / "run")
    new = sm.load_run(tmp_path / "run")
    assert new.network.head.calibrated and len(old.get_weights()) == len(new.get_weights()) - 2
    texts = ["a b c", "d", ""]
    assert new.predict_text(texts) == old.predict_text(texts)
    assert new.score(EXAMPLES["classifier"]) == old.score(EXAMPLES["classifier"])
    new.calibrate(EXAMPLES["classifier"])
    new.save_run(tmp_path / "new")
    assert sm.load_run(tmp_path / "new").predict_text(texts) == new.predict_text(texts)


# Runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    examples, directory = EXAMPLES["classifier"], tmp_path_factory.mktemp("calibrated")
    options = TrainingOptions(epochs=2, batch_size=4, watch_share=0, learning_rate=0.02)
    (directory / "valid.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in examples), "utf-8")
    return trainer.train(TASKS["classifier"], examples, 40 * examples, directory / "run", options, PLAIN, {})


def test_a_training_ends_with_a_calibrated_best_model(run):
    told, model = json.loads(run.calibration.read_text()), sm.load_run(run.path)
    assert float(model.network.head.temperature.numpy()) == pytest.approx(told["temperature"])
    again = calibrate(model, 40 * EXAMPLES["classifier"])
    assert again.temperature == pytest.approx(told["temperature"], rel=1e-5) and told["temperature"] != 1
    assert "threshold" not in told
    assert told["ece"] == pytest.approx(again.after.ece, abs=1e-6)


@pytest.mark.slow
def test_the_command_calibrates_a_run_and_its_export_answers_as_it_does(run, tmp_path, capsys):
    data, copy = str(run.path.parent / "valid.tsv"), str(shutil.copytree(run.path, tmp_path / "run"))
    best = max(sm.load_run(copy).score(EXAMPLES["classifier"])["accuracy"] + 0.01, 0.01)
    assert cli.main(["calibrate", copy, "--data", data, "--abstain", f"accuracy={best}"]) == 0
    assert "it abstains below a confidence of" in capsys.readouterr().out
    model = sm.load_run(copy)
    threshold = float(model.network.head.threshold.numpy())
    assert 0 < threshold == json.loads((tmp_path / "run" / "calibration.json").read_text())["threshold"]
    served = tf.saved_model.load(sm.export(model, tmp_path / "export")).signatures["serving_default"]
    texts = [text for text, _ in EXAMPLES["classifier"]]
    found = {name: value.numpy() for name, value in served(text=tf.constant(texts)).items()}
    answers = model.predict_text(texts)
    assert found["abstain"].dtype == bool and found["abstain"].tolist() == [answer["abstain"] for answer in answers]
    assert found["abstain"].any() and not found["abstain"].all()
    assert np.allclose(found["score"], [answer["score"] for answer in answers], atol=1e-6)
    assert cli.main(["predict", copy, "--input", data]) == 0
    assert "\tabstain" in capsys.readouterr().out
    for wrong in ("0.9", "accuracy=high", "accuracy=2", "coverage=0.5"):
        assert cli.main(["calibrate", copy, "--data", data, "--abstain", wrong]) == 2
    assert float(sm.load_run(copy).network.head.threshold.numpy()) == threshold


def test_a_threshold_stays_with_its_model_and_goes_with_it(run, tmp_path, capsys):
    from seq_models.tasks.calibration import calibrate_run, finish_run
    from seq_models.training.run_directory import RunDirectory

    copy = RunDirectory(shutil.copytree(run.path, tmp_path / "run"))
    examples = EXAMPLES["classifier"]
    found = calibrate_run(copy, examples, sm.load_run(copy.path).score(examples)["accuracy"] + 0.01)
    finish_run(copy, examples[:3])
    assert json.loads(copy.calibration.read_text()) == found.written()
    shutil.copy(run.model, copy.model)  # as a better epoch does
    finish_run(copy, examples)
    assert "always answers; seq-models calibrate makes it abstain again" in capsys.readouterr().err
    assert "threshold" not in json.loads(copy.calibration.read_text())


def test_the_report_has_a_diagram_before_and_after(run, tmp_path):
    model = sm.load_run(run.path)
    ece = model.calibrate(EXAMPLES["classifier"]).before.ece
    model.network.head.temperature.assign(3.0)
    found = report(model, EXAMPLES["classifier"])
    before, after = found.reliability.values()
    assert list(found.reliability) == ["T = 1", "T = 3.000"]
    assert before.ece == pytest.approx(ece, abs=1e-6) and abs(before.ece - after.ece) > 0.01
    assert after.ece == pytest.approx(model.score(EXAMPLES["classifier"])["ece"])
    assert f"expected calibration error {100 * before.ece:.2f} % (T = 1)" in found.text()
    figure = plot_reliability(found.reliability, tmp_path / "r.png")
    assert [axes.get_title() for axes in figure.axes] == [
        f"T = 1: ECE {100 * before.ece:.2f} %",
        f"T = 3.000: ECE {100 * after.ece:.2f} %",
    ]
    heights = [bar.get_height() for bar in figure.axes[1].containers[0]]
    there = after.weights > 0
    assert heights == pytest.approx((after.right[there] / after.weights[there]).tolist())
    with pytest.raises(ValueError, match="bins must hold at least one"):
        plot_reliability({})
