"""One training: from two files and a configuration to a run directory, begun or gone on with."""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from seq_models.errors import InputError, WorkerLost, options_from_outside, shortened
from seq_models.messages import say
from seq_models.text.counting import count_shared, say_cut_examples
from seq_models.text.datasets import Position
from seq_models.text.example_types import Example
from seq_models.text.given import Given
from seq_models.training.averaged_sgd import AverageAfterPlateau
from seq_models.training.beginning import model_of_run, options_of_run
from seq_models.training.best import EarlyStopping, Monitor, check_monitor
from seq_models.training.callbacks import (
    AnswerScore,
    AverageBetweenEpochs,
    AverageOfEpochs,
    Bar,
    BestModel,
    FreezeEmbeddings,
    MetricsFile,
    SlowEngines,
)
from seq_models.training.changes import check_epochs, ending
from seq_models.training.checkpoint import Checkpoints
from seq_models.training.class_weights import class_weights
from seq_models.training.cluster import Cluster
from seq_models.training.identity import Identity
from seq_models.training.lock import locked
from seq_models.training.optimizers import make_optimizer, rate_callbacks
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
FULL = os.strerror(errno.ENOSPC)  # some of TensorFlow's errors of a full disk are of no kind
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
    from_run: str | Path | None = None,
) -> RunDirectory:
    """Trains a model of a task into a run directory; goes on with what is there.

    Of several workers each calls it with the same arguments and the same, shared, directory; the chief alone writes.

    Args:
        model_options: The options of text and network, those of `task.from_examples`.
        data: What config.toml says of the data, plain values.
        from_run: A run whose vocabulary and best weights this one begins with; those of its options come from there.
    Raises:
        InputError: If the data, the directory or an option is not what it should be.
        WorkerLost: If another worker does not come, or goes.
        SystemExit: After SIGTERM or SIGINT, with code 128 + its number, once all that is needed to go on is saved.
    """
    run, beginning = RunDirectory(directory), None if from_run is None else RunDirectory(from_run)
    if beginning is not None:
        model_options = options_of_run(beginning, task, model_options)
        data = {**data, "from": str(from_run)}
    with options_from_outside():
        made = task.split_options(model_options)
    identity = Identity(made["embeddings"].files(), train=train_data, valid=valid_data)
    config = _config(task, {**made, "training": options}, {**data, **identity.contents})
    run.check(config, options.operational())
    identity.check(run)
    check_epochs(run, options)
    if reason := ending(run, options):
        run.check_model()
        say(f"{run.path} {reason}")
        return run
    cluster = Cluster.from_environment() if options.strategy == "multi-worker" else Cluster.alone()
    inputs = _Inputs(train_data, valid_data, options, cluster, Position())
    lock = locked(run.path) if cluster.chief else contextlib.nullcontext()
    with lock, _told_in_a_sentence(cluster), identity.blamed():
        cluster.wait(options.worker_seconds)
        strategy = make_strategy(options.strategy)
        built = _build(strategy, task, model_options, inputs, beginning)
        _train(run, config, inputs, identity, strategy, *built)
    return run


def _train(run, config, inputs, identity, strategy, model, train_set, valid_set):
    options, cluster = inputs.options, inputs.cluster
    monitor = Monitor(options.monitor or model.monitor)
    check_monitor(monitor.score, model.monitors())
    answering = _answering(model, monitor, inputs)
    weights = class_weights(options.class_weights, model.preprocessor, inputs.train_data)
    callbacks = _callbacks(run, monitor, options, cluster.chief)
    with Termination() as termination:
        every = options.checkpoint_seconds
        resume = Resume(Checkpoints(run.checkpoints), inputs.position, callbacks, termination, every, cluster)
        finite = StopOnNaN(lambda epoch, batch: inputs.texts_at(model, epoch, resume.first + batch))
        first_epoch = resume.restore(model, say)
        _check_restored(run, resume, cluster)
        if cluster.several:
            batches = [dataset.batches_in_epoch for dataset in (train_set, valid_set)]
            _check_alike(strategy, cluster, model, [config, batches])
        watching = _begin(run, config, model, inputs) if cluster.chief else []
        model.fit(
            distribute(strategy, train_set),
            validation_data=distribute(strategy, valid_set),
            epochs=options.epochs,
            initial_epoch=first_epoch,
            class_weight=weights,
            callbacks=[
                *answering,
                Bar(train_set.batches_in_epoch, resume),
                identity,
                finite,
                *callbacks,
                *watching,
                resume,
            ],
            verbose=_verbosity(cluster.chief),
        )
        _end(run, monitor, model, inputs, strategy)


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


def _config(task, options, data):
    """The tables of config.toml."""
    tables = {name: group.written() for name, group in options.items()}
    return {"data": {"task": task.task_name, **data}, **tables}


