"""NT-ASGD: when the averaging of the weights begins, and of which weights it is the mean."""

import keras
import numpy as np
import pytest
from toy import TEXTS, small

from seq_models.training.averaged_sgd import AverageAfterPlateau, AveragedSGD
from seq_models.training.best import Monitor
from seq_models.training.callbacks import AverageBetweenEpochs
from seq_models.training.optimizers import make_optimizer
from seq_models.training.options import TrainingOptions
from seq_models.training.precision import precision
from seq_models.training.strategy import make_strategy

OPTIONS = {"optimizer": "sgd", "average_after_plateau": 2, "patience": 9, "learning_rate": 0.5}


class Trace(keras.callbacks.Callback):
    """Weights after every step and in every validation."""

    def __init__(self):
        super().__init__()
        self.of_steps, self.validated = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.of_steps.append(self.model.get_weights())

    def on_test_end(self, logs=None):
        self.validated.append(self.model.get_weights())


def fit(losses, name="one", precise="float32"):
    """Trains as many epochs of two steps as there are losses, which the callbacks take for those of the validation."""
    options = TrainingOptions(**OPTIONS, precision=precise)
    with precision(precise), make_strategy(name).scope():
        model = small("language-model")
        model.compile(make_optimizer(options, steps=100), **options.compile_options())
    data, trace = model.dataset(TEXTS, batch_size=4), Trace()
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_loss=losses[epoch]))
    after = AverageAfterPlateau(Monitor("val_loss"), options.average_after_plateau)
    callbacks = [AverageBetweenEpochs(), told, after, trace]
    model.fit(data, validation_data=data, epochs=len(losses), callbacks=callbacks, verbose=0)
    return model, trace, after


def mean(iterates):
    return [np.mean(weights, axis=0) for weights in zip(*iterates, strict=True)]


def assert_close(one, other, tolerance=1e-6):
    assert max(np.abs(a - b).max() for a, b in zip(one, other, strict=True)) <= tolerance


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one", "mirrored"])
def test_from_a_plateau_on_the_mean_of_all_iterates_since_is_validated_and_kept(name):
    # The fourth loss is worse than the first, the best of those more than two epochs before.
    model, trace, _ = fit([3.0, 2.0, 2.5, 3.5, 2.0, 2.0], name)
    for epoch in range(4):
        assert_close(trace.validated[epoch], trace.of_steps[2 * epoch + 1], tolerance=0)
    T = 7  # the last step of the fourth epoch, counted from 0
    assert_close(trace.validated[4], mean(trace.of_steps[T:10]))
    assert_close(trace.validated[5], mean(trace.of_steps[T:12]))
    assert_close(model.get_weights(), mean(trace.of_steps[T:12]))


@pytest.mark.slow
def test_the_steps_are_those_of_plain_gradient_descent():
    _, trace, _ = fit([1.0, 2.0, 2.0, 2.0, 2.0])
    model, plain = small("language-model"), Trace()
    model.compile(keras.optimizers.SGD(0.5), clip_norm=5.0)
    model.fit(model.dataset(TEXTS, batch_size=4), epochs=5, callbacks=[plain], verbose=0)
    for ours, theirs in zip(trace.of_steps, plain.of_steps, strict=True):
        assert_close(ours, theirs, tolerance=0)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([3.0, 2.0, 1.0, 0.5, 0.4], None),
        ([1.0, 2.0, 2.0], None),  # nothing is more than two epochs before
        ([1.0, 2.0, 2.0, 2.0], 3),
        ([1.0, 2.0, 2.0, 1.0, 2.0], 4),  # as good is not worse
        ([3.0, 1.0, 2.0, 2.5, 0.9, 1.1], 5),  # worse than the second epoch, better than the first
    ],
)
def test_the_averaging_begins_when_a_loss_is_worse_than_the_best_of_those_long_before(losses, expected):
    callback, started = AverageAfterPlateau(Monitor("val_loss"), 2), []
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(AveragedSGD())
    model.optimizer.build(model.trainable_variables)
    callback.set_model(model)
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        started.append(callback.started)
    assert (started.index(True) if True in started else None) == expected


@pytest.mark.slow
def test_with_a_scaled_loss_averages_are_kept_too():
    model, trace, after = fit([1.0, 2.0, 2.0, 2.0, 2.0], precise="mixed_float16")
    assert after.started and isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert_close(model.get_weights(), mean(trace.of_steps[7:10]), tolerance=1e-5)
