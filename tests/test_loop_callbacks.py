"""What surrounds the steps of a training: averages, precision, a stop on what is no number, a profile."""

import functools
import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy import EXAMPLES, PLAIN, TEXTS, dataset_of, small

import seq_models as sm
from seq_models.layers.engines.fused import engine
from seq_models.tasks import TASKS
from seq_models.training.best import Monitor
from seq_models.training.callbacks import AverageBetweenEpochs, AverageOfEpochs, BestModel, SlowEngines
from seq_models.training.optimizers import make_optimizer
from seq_models.training.options import TrainingOptions
from seq_models.training.precision import precision
from seq_models.training.profile import Profile
from seq_models.training.stop_on_nan import StopOnNaN
from seq_models.training.strategy import make_strategy

MOMENTUM = 0.75


class Trace(keras.callbacks.Callback):
    """Weights after every step, and when an epoch ends."""

    def __init__(self):
        super().__init__()
        self.of_steps, self.of_epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.of_steps.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.of_epochs.append(self.model.get_weights())


def fit(average, name="one", precise="float32", epochs=3, callbacks=()):
    options = TrainingOptions(optimizer="sgd", learning_rate=0.5, average=average, precision=precise)
    with precision(precise), make_strategy(name).scope():
        model = small("language-model")
        model.compile(make_optimizer(options, steps=100), **options.compile_options())
    data, trace = model.dataset(TEXTS, batch_size=4), Trace()
    averaging = [AverageBetweenEpochs()] if average else []
    history = model.fit(data, validation_data=data, epochs=epochs, callbacks=[*averaging, trace, *callbacks], verbose=0)
    return model, trace, history.history, data


def averages(steps):
    """Of the weights after each of the steps."""
    mean, means = steps[0], []
    for weights in steps:
        mean = [MOMENTUM * m + (1 - MOMENTUM) * w for m, w in zip(mean, weights, strict=True)]
        means.append(mean)
    return means


def assert_close(one, other, tolerance=1e-6):
    assert max(np.abs(a - b).max() for a, b in zip(one, other, strict=True)) <= tolerance


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_between_epochs_the_model_is_the_average_of_its_weights_and_training_goes_on_with_them(strategy):
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, _: epoch == 1 and setattr(model_of(stop), "stop_training", True)
    )
    model, trace, history, data = fit(MOMENTUM, strategy, callbacks=[stop])
    _, plain, _, _ = fit(0.0, strategy, epochs=2)
    for ours, theirs in zip(trace.of_steps, plain.of_steps, strict=True):
        assert_close(ours, theirs, tolerance=0)  # bit for bit
    means = averages(trace.of_steps)
    assert_close(trace.of_epochs[0], means[1])
    assert_close(trace.of_epochs[1], means[3])
    assert_close(model.get_weights(), means[3])
    assert abs(model.evaluate(data, verbose=0, return_dict=True)["loss"] - history["val_loss"][1]) < 1e-6


def model_of(callback):
    return callback.model


@pytest.mark.slow
def test_the_mean_of_the_last_epochs_is_validated_and_training_goes_on_with_the_weights():
    ends = AverageOfEpochs(2)
    trace = Trace()
    model, _, history, data = fit(0.0, epochs=3, callbacks=[ends, trace])
    _, plain, _, _ = fit(0.0, epochs=3)
    for ours, theirs in zip(trace.of_steps, plain.of_steps, strict=True):
        assert_close(ours, theirs, tolerance=0)  # bit for bit
    first, second, third = trace.of_steps[1::2]  # two batches an epoch
    assert_close(trace.of_epochs[0], first, tolerance=0)
    for epoch, (one, other) in enumerate([(first, second), (second, third)], 1):
        assert_close(trace.of_epochs[epoch], [(a + b) / 2 for a, b in zip(one, other, strict=True)], tolerance=1e-7)
    assert_close(model.get_weights(), trace.of_epochs[2], tolerance=0)
    assert abs(model.evaluate(data, verbose=0, return_dict=True)["loss"] - history["val_loss"][2]) < 1e-6


@pytest.mark.slow
def test_the_model_of_the_best_epoch_holds_the_average(tmp_path):
    path = tmp_path / "model.keras"
    saved = keras.callbacks.ModelCheckpoint(path, monitor="val_loss")
    model, trace, _, _ = fit(MOMENTUM, epochs=1, callbacks=[saved])
    assert_close(keras.saving.load_model(path).get_weights(), averages(trace.of_steps)[-1])


