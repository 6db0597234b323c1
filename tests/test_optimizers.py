"""The learning rate step by step, and what a training is asked for."""

import math

import keras
import numpy as np
import pytest
from toy import TEXTS, small

from seq_models.training.best import Monitor
from seq_models.training.optimizers import make_optimizer, rate_callbacks
from seq_models.training.options import TrainingOptions

PEAK, W, N = 0.3, 4, 20


def constant(n, warmup_steps):
    return PEAK


def cosine(n, warmup_steps):
    return PEAK / 2 * (1 + math.cos(math.pi * (n - 1 - warmup_steps) / (N - warmup_steps)))


def inverse_sqrt(n, warmup_steps):
    return PEAK * math.sqrt(max(warmup_steps, 1) / n)


FORMULAS = {"constant": constant, "cosine": cosine, "inverse_sqrt": inverse_sqrt}


@pytest.mark.parametrize("warmup_steps", [0, W])
@pytest.mark.parametrize("schedule", FORMULAS)
def test_the_learning_rate_follows_its_formula_in_every_step(schedule, warmup_steps):
    options = TrainingOptions(learning_rate=PEAK, schedule=schedule, warmup_steps=warmup_steps)
    optimizer = make_optimizer(options, steps=N)
    optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    weight = keras.Variable(0.0)
    optimizer.build([weight])
    for n in range(1, N + 1):
        expected = PEAK * n / warmup_steps if n <= warmup_steps else FORMULAS[schedule](n, warmup_steps)
        assert abs(float(optimizer.learning_rate) - expected) < 1e-6
        optimizer.apply([keras.ops.ones(())], [weight])


def test_the_inverse_square_root_is_that_of_the_transformer():
    d_model, warmup_steps = 512, 10
    peak = (d_model * warmup_steps) ** -0.5
    options = TrainingOptions(learning_rate=peak, schedule="inverse_sqrt", warmup_steps=warmup_steps)
    rate = make_optimizer(options, steps=100).learning_rate
    schedule = make_optimizer(options, steps=100)._learning_rate
    assert abs(float(rate) - d_model**-0.5 * warmup_steps**-1.5) < 1e-9
    for n in range(1, 40):
        expected = d_model**-0.5 * min(n**-0.5, n * warmup_steps**-1.5)
        assert abs(float(schedule(n - 1)) - expected) < 1e-8


class Rates(keras.callbacks.Callback):
    """The learning rate of every call, and of every epoch's end."""

    def __init__(self):
        super().__init__()
        self.of_calls, self.of_epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.of_calls.append(float(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch, logs=None):
        self.of_epochs.append(float(self.model.optimizer.learning_rate))


@pytest.mark.parametrize(("calls", "expected"), [(1, [0.1, 0.2, 0.3, 0.3]), (2, [0.2, 0.3])])
def test_on_a_plateau_the_learning_rate_is_multiplied_and_it_warms_up_before(calls, expected):
    options = TrainingOptions(
        learning_rate=PEAK, schedule="plateau", warmup_steps=3, plateau_factor=0.1, plateau_patience=2, clip_norm=0
    )
    model, rates = small("language-model"), Rates()
    model.compile(make_optimizer(options, steps=N), steps_per_execution=calls)
    data = model.dataset(TEXTS, batch_size=2)
    never_better = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: logs.update(val_score=1.0, val_loss=1.0))
    model.fit(
        data, epochs=4, callbacks=[never_better, *rate_callbacks(options, Monitor("val_score")), rates], verbose=0
    )
    assert np.allclose(rates.of_calls[: len(expected)], expected)
    assert np.allclose(rates.of_epochs, [PEAK, PEAK, PEAK * 0.1, PEAK * 0.1])


def test_a_small_improvement_is_one_to_a_plateau():
    options = TrainingOptions(learning_rate=PEAK, schedule="plateau", plateau_factor=0.1, plateau_patience=2)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(PEAK))
    reduce, _ = rate_callbacks(options, Monitor("val_loss"))
    reduce.set_model(model)
    reduce.on_train_begin()
    rates = []
    for epoch, loss in enumerate([1.0, 1 - 1e-6, 1 - 2e-6, 1 - 3e-6, 1 - 3e-6, 1 - 3e-6]):
        reduce.on_epoch_end(epoch, {"val_loss": loss})
        rates.append(float(model.optimizer.learning_rate))
    assert np.allclose(rates, [PEAK] * 5 + [PEAK * 0.1])


def test_the_learning_rate_decays_every_epoch_from_one_on_however_long_epochs_are():
    options = TrainingOptions(learning_rate=PEAK, schedule="decay", decay_factor=0.5, decay_from=2)
    model, rates = small("language-model"), Rates()
    model.compile(make_optimizer(options, steps=N))
    decay = rate_callbacks(options, Monitor("val_loss"))
    for first, batch_size in ((0, 2), (3, 4)):  # as a training that goes on after its third epoch
        data = model.dataset(TEXTS, batch_size=batch_size)
        model.fit(data, initial_epoch=first, epochs=first + 3, callbacks=[*decay, rates], verbose=0)
    assert np.allclose(rates.of_epochs, [PEAK, PEAK, PEAK / 2, PEAK / 4, PEAK / 8, PEAK / 16])


def test_only_schedules_by_epochs_have_callbacks():
    assert rate_callbacks(TrainingOptions(schedule="cosine"), Monitor("val_loss")) == []


def test_a_warm_up_longer_than_the_training_is_refused():
    with pytest.raises(ValueError, match="less than the 20 steps .* Received: warmup_steps=20"):
        make_optimizer(TrainingOptions(warmup_steps=20), steps=20)


def test_an_unknown_optimizer_is_refused():
    for name in ("sgdd", "LossScaleOptimizer"):  # the other one wants an optimizer within
        with pytest.raises(ValueError, match=f"Received: optimizer='{name}'"):
            make_optimizer(TrainingOptions(optimizer=name), steps=20)


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": float("nan")},
        {"epochs": True},
        {"schedule": ["cosine"]},
        {"warmup_steps": -1},
        {"warmup_steps": 0.5},
        {"schedule": "plateau", "plateau_factor": 1.0},
        {"schedule": "plateau", "plateau_patience": 0},
        {"schedule": "cosine", "plateau_factor": 0.1},
        {"plateau_patience": 2},
        {"clip_value": -1.0, "clip_norm": 0},
        {"clip_value": 1.0},
        {"accumulate": 0},
        {"precision": "float16"},
        {"average": 1.0},
        {"average": "much"},
        {"decay_factor": 0.5},
        {"decay_from": 4, "schedule": "plateau"},
        {"schedule": "decay", "decay_factor": 1.0},
        {"schedule": "decay", "decay_from": 0},
        {"schedule": "decay", "warmup_steps": 10},
        {"average_after_plateau": 5, "patience": 9},
        {"average_after_plateau": 0, "patience": 9, "optimizer": "sgd"},
        {"average_after_plateau": 5, "patience": 6, "optimizer": "sgd"},
        {"average_after_plateau": 5, "patience": 9, "optimizer": "sgd", "average": 0.9},
        {"steps_per_execution": 0},
        {"profile_steps": "20,10"},
        {"profile_steps": "0,10"},
        {"profile_steps": 10},
        {"seed": -1},
    ],
)
def test_options_out_of_their_range_or_without_effect_are_refused(wrong):
    with pytest.raises(ValueError, match="Received: "):
        TrainingOptions(**wrong)
