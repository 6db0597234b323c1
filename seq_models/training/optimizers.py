"""The optimizer of a training, and its learning rate from the first step to the last."""

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from seq_models.training.averaged_sgd import AveragedSGD
from seq_models.training.best import Monitor, ReduceOnPlateau
from seq_models.training.options import DECAY_FACTOR, DECAY_FROM, PLATEAU_FACTOR, PLATEAU_PATIENCE, TrainingOptions
from seq_models.training.variables import steps_of


def make_optimizer(options: TrainingOptions, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of a training; with `average` or `average_after_plateau` it keeps an average of the weights.

    Args:
        options: The options of the training.
        steps: Number of steps of the whole training.
    Raises:
        ValueError: If there is no such optimizer, or the training ends before the learning rate has risen to its peak.
    """
    learning_rate = _learning_rate(options, steps)
    if options.average_after_plateau is not None:
        return AveragedSGD(learning_rate)
    averaging = {"use_ema": True, "ema_momentum": options.average} if options.average else {}
    config = {"learning_rate": learning_rate, **averaging}
    try:
        return keras.optimizers.get({"class_name": options.optimizer, "config": config})
    except (ValueError, TypeError, KeyError) as error:  # of a class that wants more than a learning rate, too
        expected = "optimizer must be the name of a Keras optimizer"
        raise ValueError(f"{expected}. Received: optimizer={options.optimizer!r}") from error


def _learning_rate(options, steps):
    peak, warmup_steps = options.learning_rate, options.warmup_steps
    if warmup_steps >= steps:
        raise ValueError(
            f"warmup_steps must be less than the {steps} steps of the training. Received: warmup_steps={warmup_steps}"
        )
    if options.schedule in ("plateau", "decay"):
        return peak  # a number, because a callback sets it
    if options.schedule == "inverse_sqrt":
        return InverseSquareRoot(peak, warmup_steps)
    after = keras.optimizers.schedules.CosineDecay(peak, steps - warmup_steps) if options.schedule == "cosine" else None
    return WarmUp(peak, warmup_steps, after) if warmup_steps else after or peak


@keras.saving.register_keras_serializable(package="seq_models")
class WarmUp(LearningRateSchedule):
    """A learning rate that rises before it follows another schedule. In step n, counted from 1, with W warm-up steps:

        peak n / W                        n <= W
        after(n - W - 1), or peak         n > W

    Args:
        peak: The largest rate, a number.
        warmup_steps: W, a positive integer.
        after: A schedule that starts at `peak` in its step 0; None for `peak` itself.
    """

    def __init__(self, peak: float, warmup_steps: int, after: LearningRateSchedule | None = None):
        self.peak, self.warmup_steps, self.after = peak, warmup_steps, after

    def __call__(self, step):
        n = ops.cast(step, "float32") + 1
        after = self.peak if self.after is None else self.after(ops.maximum(n - self.warmup_steps - 1, 0))
        return ops.where(n <= self.warmup_steps, self.peak * n / self.warmup_steps, after)

    def get_config(self):
        after = keras.saving.serialize_keras_object(self.after)
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "after": after}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "after": keras.saving.deserialize_keras_object(config["after"])})


@keras.saving.register_keras_serializable(package="seq_models")
class InverseSquareRoot(LearningRateSchedule):
    """peak min(n / W, √(W / n)) in step n, counted from 1, with W warm-up steps [1].

    Args:
        peak: The rate in step W, a number; in [1] it is (d_model W)^-½.
        warmup_steps: W; 0 is the same as 1.
    References:
        [1] Vaswani et al. 2017, section 5.3, equation 3.
    """

    def __init__(self, peak: float, warmup_steps: int):
        self.peak, self.warmup_steps = peak, warmup_steps

    def __call__(self, step):
        n, W = ops.cast(step, "float32") + 1, max(self.warmup_steps, 1)
        return self.peak * ops.minimum(n / W, ops.sqrt(W / n))

    def get_config(self):
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}


def rate_callbacks(options: TrainingOptions, monitor: Monitor) -> list[keras.callbacks.Callback]:
    """The callbacks that set the learning rate, with a schedule that goes by epochs; none with another one.

    Args:
        options: The options of the training.
        monitor: The score that has to get better.
    """
    if options.schedule == "decay":
        factor = DECAY_FACTOR if options.decay_factor is None else options.decay_factor
        first = DECAY_FROM if options.decay_from is None else options.decay_from
        return [Decay(options.learning_rate, factor, first)]
    if options.schedule != "plateau":
        return []
    factor = PLATEAU_FACTOR if options.plateau_factor is None else options.plateau_factor
    patience = PLATEAU_PATIENCE if options.plateau_patience is None else options.plateau_patience
    return [ReduceOnPlateau(monitor, patience, factor), WarmUpToPlateau(options.learning_rate, options.warmup_steps)]


class Decay(keras.callbacks.Callback):
    """Sets the learning rate to peak f^max(e - E, 0) in epoch e, counted from 1 [1].

    It depends on the number of the epoch alone, so there is nothing to remember, and epochs need not be of one length.

    Args:
        peak: The rate of the first E epochs, a number.
        factor: f; [1] divides by 2, 1.2 or 1.15.
        epochs: E; 4, 6 or 14 in [1].
    References:
        [1] Zaremba, Sutskever and Vinyals 2014 (arXiv:1409.2329), section 4.1.
    """

    def __init__(self, peak: float, factor: float, epochs: int):
        super().__init__()
        self.peak, self.factor, self.epochs = peak, factor, epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = self.peak * self.factor ** max(epoch + 1 - self.epochs, 0)


class WarmUpToPlateau(keras.callbacks.Callback):
    """Lets a learning rate that is a variable rise as in `WarmUp`; of steps in one call all have the rate of the last.

    Args:
        peak: The rate after `warmup_steps` steps.
        warmup_steps: Number of steps.
    """

    def __init__(self, peak: float, warmup_steps: int):
        super().__init__()
        self.peak, self.warmup_steps, self.rising = peak, warmup_steps, True

    def on_train_batch_begin(self, batch, logs=None):
        if not self.rising:
            return
        before = steps_of(self.model)
        self.rising = before < self.warmup_steps
        if self.rising:
            n = min(before + self.model.steps_per_execution, self.warmup_steps)
            self.model.optimizer.learning_rate = self.peak * n / self.warmup_steps