@functools.cache
def exactly_trained():
    """What an epoch in 32 bits leaves behind."""
    _, trace, _, _ = fit(0.0, epochs=1)
    return trace


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_nearly_as_float32_with_float32_weights(policy):
    exact = exactly_trained()
    model, mixed, history, _ = fit(0.0, precise=policy, epochs=1)
    assert keras.config.dtype_policy().name == "float32"
    assert model.network.stack[0].compute_dtype == policy.removeprefix("mixed_")
    assert {weight.dtype for weight in model.trainable_variables} == {"float32"}
    assert_close(exact.of_steps[-1], mixed.of_steps[-1], tolerance=0.01)
    assert math.isfinite(history["gradient_norm"][0])


@pytest.mark.slow
@pytest.mark.parametrize(("task", "policy"), [*zip(TASKS, 2 * ["mixed_bfloat16", "mixed_float16"], strict=True)])
def test_every_task_trains_in_mixed_precision_and_its_saved_model_answers(task, policy, tmp_path):
    with precision(policy):
        model = small(task)
        model.compile(keras.optimizers.Adam(0.01), clip_norm=1.0, accumulate=2)
    data = model.dataset(EXAMPLES[task], batch_size=4)
    losses = model.fit(data, validation_data=data, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save_run(tmp_path / "run")
    assert len(sm.load_run(tmp_path / "run").predict_text(["a b"])) == 1


def step(model, optimizer=None, **options):
    model.compile(optimizer or keras.optimizers.SGD(0.5), **options)
    [whole] = model.dataset(TEXTS, batch_size=len(TEXTS))
    history = model.fit(dataset_of(whole), verbose=0).history
    return {name: values[0] for name, values in history.items()}, model.get_weights()


@pytest.mark.parametrize("clip", [{"clip_norm": 0.1}, {"clip_value": 0.01}])
def test_clipping_acts_on_gradients_without_the_loss_scale(clip):
    plain = step(small("language-model"), **clip)
    scaled = step(small("language-model"), keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5)), **clip)
    assert abs(plain[0]["gradient_norm"] - scaled[0]["gradient_norm"]) < 1e-5
    assert_close(plain[1], scaled[1])


def test_a_step_that_the_loss_scale_leaves_out_changes_no_weight_and_is_not_in_the_norm():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=2.0**127)
    logs, weights = step(small("language-model"), optimizer, clip_norm=1.0)
    assert_close(weights, small("language-model").get_weights(), tolerance=0)
    assert logs.get("gradient_norm", 0.0) == 0.0


def broken_at(number, model, data, **options):
    """Trains with a batch, counted from 0, whose loss is not a number; the texts of a batch are known by its place."""

    def poison(index, batch):
        inputs, targets, weights = batch
        return inputs, targets, tf.where(index == number, np.nan, weights)

    batches = data.enumerate().map(poison)
    model.compile(keras.optimizers.SGD(0.1), **options)
    texts = StopOnNaN(lambda epoch, batch: [f"{epoch} {batch}", "x" * 100, "second", "fourth"])
    model.fit(batches, epochs=2, callbacks=[texts], verbose=0)


def test_a_loss_that_is_no_number_stops_the_training_and_names_step_and_batch():
    model = small("language-model")
    with pytest.raises(sm.InputError) as caught:
        broken_at(2, model, model.dataset(TEXTS, batch_size=2), clip_norm=1.0)
    message = str(caught.value)
    assert message.startswith("loss must be finite. Received: nan in epoch 1, step 3 on the batch of '0 2', 'xxx")
    assert "…', 'second', …" in message
    assert len(message) < 200


def test_of_several_steps_in_one_call_the_range_is_named():
    model = small("language-model")
    with pytest.raises(sm.InputError, match="one of the steps 3 to 4, the first of them on the batch of '0 2'"):
        broken_at(3, model, model.dataset(TEXTS, batch_size=2), steps_per_execution=2)


def test_a_gradient_that_is_no_number_stops_the_training_though_the_loss_is_one():
    model = small("language-model")

    @tf.custom_gradient
    def trap(hidden):
        return hidden, lambda upstream: upstream * np.inf

    head, compare = model.network.head, model.network.head.compare
    head.compare = lambda hidden, targets, training=False: compare(trap(hidden), targets, training)
    model.compile(keras.optimizers.SGD(0.1))
    with pytest.raises(sm.InputError, match="gradient_norm must be finite. Received: (nan|inf) in epoch 1, step 1 "):
        model.fit(model.dataset(TEXTS), callbacks=[StopOnNaN(lambda *_: ["a"])], verbose=0)


