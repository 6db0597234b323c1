"""Which epoch is kept, and when a training stops."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from toy import EXAMPLES, PLAIN, small

import seq_models as sm
from seq_models.tasks import TASKS
from seq_models.tasks.translation_scores import translation_scores
from seq_models.training.best import EarlyStopping, Monitor, ReduceOnPlateau
from seq_models.training.options import TrainingOptions
from seq_models.training.trainer import train

NAN = float("nan")


@pytest.mark.parametrize(
    ("score", "epochs", "best"),
    [
        ("val_accuracy", [(0.5, 3), (0.7, 4), (0.6, 1)], 1),
        ("val_accuracy", [(0, 3), (0, 2), (0, 2.5)], 1),  # a tie is broken by the loss
        ("val_entity_f1", [(0.5, 3), (NAN, 1), (0.5, 3)], 0),
        ("val_loss", [(3, 3), (2, 2), (2, 2)], 1),
        ("val_perplexity", [(20, 3), (8, 2), (9, 1)], 1),
    ],
)
def test_the_best_epoch_has_the_best_score_and_of_equal_ones_the_smallest_loss(score, epochs, best):
    ranks = [Monitor(score).rank({score: value, "val_loss": loss}) for value, loss in epochs]
    assert ranks.index(max(ranks)) == best


def stopped_after(callback, epochs):
    """The number of epochs after which a callback acts for the first time; None if it never does."""
    callback.set_model(SimpleNamespace(stop_training=False))
    for number, (score, loss) in enumerate(epochs, start=1):
        callback.on_epoch_end(number - 1, {"val_entity_f1": score, "val_loss": loss})
        if callback.model.stop_training:
            return number
    return None


@pytest.mark.parametrize(
    ("epochs", "last"),
    [
        ([(0, 9 - k) for k in range(9)], None),  # no entity is found yet, but the loss falls
        ([(0.01, 9), *((0, 8 - k) for k in range(8))], None),  # found by chance, before all was O
        ([(0, 5), (0, 5), (0, 6)], 3),
        ([(0.1 * k, 5 + k) for k in range(9)], None),
        ([(0.5, 5), (0.4, 4), (0.4, 4.5), (0.5, 4)], 4),
    ],
)
def test_a_training_stops_when_neither_score_nor_loss_get_better(epochs, last):
    assert stopped_after(EarlyStopping(Monitor("val_entity_f1"), patience=2), epochs) == last


def test_on_a_plateau_of_both_the_learning_rate_falls_again_and_again():
    reduce = ReduceOnPlateau(Monitor("val_loss"), 2, 0.5)
    reduce.set_model(SimpleNamespace(optimizer=SimpleNamespace(learning_rate=np.float32(1))))
    rates = []
    for epoch in range(6):
        reduce.on_epoch_end(epoch, {"val_loss": 1.0})
        rates.append(float(reduce.model.optimizer.learning_rate))
    assert rates == [1, 1, 0.5, 0.5, 0.25, 0.25]


def run(directory, task="classifier", **options):
    data = EXAMPLES[task]
    options = TrainingOptions(**{"epochs": 1, "watch_share": 0.0, **options})
    return train(TASKS[task], data, data, directory, options, PLAIN, {"train": "a", "valid": "a", "columns": []})


@pytest.mark.parametrize("monitor", ["accuracy", "val_entity_f1"])
def test_an_unknown_monitor_is_refused_with_those_that_there_are(tmp_path, monitor):
    with pytest.raises(sm.InputError, match=f"one of val_loss, val_accuracy. Received: monitor='{monitor}'"):
        run(tmp_path, monitor=monitor)
    assert not list(tmp_path.iterdir())


def test_the_monitor_of_the_options_decides(tmp_path):
    metrics = run(tmp_path, monitor="val_loss", epochs=6, patience=9, learning_rate=0.3, batch_size=2).read_metrics()
    losses = [record["val_loss"] for record in metrics["epochs"]]
    assert metrics["best"]["val_loss"] == min(losses)


@pytest.mark.slow
def test_the_bleu_of_greedy_answers_decides_and_is_that_of_the_model_that_is_kept(tmp_path):
    options = {"patience": 9, "learning_rate": 0.1, "batch_size": 4, "monitor": "val_bleu"}
    found = run(tmp_path, "encoder-decoder", epochs=2, monitor_examples=3, **options)
    metrics = found.read_metrics()
    scores = [record["val_bleu"] for record in metrics["epochs"]]
    assert len(scores) == 2 and metrics["best"]["val_bleu"] == max(scores) > 0
    model = sm.load_run(found.path)
    asked = EXAMPLES["encoder-decoder"][:3]
    longest = 2 * max(len(target.split()) + 1 for _, target in asked)
    assert metrics["best"]["val_bleu"] == pytest.approx(greedy(model, asked, longest)["bleu"])


@pytest.mark.slow
def test_the_score_of_answers_is_of_greedy_ones_whatever_the_search_of_the_model():
    model = small("encoder-decoder", beam_width=3, min_length=4)
    model.network.head.bias.assign([0, 0, 0, 9, 2, 2, 2, 2, 2])  # a greedy answer is empty
    examples = EXAMPLES["encoder-decoder"][1:3]  # of two tokens at most, so that an answer has six
    for name in ("bleu", "chrf"):
        assert model.answer_scores()[f"val_{name}"](examples) == greedy(model, examples, 6)[name] == 0
    assert model.answer_scores()["val_exact_match"](examples) == 0 < model.score(examples)["chrf"]
    model.network.head.bias.assign([0, 0, 0, -9, 9, 2, 2, 2, 2])  # it never ends
    found = model.answer_scores()["val_chrf"](examples)
    assert found == pytest.approx(greedy(model, examples, 6)["chrf"]) != greedy(model, examples, 3)["chrf"]


def greedy(model, examples, max_length):
    """Those of greedy answers."""
    sources, targets = zip(*examples, strict=True)
    answers = model.translate(list(sources), max_length=max_length, beam_width=1, min_length=0)
    return translation_scores([answer["translation"] for answer in answers], targets)


@pytest.mark.parametrize(
    ("task", "monitor", "known"),
    [
        ("classifier", None, "none of this task"),
        ("encoder-decoder", "val_loss", "val_bleu, val_bleu_lowercased, val_chrf, val_ter, val_exact_match"),
    ],
)
def test_examples_to_answer_need_a_monitor_of_answers(tmp_path, task, monitor, known):
    expected = (
        f"monitor_examples needs a monitor that takes answers, {known}. Received: monitor='{monitor or 'val_accuracy'}'"
    )
    with pytest.raises(sm.InputError, match=expected):
        run(tmp_path, task, monitor=monitor, monitor_examples=2)
    assert not list(tmp_path.iterdir())


PEOPLE, PLACES = ["王芳", "李娜", "张伟", "Anna", "Peter", "陈静"], ["北京", "上海", "New York", "Lyon", "Paris"]
SENTENCES = ["PER lives in LOC .", "PER met PER in LOC yesterday .", "the weather in LOC is fine .", "it is late .",
             "we saw PER .", "nobody knows why the train to LOC was late .", "PER went home ."]  # fmt: skip


def entity_sentences(count, seed):
    """Sentences with names in them, in BIO tags."""
    generator, found = np.random.default_rng(seed), []
    for _ in range(count):
        tokens, tags = [], []
        for word in generator.choice(SENTENCES).split():
            names = {"PER": PEOPLE, "LOC": PLACES}.get(word)
            parts = str(generator.choice(names)).split() if names else [word]
            if names and "一" <= parts[0][0]:
                parts = list(parts[0])  # Chinese characters are tokens
            tokens += parts
            tags += [f"{letter}-{word}" if names else "O" for letter in "B" + "I" * (len(parts) - 1)]
        found.append((tokens, tags))
    return found


@pytest.mark.slow
def test_600_sentences_of_entities_are_learnt_with_the_default_options(tmp_path):
    task = TASKS["labeler"]
    data = {"train": "a", "valid": "b", "columns": []}
    found = train(
        task, entity_sentences(600, 0), entity_sentences(100, 1), tmp_path, TrainingOptions(epochs=10), {}, data
    )
    best = found.read_metrics()["best"]
    assert best["val_entity_f1"] > 0.95
    assert sm.load_run(tmp_path).score(entity_sentences(100, 1))["entity_f1"] == pytest.approx(best["val_entity_f1"])
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert any("epochs/val_entity_f1" in json.loads(line) for line in lines)


@pytest.mark.parametrize("task", TASKS)
def test_the_better_epoch_is_the_one_that_a_task_says_is_better(task):
    for name, direction in small(task).directions().items():
        small_one, large_one = ({"val_loss": 1.0, f"val_{name}": value} for value in (0.5, 1.0))
        better, worse = (small_one, large_one) if direction == "down" else (large_one, small_one)
        rank = Monitor(f"val_{name}").rank
        assert rank(better) > rank(worse), name
