"""One training run: from two files and a configuration to a run directory, begun or resumed."""

import sys
from dataclasses import asdict, dataclass, fields

import keras

from seq_models.errors import options_from_outside
from seq_models.training.callbacks import MetricsFile, best_so_far
from seq_models.training.run_directory import RunDirectory
from seq_models.training.strategy import STRATEGIES, make_strategy

SCHEDULES = {
    "constant": lambda rate, steps: rate,  # noqa: ARG005
    "cosine": keras.optimizers.schedules.CosineDecay,
}


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; what to train is the model's and the text's options."""

    epochs: int = 10  # times that all examples are read
    batch_size: int = 64  # examples of the global batch
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"  # of the learning rate: "constant", or "cosine" down to 0 over all epochs
    clip_norm: float = 5.0  # largest norm of all gradients together; 0 for no clipping
    patience: int = 3  # epochs without a better score before training stops
    seed: int = 1
    strategy: str = "one"

    def __post_init__(self):
        for name in ("epochs", "batch_size", "patience"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a positive integer. Received: {name}={getattr(self, name)!r}")
        for name in ("learning_rate", "clip_norm"):
            if not isinstance(getattr(self, name), int | float) or getattr(self, name) < 0:
                raise ValueError(f"{name} must be a number, 0 or more. Received: {name}={getattr(self, name)!r}")
        for name, choices in (("strategy", STRATEGIES), ("schedule", SCHEDULES)):
            if getattr(self, name) not in choices:
                received = f"{name}={getattr(self, name)!r}"
                raise ValueError(f"{name} must be one of {', '.join(choices)}. Received: {received}")

    @classmethod
    def split(cls, options):
        """A dictionary of options -> (TrainingOptions, the others: those of text and model)."""
        names = [field.name for field in fields(cls)]
        training = {key: value for key, value in options.items() if key in names}
        return cls(**training), {key: value for key, value in options.items() if key not in names}


def train(task, train_data, valid_data, directory, options, model_options, data):
    """Trains a model into a run directory; goes on with what is there.

    Args:
        task: The class of the task's model.
        train_data, valid_data: Examples.
        directory: The run directory.
        options: `TrainingOptions`.
        model_options: Options of `task.from_examples`.
        data: What config.toml says of the data, a dictionary of plain values.
    Returns:
        The `RunDirectory`.
    Raises:
        InputError: If the data, the directory or an option is not what it should be.
    """
    run = RunDirectory(directory)
    config = {"data": {"task": task.task_name, **data}, "training": asdict(options), "model": model_options}
    keras.utils.set_random_seed(options.seed)
    with options_from_outside(), make_strategy(options.strategy).scope():
        model = task.from_examples(train_data, **model_options)
        train_set = model.dataset(train_data, options.batch_size, shuffle=True, seed=options.seed)
        model.compile(_optimizer(options, steps=options.epochs * len(train_set)), clip_norm=options.clip_norm or None)
    valid_set = model.dataset(valid_data, options.batch_size)
    run.start(config)
    if run.read_metrics()["finished"]:
        return run
    run.write_vocabularies(model)
    model.fit(
        train_set,
        validation_data=valid_set,
        epochs=options.epochs,
        callbacks=_callbacks(run, task, options),
        verbose=1 if sys.stdout.isatty() else 2,
    )
    run.write_metrics({**run.read_metrics(), "finished": True})
    return run


def _optimizer(options, steps):
    rate = SCHEDULES[options.schedule](options.learning_rate, steps)
    return keras.optimizers.get({"class_name": options.optimizer, "config": {"learning_rate": rate}})


def _callbacks(run, task, options):
    score = {"monitor": task.monitor, "mode": task.mode}
    best = keras.callbacks.ModelCheckpoint(
        run.model, save_best_only=True, initial_value_threshold=best_so_far(run, task.monitor), **score
    )
    return [
        keras.callbacks.TensorBoard(run.logs),
        best,
        MetricsFile(run, **score),
        keras.callbacks.EarlyStopping(patience=options.patience, **score),
        keras.callbacks.BackupAndRestore(run.checkpoints),
    ]
