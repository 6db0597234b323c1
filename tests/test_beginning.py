"""A run that begins with the vocabulary and the best weights of another one."""

import shutil

import numpy as np
import pytest
from toy import EXAMPLES, PLAIN

import seq_models as sm
from seq_models.tasks import TASKS
from seq_models.training import trainer
from seq_models.training.options import TrainingOptions

OPTIONS = {"epochs": 2, "batch_size": 3, "learning_rate": 0.05, "watch_share": 0}
MODEL = {"tokenizer": "whitespace", "units": 4, "embedding_units": 3}
OTHERS = {
    "labeler": [(["e", "new", "a"], ["E", "D", "A"])],
    "encoder-decoder": [("new a b", "words b a")],
}


def train(directory, task="classifier", data=None, model=MODEL, from_run=None, **options):
    data = EXAMPLES[task] if data is None else data
    options = TrainingOptions(**{**OPTIONS, **options})
    return trainer.train(TASKS[task], data, data, directory, options, model, {}, from_run)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return train(tmp_path_factory.mktemp("before") / "run", model=PLAIN)


@pytest.fixture(scope="module")
def after(classifier, tmp_path_factory):
    """A run that begins with it; the options of the model that are given are the same."""
    return train(tmp_path_factory.mktemp("after") / "run", from_run=classifier.path)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["labeler", "encoder-decoder"])  # those with two vocabularies
def test_on_other_data_a_run_begins_with_vocabulary_and_weights_of_another_one(tmp_path, task):
    before = train(tmp_path / "before", task, epochs=1)
    after = train(tmp_path / "after", task, OTHERS[task], {}, before.path, learning_rate=0.0, epochs=1)
    old, new = sm.load_run(before.path), sm.load_run(after.path)
    assert old.vocabularies() == new.vocabularies()
    weights = zip(old.trainable_weights, new.trainable_weights, strict=True)  # beside them each has a temperature
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in weights)
    written, origin = after.read_config(), before.read_config()
    assert written["data"]["from"] == str(before.path)
    assert (written["text"], written["network"]) == (origin["text"], origin["network"])


@pytest.mark.slow
def test_it_goes_on_as_any_other_and_is_another_run_than_one_from_nothing(tmp_path, classifier, after):
    whole = train(tmp_path / "whole", model={}, from_run=classifier.path, epochs=3)
    longer = shutil.copytree(after.path, tmp_path / "longer")
    longer = train(longer, model={}, from_run=classifier.path, epochs=3)
    assert longer.read_metrics() == whole.read_metrics()
    runs = (sm.load_run(run.path).trainable_weights for run in (classifier, longer))
    moved = zip(*([weight.numpy() for weight in weights] for weights in runs), strict=True)
    assert not any(np.array_equal(before, after) for before, after in moved)
    with pytest.raises(sm.InputError, match="from = None where the run has"):
        train(longer.path, epochs=3)


def test_its_precision_is_that_of_the_new_run(tmp_path, classifier, after):
    mixed = train(tmp_path / "mixed", model={}, from_run=classifier.path, precision="mixed_bfloat16")
    one, other = (np.array(list(run.read_metrics()["best"].values())) for run in (after, mixed))
    assert not np.allclose(one, other, atol=1e-6)


def test_options_that_are_given_must_be_those_of_the_run(tmp_path, classifier, after):
    assert after.read_config()["network"] == classifier.read_config()["network"]
    for name, value in {"units": 5, "tokenizer": "words", "vocabulary_size": 30}.items():
        expected = f"{name} must be left out or that of .* Received: {name}={value!r}"
        with pytest.raises(sm.InputError, match=expected):
            train(tmp_path / "run", model={name: value}, from_run=classifier.path)
    assert not (tmp_path / "run").exists()


def test_what_is_no_run_of_the_task_or_has_other_labels_is_refused(tmp_path, classifier):
    for task, path in (("language-model", classifier.path), ("classifier", tmp_path)):
        with pytest.raises(sm.InputError, match=f"must be a run that {task} was trained into. Received: "):
            train(tmp_path / "run", task, model={}, from_run=path)
    with pytest.raises(sm.InputError, match="Labels must be those of .*, long, short. Received: middling"):
        train(tmp_path / "run", data=[("a", "middling")], model={}, from_run=classifier.path)
    assert not (tmp_path / "run").exists()
