"""How to train, as plain values that a configuration file holds."""

from dataclasses import dataclass
from typing import Any

from seq_models.options import Options, option
from seq_models.text.streams import SEGMENT, SEGMENTS
from seq_models.training.precision import PRECISIONS
from seq_models.training.profile import step_range
from seq_models.training.scheduled_sampling import DECAYS
from seq_models.training.strategy import STRATEGIES

BATCH_ROWS = 32  # small, so that a corpus of a few hundred examples has enough steps to learn from
SCHEDULES = ("constant", "cosine", "inverse_sqrt", "plateau", "decay")
PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.5, 1  # where they are left out
DECAY_FACTOR, DECAY_FROM = 0.5, 4  # the small model of Zaremba, Sutskever and Vinyals 2014
OF_SCHEDULES = {"plateau": ("plateau_factor", "plateau_patience"), "decay": ("decay_factor", "decay_from")}


@dataclass(frozen=True)
class TrainingOptions(Options):
    """How to train; what to train is the network's and the text's options. None: left out.

    Raises:
        ValueError: If a value is not what it should be, or has no effect beside another one.
    """

    epochs: int = option(20, "times that all examples are read", operational=True, at_least=1)
    batch_size: int | None = option(
        None, f"examples of the global batch; {BATCH_ROWS} if batch_tokens is left out too", at_least=1
    )
    batch_tokens: int | None = option(
        None, "instead of batch_size: tokens of the global batch at most, padding included", at_least=1
    )
    optimizer: str = option("adam", "name of a Keras optimizer")
    learning_rate: float = option(1e-3, "the largest one of the schedule", at_least=0)
    schedule: str = option(
        "constant", "how the learning rate changes; cosine falls to 0 over all epochs", choices=SCHEDULES
    )
    warmup_steps: int = option(0, "steps in which the learning rate rises from 0", at_least=0)
    plateau_factor: float | None = option(
        None, f"by which plateau multiplies the learning rate; {PLATEAU_FACTOR} if left out", above=0, below=1
    )
    plateau_patience: int | None = option(
        None, f"epochs without a better score before plateau does; {PLATEAU_PATIENCE} if left out", at_least=1
    )
    decay_factor: float | None = option(
        None, f"by which decay multiplies the learning rate every epoch; {DECAY_FACTOR} if left out", above=0, below=1
    )
    decay_from: int | None = option(
        None, f"epochs with the largest learning rate, before those of decay; {DECAY_FROM} if left out", at_least=1
    )
    clip_norm: float = option(5.0, "largest norm of all gradients together; 0 for no clipping", at_least=0)
    clip_value: float = option(
        0.0, "largest absolute value of a number in a gradient, instead of clip_norm; 0 for no clipping", at_least=0
    )
    accumulate: int = option(
        1, "parts of a batch that are worked through one after the other, for less memory", at_least=1
    )
    precision: str = option("float32", "numbers that the layers calculate with", choices=PRECISIONS)
    average: float = option(
        0.0, "momentum of the moving average of the weights that is validated and kept; 0 for none", at_least=0, below=1
    )
    average_epochs: int | None = option(
        None,
        "the mean of the weights at the ends of so many last epochs is validated and kept [Junczys-Dowmunt 2016]",
        at_least=2,
    )
    average_after_plateau: int | None = option(
        None,
        "with sgd: from the epoch on that is worse than the best of those more than so many epochs before, the mean of "
        "the weights is validated and kept (5 in Merity et al. 2017)",
        at_least=1,
    )
    freeze_embeddings: int | None = option(
        None,
        "epochs in which embeddings stay what they began with, as vectors or those of --from; with as many as all "
        "epochs they are never trained",
        at_least=1,
    )
    steps_per_execution: int = option(1, "steps in one call of TensorFlow", at_least=1)
    watch_share: float = option(
        0.02,
        "share of the time for looks of TensorBoard between the ends of epochs; 0 for numbers only",
        operational=True,
        at_least=0,
        below=1,
    )
    profile_steps: str = option("", "10,20 for a profile of these steps in the logs", operational=True)
    monitor: str | None = option(
        None, "validation score that says which epoch is the best, as val_loss; the task's own if left out"
    )
    monitor_examples: int | None = option(
        None,
        "with a monitor that takes answers, as val_bleu: how many examples of the validation, the first ones, are "
        "answered after every epoch; all if left out",
        at_least=1,
    )
    patience: int = option(
        3,
        "epochs without a better score and without a smaller loss before training stops",
        operational=True,
        at_least=1,
    )
    class_weights: str | None = option(
        None, "what each label counts in the loss: balanced, or label=2.0,other=0.5; 1 for those left out"
    )
    seed: int = option(1, "of weights, dropout and shuffling", at_least=0, below=2**32)
    strategy: str = option("one", "where to train", choices=STRATEGIES)
    checkpoint_seconds: float = option(
        60.0, "between two checkpoints, beside those of every epoch", operational=True, at_least=0
    )
    worker_seconds: float = option(600.0, "that a worker waits for the others to come", operational=True, at_least=0)

    def __post_init__(self):
        super().__post_init__()
        if self.profile_steps:
            step_range(self.profile_steps)
        if self.batch_tokens is not None:
            self._refuse("batch_size", "left out beside batch_tokens")
        if self.clip_norm:
            self._refuse("clip_value", "0, or else clip_norm must be 0")
        for schedule, names in OF_SCHEDULES.items():
            for name in names if self.schedule != schedule else ():
                self._refuse(name, f"left out, or else schedule must be {schedule}")
        if self.schedule == "decay":
            self._refuse("warmup_steps", "0 with schedule=decay")
        if self.average_epochs is not None:
            self._refuse("average", "0 beside average_epochs")
        if self.average_after_plateau is not None:
            self._check_averaging()

    def _check_averaging(self):
        if self.optimizer.lower() != "sgd":
            raise ValueError(f"average_after_plateau needs optimizer=sgd. Received: optimizer={self.optimizer!r}")
        self._refuse("average", "0 beside average_after_plateau")
        self._refuse("average_epochs", "left out beside average_after_plateau")
        if self.patience <= self.average_after_plateau + 1:  # the epochs without a better score that it waits for
            raise ValueError(
                "patience must be more than average_after_plateau + 1, or else training stops before the averaging "
                f"helps. Received: patience={self.patience}, average_after_plateau={self.average_after_plateau}"
            )

    def _refuse(self, name, expected):
        if getattr(self, name):
            raise ValueError(f"{name} must be {expected}. Received: {name}={getattr(self, name)!r}")

    def batch_options(self) -> dict[str, Any]:
        """The arguments of a task's `dataset` that say how large a batch is."""
        rows = BATCH_ROWS if self.batch_size is None and self.batch_tokens is None else self.batch_size
        return {"batch_size": rows, "batch_tokens": self.batch_tokens}

    def compile_options(self) -> dict[str, Any]:
        """The arguments of `TokenTraining.compile` beside the optimizer."""
        return {
            "clip_norm": self.clip_norm or None,
            "clip_value": self.clip_value or None,
            "accumulate": self.accumulate,
            "steps_per_execution": self.steps_per_execution,
        }


