"""One training: from two files and a configuration to a run directory, begun or gone on with."""

import contextlib
import hashlib
import itertools
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from seq_models.errors import InputError, WorkerLost, options_from_outside
from seq_models.messages import say
from seq_models.text.datasets import Position
from seq_models.text.example_types import Example
from seq_models.training.averaging import AverageBetweenEpochs
from seq_models.training.best import EarlyStopping, Monitor, check_monitor
from seq_models.training.callbacks import BestModel, MetricsFile
from seq_models.training.checkpoint import Checkpoints
from seq_models.training.class_weights import class_weights
from seq_models.training.cluster import Cluster
from seq_models.training.optimizers import make_optimizer, plateau_callbacks
from seq_models.training.options import TrainingOptions
from seq_models.training.precision import precision
from seq_models.training.profile import Profile, step_range
from seq_models.training.resume import Resume, Termination
from seq_models.training.run_directory import RunDirectory
from seq_models.training.stop_on_nan import StopOnNaN
from seq_models.training.strategy import distribute, make_strategy, of_every_replica
from seq_models.training.variables import value_of
from seq_models.training.watching import watchers

Examples = Iterable[Example]
SAMPLE_TEXTS = 8  # to try an export with
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


def train(
    task: Any,  # the class of a task, which this folder does not know
    train_data: Examples,
    valid_data: Examples,
    directory: str | Path,
    options: TrainingOptions,
    model_options: dict[str, Any],
    data: dict[str, Any],
) -> RunDirectory:
    """Trains a model of a task into a run directory; goes on with what is there.

    Of several workers each calls it with the same arguments and the same, shared, directory; the chief alone writes.

    Args:
        model_options: The options of text and network, those of `task.from_examples`.
        data: What config.toml says of the data, plain values.
    Raises:
        InputError: If the data, the directory or an option is not what it should be.
        WorkerLost: If another worker does not come, or goes.
        SystemExit: After SIGTERM or SIGINT, with code 128 + its number, once all that is needed to go on is saved.
    """
    run, config = RunDirectory(directory), _config(task, options, model_options, data)
    run.check(config)
    if run.read_metrics()["finished"]:
        return run
    cluster = Cluster.from_environment() if options.strategy == "multi-worker" else Cluster.alone()
    cluster.wait(options.worker_seconds)
    inputs = _Inputs(train_data, valid_data, options, cluster, Position())
    with _without_lost_workers(cluster), Termination() as termination:
        strategy = make_strategy(options.strategy)
        model, train_set, valid_set = _build(strategy, task, model_options, inputs)
        monitor = Monitor(options.monitor or model.monitor)
        check_monitor(monitor.score, model.monitors())
        weights = class_weights(options.class_weights, model.preprocessor, train_data)
        callbacks = _callbacks(run, monitor, options, cluster.chief)
        every = options.checkpoint_seconds
        resume = Resume(Checkpoints(run.checkpoints), inputs.position, callbacks, termination, every, cluster)
        finite = StopOnNaN(lambda epoch, batch: inputs.texts_at(model, epoch, resume.first + batch))
        first_epoch = resume.restore(model, say)
        if cluster.several:
            batches = [dataset.batches_in_epoch for dataset in (train_set, valid_set)]
            _check_alike(strategy, cluster, model, [config, inputs.sizes(), batches])
        watching = _begin(run, config, model, inputs) if cluster.chief else []
        model.fit(
            distribute(strategy, train_set),
            validation_data=distribute(strategy, valid_set),
            epochs=options.epochs,
            initial_epoch=first_epoch,
            class_weight=weights,
            callbacks=[finite, *callbacks, *watching, resume],
            verbose=_verbosity(cluster.chief),
        )
        _end(run, strategy, cluster)
    return run


