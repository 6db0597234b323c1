"""What training promises: a loss that padding, order and replicas do not change, and runs that resume."""

import functools
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.data.ops.iterator_ops import OwnedIterator
from toy import EXAMPLES, PLAIN, TEXTS, dataset_of, small

import seq_models as sm
from seq_models.tasks import TASKS
from seq_models.text.datasets import Position
from seq_models.training import trainer
from seq_models.training.best import Monitor
from seq_models.training.callbacks import AverageBetweenEpochs, AverageOfEpochs, BestModel, MetricsFile
from seq_models.training.cluster import Cluster
from seq_models.training.metrics import TokenAccuracy
from seq_models.training.options import TrainingOptions
from seq_models.training.run_directory import RunDirectory
from seq_models.training.strategy import make_strategy


def batch(model, task):
    [whole] = model.dataset(EXAMPLES[task], batch_size=len(TEXTS))
    return whole


def step(model, data, **options):
    """Loss and weights after one step on a batch."""
    model.compile(keras.optimizers.SGD(0.5), **options)
    logs = model.fit(dataset_of(data), verbose=0).history
    return logs["loss"][0], model.get_weights()


@functools.cache
def alone(task):
    """Loss and weights after one step on the batch of all examples."""
    return step(small(task), batch(small(task), task))


def assert_same(one, other, tolerance=1e-5):
    assert abs(one[0] - other[0]) < tolerance
    assert max(np.abs(a - b).max() for a, b in zip(one[1], other[1], strict=True)) < tolerance


def pad(data, columns=3):
    """More padding at the end of the time axis; the labels of a classifier have none."""

    def wider(tensor, axis_of_time=True):
        if tensor.shape.rank < 2 or not axis_of_time:
            return tensor
        return tf.pad(tensor, [[0, 0], [0, columns]] + [[0, 0]] * (tensor.shape.rank - 2))

    return tf.nest.map_structure(wider, data)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_loss_is_the_mean_over_real_tokens(task):
    model = small(task)
    inputs, targets, weights = batch(model, task)
    log_p = tf.nn.log_softmax(model(inputs)).numpy()
    picked = -np.take_along_axis(log_p, targets.numpy()[..., None], -1)[..., 0]
    expected = (picked * weights.numpy()).sum() / weights.numpy().sum()
    loss, _ = alone(task)
    assert abs(loss - expected) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_neither_more_padding_nor_another_order_of_rows_changes_loss_or_updated_weights(task):
    model = small(task)
    turned = tf.nest.map_structure(lambda tensor: tensor[::-1], batch(model, task))
    assert_same(alone(task), step(model, pad(turned)))


# Of a clipped step a wrong factor is not seen, so it is taken beside the others; no task clips in its own way.
@pytest.mark.slow
@pytest.mark.parametrize(
    "task, clip_norm", [*((task, None) for task in TASKS), ("language-model", 0.1), ("classifier", 0.1)]
)
def test_two_replicas_with_unequal_tokens_give_the_loss_and_weights_of_one(task, clip_norm):
    data = batch(small(task), task)  # sorted by length: the first replica gets few tokens, the second many
    one = step(small(task), data, clip_norm=clip_norm) if clip_norm else alone(task)
    with make_strategy("mirrored").scope():
        model = small(task)
        both = step(model, data, clip_norm=clip_norm)
        assert model.distribute_strategy.num_replicas_in_sync == 2
    assert_same(one, both)


def test_a_replica_without_any_row_changes_nothing():
    whole = batch(small("language-model"), "language-model")
    single = tf.nest.map_structure(lambda tensor: tensor[:1], whole)
    one = step(small("language-model"), single)
    with make_strategy("mirrored").scope():
        both = step(small("language-model"), single)
    assert_same(one, both)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_no_iterator_of_a_training_has_an_autotuner(strategy, monkeypatch):
    """Its end would wait for the tuner's next wake-up, with two replicas as long as the epoch took."""
    stock, tuned = OwnedIterator.__init__, []

    def spy(self, dataset=None, *arguments, **more):
        if dataset is not None:  # a new one, and not one that comes into a function
            tuned.append(dataset.options().autotune.enabled)
        stock(self, dataset, *arguments, **more)

    monkeypatch.setattr(OwnedIterator, "__init__", spy)
    with make_strategy(strategy).scope():
        model = small("classifier")
        model.compile(keras.optimizers.SGD(0.5))
    data = model.dataset(EXAMPLES["classifier"], batch_size=4)
    model.fit(data, validation_data=data, epochs=2, verbose=0)
    replicas = 2 if strategy == "mirrored" else 1
    assert tuned == [False] * 2 * 2 * replicas  # two epochs of training and of validation


def test_evaluation_is_a_mean_over_tokens_whatever_the_batch_size():
    model = small("language-model")
    model.compile()
    losses = [model.evaluate(model.dataset(TEXTS, batch_size=n), verbose=0, return_dict=True) for n in (1, 3, 8)]
    for scores in losses:
        assert abs(scores["loss"] - losses[0]["loss"]) < 1e-5
        assert abs(scores["perplexity"] - np.exp(scores["loss"])) < 1e-4