def _build(strategy, task, model_options, inputs, beginning=None):
    """The model, ready for its first step, and the data of this worker."""
    options = inputs.options
    with options_from_outside(), strategy.scope(), precision(options.precision):
        keras.utils.set_random_seed(options.seed)
        if beginning is None:
            model = task.from_examples(inputs.train_data, **model_options)
        else:
            model = model_of_run(beginning, task, inputs.train_data)
        train_set, valid_set = inputs.training_set(model, inputs.position), inputs.validation_set(model)
        optimizer = make_optimizer(options, steps=options.epochs * train_set.batches_in_epoch)
        model.compile(optimizer, **options.compile_options())
        model.prepare()
    return model, train_set, valid_set


def _check_restored(run, resume, cluster):
    """Says where a training goes on. Without a checkpoint it would begin anew, and replace what an earlier one kept."""
    if resume.restored is None:
        if run.model.exists():
            raise InputError(
                f"{run.checkpoints} must hold a whole checkpoint to go on from; {run.model} stays as it is, so choose "
                "another directory. Received: none"
            )
    elif cluster.chief:
        _, state = resume.restored
        if state["callbacks"]["BestModel"]["best"] is not None:
            run.check_model()  # of an epoch that is not trained again
        say(f"{run.path} goes on in epoch {state['epoch'] + 1} after batch {state['batches']}.")


def _begin(run, config, model, inputs):
    """Writes what a run directory holds from its start; returns the callbacks that show the training."""
    if shared := count_shared(inputs.train_data, inputs.valid_data):
        say(f"{shared} of the validation examples are training examples too, so their scores promise too much.")
    metrics = run.read_metrics()
    if metrics["finished"]:  # it goes on; written before its new options, which it has not come to the end of
        run.write_metrics({**metrics, "finished": False})
    run.start(config, inputs.options.operational())
    run.write_vocabularies(model)
    run.write_sample_texts(map(model.question, itertools.islice(inputs.valid_data, SAMPLE_TEXTS)))
    run.write_coverage(model.coverage)
    say_cut_examples(model.preprocessor, inputs.train_data, "training examples")
    say_cut_examples(model.preprocessor, inputs.valid_data, "validation examples")
    groups = model.option_groups()
    table = {name: config[group].get(name) for group, options in groups.items() for name in options.names()}
    return watchers(run.path, model, inputs.valid_data, table, share=inputs.options.watch_share)


def _end(run, monitor, model, inputs, strategy):
    options, cluster = inputs.options, inputs.cluster
    if cluster.chief:
        model.finish(run, inputs.valid_data)
        metrics = run.read_metrics()
        run.write_metrics({**metrics, "finished": True})
        done, best = len(metrics["epochs"]), metrics["best"]
        if done < options.epochs:
            say(
                f"The training has ended after {done} of {options.epochs} epochs: none of the last {options.patience} "
                f"was better than epoch {best['epoch']}, with {monitor.score} {best[monitor.score]:.4f}."
            )
    if cluster.several:
        of_every_replica(strategy, 0)  # the others leave when the chief has written all


def _answering(model, monitor, inputs):
    """What scores answers at the end of an epoch, if the monitor is such a score; every worker does."""
    scores, count = model.answer_scores(), inputs.options.monitor_examples
    if monitor.score in scores:
        examples = itertools.islice(Given(inputs.valid_data, model.preprocessor.example_type), count)
        return [AnswerScore(monitor.score, scores[monitor.score], list(examples))]
    if count is not None:
        known = ", ".join(scores) or "none of this task"
        raise InputError(
            f"monitor_examples needs a monitor that takes answers, {known}. Received: monitor={monitor.score!r}"
        )
    return []


def _callbacks(run, monitor, options, chief):
    """What a training does at the end of an epoch; only the chief writes."""
    late = options.average_after_plateau
    callbacks: list[Any] = [AverageBetweenEpochs()] if options.average or late else []
    callbacks += [AverageOfEpochs(options.average_epochs)] if options.average_epochs else []
    callbacks += [BestModel(run.model, monitor, writes=chief), *rate_callbacks(options, monitor)]
    callbacks += [AverageAfterPlateau(monitor, late)] if late else []
    callbacks += [EarlyStopping(monitor, options.patience)]
    callbacks += [FreezeEmbeddings(options.freeze_embeddings)] if options.freeze_embeddings else []
    if chief:
        callbacks += [MetricsFile(run, monitor), SlowEngines()]
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
def _told_in_a_sentence(cluster):
    """Turns what TensorFlow says when another worker or all room has gone into one sentence."""
    try:
        yield
    except LOST as error:
        if not cluster.several:
            raise
        gone = " and ".join(map(cluster.name, cluster.gone())) or error.message.strip().splitlines()[-1]
        raise WorkerLost(
            f"Every worker must stay to the end; the same command for all goes on. Received: nothing from {gone}"
        ) from error
    except tf.errors.OpError as error:
        if not isinstance(error, tf.errors.ResourceExhaustedError) and FULL not in error.message:
            raise
        reason = shortened(" ".join(error.message.split()), 200)
        raise InputError(f"Disk and memory must have room for the training. Received: {reason}") from error


def _verbosity(chief):
    """A bar on a terminal, else a line an epoch; only the chief talks."""
    return (1 if sys.stdout.isatty() else 2) if chief else 0