class _Inputs(NamedTuple):
    """The data of a training, and what decides in which order and share this worker reads them."""

    train_data: Examples
    valid_data: Examples
    options: TrainingOptions
    cluster: Cluster
    position: Position

    def training_set(self, model, position):
        options = {"seed": self.options.seed, "share": self.cluster.share, **self.options.batch_options()}
        return model.dataset(self.train_data, shuffle=True, position=position, **options)

    def validation_set(self, model):
        return model.dataset(self.valid_data, share=self.cluster.share, **self.options.batch_options())

    def texts_at(self, model, epoch, batch):
        """The texts of this worker's share of a training batch."""
        inputs, *_ = next(iter(self.training_set(model, Position(epoch, batch))))
        return model.texts(inputs)

    def sizes(self):
        """The sizes of all files."""
        return [
            path.stat().st_size for data in (self.train_data, self.valid_data) for path in getattr(data, "paths", ())
        ]


def _config(task, options, model_options, data):
    """The tables of config.toml."""
    with options_from_outside():
        text, network = task.split_options(model_options)
    tables = {"text": text, "network": network, "training": options}
    return {"data": {"task": task.task_name, **data}, **{name: table.written() for name, table in tables.items()}}


def _build(strategy, task, model_options, inputs):
    """The model, ready for its first step, and the data of this worker."""
    options = inputs.options
    with options_from_outside(), strategy.scope(), precision(options.precision):
        keras.utils.set_random_seed(options.seed)
        model = task.from_examples(inputs.train_data, **model_options)
        train_set, valid_set = inputs.training_set(model, inputs.position), inputs.validation_set(model)
        optimizer = make_optimizer(options, steps=options.epochs * train_set.batches_in_epoch)
        model.compile(optimizer, **options.compile_options())
        model.prepare()
    return model, train_set, valid_set


def _begin(run, config, model, inputs):
    """Writes what a run directory holds from its start; returns the callbacks that show the training."""
    run.start(config)
    run.write_vocabularies(model)
    run.write_sample_texts(map(model.question, itertools.islice(inputs.valid_data, SAMPLE_TEXTS)))
    table = {**config["text"], **config["network"], **config["training"]}
    return watchers(run.path, model, inputs.valid_data, table, share=inputs.options.watch_share)


def _end(run, strategy, cluster):
    if cluster.chief:
        run.write_metrics({**run.read_metrics(), "finished": True})
    if cluster.several:
        of_every_replica(strategy, 0)  # the others leave when the chief has written all


def _callbacks(run, monitor, options, chief):
    """What a training does at the end of an epoch; only the chief writes."""
    callbacks = [AverageBetweenEpochs()] if options.average else []
    callbacks += [BestModel(run.model, monitor, writes=chief), *plateau_callbacks(options, monitor)]
    callbacks += [EarlyStopping(monitor, options.patience)]
    if chief:
        callbacks += [MetricsFile(run, monitor)]
    if chief and options.profile_steps:
        callbacks += [Profile(run.logs, *step_range(options.profile_steps))]
    return callbacks


def _check_alike(strategy, cluster, model, facts):
    """Refuses workers that differ: in options and data, and after them in weights and checkpoint.

    Args:
        facts: Plain values that must be the same on all.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for variable in [*model.variables, *model.optimizer.variables]:
        digest.update(value_of(variable).tobytes())
    numbers = of_every_replica(strategy, int.from_bytes(digest.digest()[:8], signed=True))
    others = [index for index, number in enumerate(numbers) if number != numbers[0]]
    if others:
        names = " and ".join(cluster.name(index) for index in others)
        raise InputError(
            f"Every worker must have the options, data and checkpoints of {cluster.name(0)}. "
            f"Received: others on {names}"
        )


@contextlib.contextmanager
def _without_lost_workers(cluster):
    """Turns what TensorFlow says when another worker has gone into one sentence."""
    try:
        yield
    except LOST as error:
        if not cluster.several:
            raise
        gone = " and ".join(map(cluster.name, cluster.gone())) or error.message.strip().splitlines()[-1]
        raise WorkerLost(
            f"Every worker must stay to the end; the same command for all goes on. Received: nothing from {gone}"
        ) from error


def _verbosity(chief):
    """A bar on a terminal, else a line an epoch; only the chief talks."""
    return (1 if sys.stdout.isatty() else 2) if chief else 0