def test_accuracy_is_the_share_of_all_real_tokens_of_all_batches():
    accuracy = TokenAccuracy()
    accuracy.update_state(
        tf.constant([[1, 2, 0], [3, 0, 0]]), tf.constant([[1, 1, 0], [3, 0, 0]]), [[1, 1, 0], [1, 0, 0]]
    )
    accuracy.update_state(tf.constant([[1, 2]]), tf.constant([[2, 1]]), [[1.0, 1.0]])
    assert float(accuracy.result()) == pytest.approx(2 / 5)


def test_clipping_bounds_the_norm_of_all_gradients_together():
    before = small("language-model").get_weights()
    _, after = step(small("language-model"), batch(small("language-model"), "language-model"), clip_norm=0.01)
    moved = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(after, before, strict=True)))
    assert abs(moved - 0.5 * 0.01) < 1e-5


def test_penalties_of_regularizers_are_minimized_too():
    model = small("language-model")
    model.network.stack[0].cell.kernel.regularizer = keras.regularizers.L2(1.0)
    _, penalized = step(model, batch(model, "language-model"))
    _, free = step(small("language-model"), batch(model, "language-model"))
    norms = [sum((w**2).sum() for w in weights) for weights in (penalized, free)]
    assert norms[0] < norms[1]


@pytest.mark.parametrize(
    "wrong",
    [{"clip_norm": 0}, {"loss": "mse"}],
)
def test_compile_refuses_what_it_would_not_honour(wrong):
    with pytest.raises(ValueError, match="Received"):
        small("classifier").compile(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 2.5},
        {"patience": -1},
        {"learning_rate": "fast"},
        {"clip_norm": -1.0},
        {"strategy": "both"},
        {"schedule": "sometimes"},
    ],
)
def test_training_options_out_of_their_range_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        TrainingOptions(**wrong)