@pytest.mark.parametrize("task", TASKS)
def test_the_texts_of_a_batch_can_be_read_again(task):
    model = small(task)
    [(inputs, _, _)] = model.dataset(EXAMPLES[task], batch_size=len(TEXTS))
    assert sorted(model.texts(inputs)) == sorted(TEXTS)


def profiled(tmp_path, first, last, **options):
    model = small("classifier", **PLAIN)
    model.compile(**options)
    model.fit(
        model.dataset(EXAMPLES["classifier"], batch_size=2), callbacks=[Profile(tmp_path, first, last)], verbose=0
    )
    return list((tmp_path / "plugins" / "profile").rglob("*.xplane.pb"))


@pytest.mark.slow
@pytest.mark.parametrize(("last", "options"), [(3, {}), (9, {}), (3, {"steps_per_execution": 2})])
def test_a_profile_of_a_few_steps_is_written(tmp_path, last, options):
    [trace] = profiled(tmp_path, 2, last, **options)
    assert trace.stat().st_size > 0


@pytest.mark.parametrize(("calls", "expected"), [
    (1, [1, "start", 2, 3, "stop", 4, 5, 6]), (2, ["start", 2, 4, "stop", 6]), (3, ["start", 3, "stop", 6])
])  # fmt: skip
def test_a_profile_is_of_its_steps_and_of_those_in_a_call_with_them(monkeypatch, calls, expected):
    done, profile = [], Profile("logs", 2, 3)
    for name in ("start", "stop"):
        monkeypatch.setattr(tf.profiler.experimental, name, lambda *_, name=name: done.append(name))
    profile.set_model(SimpleNamespace(steps_per_execution=calls))
    for batch in range(calls - 1, 6, calls):
        profile.on_train_batch_begin(batch)
        done.append(batch + 1)
        profile.on_train_batch_end(batch)
    assert done == expected


def test_a_profile_of_steps_that_never_come_is_missed(tmp_path):
    with pytest.warns(UserWarning, match="no profile of step 9"):
        assert profiled(tmp_path, 9, 10) == []


@pytest.mark.parametrize(
    "score, scores, kept", [("val_loss", [3, 2, 2, 4, 1], [0, 1, 4]), ("val_accuracy", [1, 3, 3, 2], [0, 1])]
)
@pytest.mark.parametrize("chief", [True, False])
def test_the_chief_keeps_the_first_of_the_best_models_and_no_other_worker_writes(tmp_path, score, scores, kept, chief):
    best = BestModel(tmp_path / "model.keras", Monitor(score), writes=chief)
    best.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)]))
    for epoch, value in enumerate(scores):
        best.model.set_weights([np.full((1, 1), epoch)])
        best.on_epoch_end(epoch, {"val_loss": 1, score: value})
        if chief:
            last = max(one for one in kept if one <= epoch)
            assert keras.saving.load_model(best.path).get_weights()[0].item() == last
    assert abs(best.best[0]) == scores[kept[-1]]
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"] * chief


@pytest.mark.slow
@pytest.mark.parametrize("task", ["labeler", "language-model"])
def test_a_training_says_once_why_it_is_not_on_the_fastest_engine(task, monkeypatch, capsys):
    monkeypatch.setattr(engine, "problem", lambda: "a C++ compiler. Received: none")
    model = small(task)
    model.compile("sgd")
    data = model.dataset(EXAMPLES[task], batch_size=1)
    model.fit(data, epochs=2, callbacks=[SlowEngines()], verbose=0)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "seq-models: Recurrent layers run on the engine 'loop', and might be faster on another one: "
    )
    assert "fused needs a C++ compiler. Received: none" in line


def test_on_the_fastest_engine_nothing_is_said(capsys):
    if (problem := engine.problem()) is not None:
        pytest.skip(f"the kernels need {problem}")
    model = small("classifier")
    model.compile("sgd")
    model.fit(model.dataset(EXAMPLES["classifier"]), callbacks=[SlowEngines()], verbose=0)
    assert capsys.readouterr().err == ""
    assert {used.name for used in model.network.engines_used().values()} == {"fused"}
