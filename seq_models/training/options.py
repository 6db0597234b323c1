"""How to train, as plain values that a configuration file holds."""

import math
from dataclasses import dataclass, fields

from seq_models.training.optimizers import SCHEDULES
from seq_models.training.precision import PRECISIONS
from seq_models.training.profile import step_range
from seq_models.training.strategy import STRATEGIES


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; what to train is the model's and the text's options.

    Raises:
        ValueError: If a value is not what it should be, or has no effect beside another one.
    """

    epochs: int = 10  # times that all examples are read
    batch_size: int = 64  # examples of the global batch
    batch_tokens: int = 0  # instead of batch_size: tokens of the global batch at most, padding included; 0 for none
    optimizer: str = "adam"
    learning_rate: float = 1e-3  # the largest one of the schedule
    schedule: str = "constant"  # of the learning rate: "cosine" (to 0 over all epochs), "inverse_sqrt", "plateau"
    warmup_steps: int = 0  # steps in which the learning rate rises from 0
    plateau_factor: float = 0.5  # by which "plateau" multiplies the learning rate
    plateau_patience: int = 1  # epochs without a better score before it does
    clip_norm: float = 5.0  # largest norm of all gradients together; 0 for no clipping
    clip_value: float = 0.0  # largest absolute value of a number in a gradient; 0 for no clipping; not with clip_norm
    accumulate: int = 1  # parts of a batch that are worked through one after the other, for less memory
    precision: str = "float32"  # or "mixed_bfloat16", "mixed_float16"
    average: float = 0.0  # momentum of the moving average of the weights that is validated and kept; 0 for none
    steps_per_execution: int = 1  # steps in one call of TensorFlow
    watch_share: float = 0.02  # of the time, for pictures, texts and histograms in TensorBoard; 0 for numbers only
    profile_steps: str = ""  # "10,20" for a profile of these steps in the logs
    patience: int = 3  # epochs without a better score before training stops
    seed: int = 1
    strategy: str = "one"
    checkpoint_seconds: float = 60.0  # from one checkpoint to the next, beside those of every epoch
    worker_seconds: float = 600.0  # that a worker waits for the others to come

    def __post_init__(self):
        counts = ("epochs", "batch_size", "patience", "plateau_patience", "accumulate", "steps_per_execution")
        self._expect("a positive integer", lambda v: type(v) is int and v > 0, *counts)
        self._expect(
            "an integer, 0 or more", lambda v: type(v) is int and v >= 0, "warmup_steps", "seed", "batch_tokens"
        )
        rates = ("learning_rate", "clip_norm", "clip_value", "checkpoint_seconds", "worker_seconds")
        self._expect("a number, 0 or more", lambda v: _number(v) and v >= 0, *rates)
        self._expect(
            "a number, 0 or more and less than 1", lambda v: _number(v) and 0 <= v < 1, "average", "watch_share"
        )
        self._expect("a number between 0 and 1", lambda v: _number(v) and 0 < v < 1, "plateau_factor")
        self._expect(f"one of {', '.join(STRATEGIES)}", lambda v: v in list(STRATEGIES), "strategy")
        self._expect(f"one of {', '.join(SCHEDULES)}", lambda v: v in SCHEDULES, "schedule")
        self._expect(f"one of {', '.join(PRECISIONS)}", lambda v: v in PRECISIONS, "precision")
        if self.profile_steps != "":
            step_range(self.profile_steps)
        if self.batch_tokens:
            self._expect("left out, or else batch_tokens must be 0", lambda v: v == 64, "batch_size")
        if self.clip_norm:
            self._expect("0, or else clip_norm must be 0", lambda v: not v, "clip_value")
        if self.schedule != "plateau":
            self._expect("left out, or else schedule must be plateau", lambda v: v == 0.5, "plateau_factor")
            self._expect("left out, or else schedule must be plateau", lambda v: v == 1, "plateau_patience")

    def _expect(self, expected, holds, *names):
        for name in names:
            if not holds(getattr(self, name)):
                raise ValueError(f"{name} must be {expected}. Received: {name}={getattr(self, name)!r}")

    @classmethod
    def split(cls, options):
        """A dictionary of options -> (TrainingOptions, the others: those of text and model)."""
        names = [field.name for field in fields(cls)]
        training = {key: value for key, value in options.items() if key in names}
        return cls(**training), {key: value for key, value in options.items() if key not in names}

    def batch_options(self):
        """The argument of `Task.dataset` that says how large a batch is."""
        return {"batch_tokens": self.batch_tokens} if self.batch_tokens else {"batch_size": self.batch_size}

    def compile_options(self):
        """The arguments of `TokenTraining.compile` beside the optimizer."""
        return {
            "clip_norm": self.clip_norm or None,
            "clip_value": self.clip_value or None,
            "accumulate": self.accumulate,
            "steps_per_execution": self.steps_per_execution,
        }


def _number(value):
    return type(value) in (int, float) and math.isfinite(value)