def run(directory, model_options=None, **options):
    options = TrainingOptions(**{"epochs": 4, "batch_size": 3, "watch_share": 0, **options})
    task, examples, data = TASKS["classifier"], EXAMPLES["classifier"], {"train": ["train.tsv"]}
    return trainer.train(task, examples, examples, directory, options, {**PLAIN, **(model_options or {})}, data)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run."""
    return run(tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture
def found(trained, tmp_path):
    """A copy of it."""
    return RunDirectory(shutil.copytree(trained.path, tmp_path / "run"))


def test_a_run_directory_holds_everything_and_its_model_answers(found):
    assert {p.name for p in found.path.iterdir()} >= {"config.toml", "model.keras", "metrics.json", "logs"}
    assert (found.path / "vocabulary.txt").read_text("utf-8").startswith("<pad>\n<unk>\n<s>\n</s>\n")
    assert (found.path / "labels.txt").read_text("utf-8") == "long\nshort\n"
    config = found.read_config()
    assert (config["text"]["tokenizer"], config["network"]["units"]) == ("whitespace", 4)
    metrics = found.read_metrics()
    assert metrics["finished"]
    assert [record["epoch"] for record in metrics["epochs"]] == [1, 2, 3, 4]
    assert metrics["best"]["val_accuracy"] == max(record["val_accuracy"] for record in metrics["epochs"])
    model = sm.load_run(found.path)
    scores = model.score(EXAMPLES["classifier"])
    assert abs(scores["accuracy"] - metrics["best"]["val_accuracy"]) < 1e-6
    assert model.predict_text(["a b c d e"])[0]["label"] in ("long", "short")
    assert list((found.path / "logs").rglob("events.out.tfevents.*"))


@pytest.mark.parametrize("task, score, best", [
    ("language-model", "val_perplexity", 2), ("encoder-decoder", "val_perplexity", 2),
    ("labeler", "val_accuracy", 3), ("classifier", "val_accuracy", 3),
])  # fmt: skip
def test_the_best_epoch_has_the_lowest_perplexity_or_the_highest_accuracy(tmp_path, task, score, best):
    found = RunDirectory(tmp_path)
    callbacks = trainer._callbacks(found, Monitor(small(task).monitor), TrainingOptions(), chief=True)
    [metrics] = [callback for callback in callbacks if isinstance(callback, MetricsFile)]
    for epoch, value in enumerate((0.5, 0.2, 0.9)):
        metrics.on_epoch_end(epoch, {score: value, "loss": 1.0, "val_loss": 1.0})
    assert found.read_metrics()["best"]["epoch"] == best


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_twice(trained, tmp_path):
    once, again, other = trained, run(tmp_path / "again"), run(tmp_path / "other", seed=8)
    assert once.read_metrics()["epochs"] == again.read_metrics()["epochs"] != other.read_metrics()["epochs"]


def test_a_finished_run_is_left_as_it_is(found):
    before = {path: path.stat().st_mtime_ns for path in found.path.rglob("*") if path.is_file()}
    run(found.path)
    after = {path: path.stat().st_mtime_ns for path in found.path.rglob("*") if path.is_file()}
    changed = {path.name for path in after if before.get(path) != after[path]}
    assert not changed


def test_another_configuration_is_refused_with_what_differs_and_nothing_changes(found):
    before = found.model.read_bytes()
    with pytest.raises(sm.InputError, match="units = 5 where the run has 4"):
        run(found.path, model_options={"units": 5})
    assert found.model.read_bytes() == before


@pytest.mark.parametrize("other", [{"seed": 1, "units": 2}, {}, {"seed": 2}])
def test_an_option_that_only_one_of_two_configurations_has_differs(tmp_path, other):
    found = RunDirectory(tmp_path / "run")
    found.start({"data": {}, "training": {"seed": 1}})
    found.check({"data": {}, "training": {"seed": 1}})
    with pytest.raises(sm.InputError, match="holds a run of another configuration.*(units = 2|seed = (2|None)) where"):
        found.check({"data": {}, "training": other})


def test_options_reach_the_step_and_the_batches():
    options = TrainingOptions(batch_tokens=12, clip_norm=0, clip_value=0.5, accumulate=3, steps_per_execution=2)
    model = small("language-model")
    model.compile("sgd", **options.compile_options())
    assert (model.clip_norm, model.clip_value, model.accumulate, model.steps_per_execution) == (None, 0.5, 3, 2)
    sizes = [tf.size(targets) for _, targets, _ in model.dataset(TEXTS, **options.batch_options())]
    assert len(sizes) > 1 and max(sizes) <= 12


def test_a_cosine_falls_over_all_steps_of_all_epochs():
    options = TrainingOptions(epochs=4, batch_size=3, learning_rate=0.5, schedule="cosine")
    texts = EXAMPLES["language-model"]  # 8, in 3 batches
    inputs = trainer._Inputs(texts, texts, options, Cluster.alone(), Position())
    model, *_ = trainer._build(make_strategy("one"), TASKS["language-model"], {"units": 3}, inputs)
    rates = []
    for step in (0, 6, 12):
        model.optimizer.iterations.assign(step)
        rates.append(float(model.optimizer.learning_rate))
    assert rates == pytest.approx([0.5, 0.25, 0], abs=1e-6)


def test_the_texts_of_any_batch_of_a_training_are_found_again():
    model, examples = small("classifier"), EXAMPLES["classifier"]
    options = TrainingOptions(batch_size=3, seed=5)
    training = trainer._Inputs(examples, examples, options, Cluster.alone(), Position())
    for epoch in (0, 1):
        read = [model.texts(inputs) for inputs, *_ in training.training_set(model, Position(epoch, 0))]
        assert sorted(sum(read, [])) == sorted(TEXTS)
        assert [training.texts_at(model, epoch, batch) for batch in range(3)] == read


@pytest.mark.parametrize(
    "given, kind", [({"average": 0.9}, AverageBetweenEpochs), ({"average_epochs": 2}, AverageOfEpochs)], ids=str
)
def test_the_best_model_is_saved_with_the_average_of_its_weights(given, kind, tmp_path):
    options = TrainingOptions(**given)
    callbacks = trainer._callbacks(RunDirectory(tmp_path), Monitor("val_accuracy"), options, chief=True)
    kinds = [type(callback) for callback in callbacks]
    assert kinds.index(kind) < kinds.index(BestModel)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"average": 0.9, "average_epochs": 2}, "average must be 0 beside average_epochs. Received: average=0.9"),
        ({"average_epochs": 1}, "average_epochs must be an integer at least 2"),
        (
            {"average_epochs": 2, "average_after_plateau": 1, "optimizer": "sgd"},
            "average_epochs must be left out beside average_after_plateau",
        ),
    ],
)
def test_one_average_at_most_is_kept(given, words):
    with pytest.raises(ValueError, match=words):
        TrainingOptions(**given)


def test_a_directory_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(sm.InputError, match="must be new, empty or a run directory"):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_vocabulary_file_of_another_model_is_refused(found):
    (found.path / "vocabulary.txt").write_text("<pad>\n<unk>\n<s>\n</s>\nz\n", "utf-8")
    with pytest.raises(sm.InputError, match="vocabulary.txt must be the one"):
        sm.load_run(found.path)


def test_loading_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(sm.InputError, match="must be a run directory"):
        sm.load_run(tmp_path)


@pytest.mark.slow
def test_save_run_writes_a_run_that_load_run_reads(tmp_path):
    model = small("labeler")
    model.sample_texts = ["a b", "我 «c»"]
    model.save_run(tmp_path / "run")
    again = sm.load_run(tmp_path / "run")
    assert again.sample_texts == model.sample_texts
    assert again.predict_text(["a b"]) == model.predict_text(["a b"])
    assert json.loads(json.dumps(again.get_config())) == json.loads(json.dumps(model.get_config()))


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="Received: strategy='two'"):
        make_strategy("two")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_run_with_a_weight_that_is_no_number_is_refused(tmp_path, value):
    model = small("classifier")
    model.weights[0].assign(np.full(model.weights[0].shape, value))
    model.save_run(tmp_path / "run")
    with pytest.raises(sm.InputError, match="model.keras must hold finite weights. Received: NaN or infinity in"):
        sm.load_run(tmp_path / "run")