@dataclass(frozen=True)
class StreamTrainingOptions(TrainingOptions):
    """How to train what may read a corpus as one continuous text, see `seq_models.text.streams`. Errors: see there."""

    segment_length: int | None = option(
        None, f"tokens of a stream that a row of a batch reads between two updates; {SEGMENT} if left out", at_least=1
    )
    segments: str | None = option(
        None,
        "consecutive ones, whose states are carried on, or random ones of a stream, each read from nothing; "
        "consecutive if left out",
        choices=SEGMENTS,
    )
    vary_segments: bool = option(False, "move the ends of consecutive segments, others in every epoch")

    def __post_init__(self):
        super().__post_init__()
        if self.segments == "random":
            self._refuse("vary_segments", "left out beside segments=random")

    def batch_options(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("segment_length", "segments", "vary_segments")}
        return {**super().batch_options(), **own}


@dataclass(frozen=True)
class TranslationTrainingOptions(TrainingOptions):
    """How to train what is told the tokens before, see `ScheduledSampling`. Errors: see `TrainingOptions`."""

    scheduled_sampling: str | None = option(
        None,
        "how the share of target tokens that the decoder is told falls, step by step, from all, the others being drawn "
        "by the model: linear, 1 - i / k, or inverse_sigmoid, k / (k + exp(i / k)) [Bengio 2015]; all if left out",
        choices=DECAYS,
    )
    sampling_steps: int | None = option(None, "k of scheduled_sampling, in steps i", at_least=1)
    sampling_floor: float | None = option(
        None, "smallest share of scheduled_sampling; 0 if left out", at_least=0, below=1
    )

    def __post_init__(self):
        super().__post_init__()
        if self.scheduled_sampling is None:
            for name in ("sampling_steps", "sampling_floor"):
                self._refuse(name, "left out without scheduled_sampling")
        elif self.sampling_steps is None:
            received = f"scheduled_sampling={self.scheduled_sampling!r}"
            raise ValueError(f"sampling_steps must be given with scheduled_sampling. Received: {received}")

    def compile_options(self) -> dict[str, Any]:
        if self.scheduled_sampling is None:
            return super().compile_options()
        floor = self.sampling_floor or 0.0
        sampling = {"decay": self.scheduled_sampling, "steps": self.sampling_steps, "floor": floor, "seed": self.seed}
        return {**super().compile_options(), "scheduled_sampling": sampling}
