"""A training that goes on where it was, bit for bit, after any kind of end."""

import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from seq_models.errors import InputError
from seq_models.messages import say
from seq_models.text.datasets import Position
from seq_models.training.checkpoint import Arrays, Checkpoints
from seq_models.training.cluster import Cluster
from seq_models.training.strategy import of_every_replica
from seq_models.training.variables import steps_of, value_of

# What the callbacks of a training remember from one epoch to the next.
REMEMBERED = {
    "EarlyStopping": ("best", "wait"),
    "ReduceOnPlateau": ("best", "wait"),
    "BestModel": ("best",),
    "AverageAfterPlateau": ("ranks", "started"),
    "AverageOfEpochs": (),  # it has arrays
}

SAVE = 1  # the wish for a checkpoint; greater numbers are signals
STEPS_BETWEEN_AGREEMENTS = 5  # of several workers


class Resume(keras.callbacks.Callback):
    """Saves where a training is, and lets it go on from there.

    A checkpoint holds all variables of the model (random state and carried recurrent states too), the optimizer and the
    metrics, what the callbacks remember, and the position in the data. It is saved every few seconds, at the start of
    every epoch, and when `termination` is asked for. To be the last of the callbacks.

    Several workers save together, for the metrics are sums over all of them: every few steps they agree on whether the
    chief finds that it is time, or one of them was asked to end; then all end.

    Args:
        checkpoints: Where they are kept.
        position: That of the training data; its `epoch` and `batches` say where an epoch begins.
        others: The other callbacks of the training.
        termination: Says whether the training was asked to end.
        seconds: Time between two checkpoints.
        cluster: The workers.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        position: Position,
        others: Iterable[keras.callbacks.Callback],
        termination: "Termination",
        seconds: float,
        cluster: Cluster,
    ):
        super().__init__()
        self.checkpoints, self.position, self.termination = checkpoints, position, termination
        self.cluster = cluster
        self.others = {type(other).__name__: other for other in others if type(other).__name__ in REMEMBERED}
        self.seconds = seconds
        self.restored: tuple[Arrays, dict[str, Any]] | None = None

    def restore(self, model: keras.Model, warn: Callable[[str], None]) -> int:
        """Puts a built and compiled model where the newest checkpoint is; returns the epoch to begin with.

        Args:
            model: The model.
            warn: Called with a sentence for each damaged checkpoint.
        Raises:
            InputError: If the checkpoint is one of another model.
        """
        self.restored = self.checkpoints.newest(warn)
        if self.restored is None:
            return 0
        arrays, state = self.restored
        _assign({**_model_variables(model), **_metric_variables(model)}, arrays)
        return state["epoch"]

    def on_train_begin(self, logs=None):
        self.saved = time.monotonic()
        if self.restored is not None:
            arrays, state = self.restored
            for name, values in state["callbacks"].items():
                vars(self.others[name]).update(values)
            for name, other in self._with_arrays().items():
                start = f"{name}/"
                other.take({key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)})

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.batches = epoch, 0
        if self.restored is not None:
            arrays, state = self.restored
            _assign(_metric_variables(self.model), arrays)  # Keras has just set them to zero
            self.batches = state["batches"]
        self.position.epoch, self.position.batches = epoch, self.batches
        self.first = self.batches
        if self.restored is None:
            self._save()
        self.restored = None
        self._act_on(self._wishes())

    def on_train_batch_end(self, batch, logs=None):
        self.batches = self.first + batch + 1
        if self.cluster.several and self.batches % STEPS_BETWEEN_AGREEMENTS:
            return
        wishes = self._wishes()
        if any(wishes):
            self._save()
        self._act_on(wishes)

    def _with_arrays(self):
        """Those of the other callbacks that remember arrays, too."""
        return {name: other for name, other in self.others.items() if hasattr(other, "arrays")}

    def _wishes(self):
        """Of every worker: the number of the signal that it got, else SAVE or 0."""
        late = self.cluster.chief and time.monotonic() - self.saved > self.seconds
        wish = self.termination.asked or (SAVE if late else 0)
        return of_every_replica(self.model.distribute_strategy, wish) if self.cluster.several else [wish]

    def _act_on(self, wishes):
        asked = max(wishes)
        if asked <= SAVE:
            return
        if self.cluster.chief:
            place = f"in epoch {self.epoch + 1} after batch {self.batches}"
            say(f"The training ends, as it was asked to; it is saved, and the same command goes on {place}.")
        raise SystemExit(128 + asked)

    def _save(self):
        self.saved = time.monotonic()
        variables = {**_model_variables(self.model), **_metric_variables(self.model)}
        arrays = {name: value_of(variable) for name, variable in variables.items()}
        if not self.cluster.chief:
            return
        for name, other in self._with_arrays().items():
            arrays |= {f"{name}/{key}": array for key, array in other.arrays().items()}
        callbacks = {name: {key: vars(other)[key] for key in REMEMBERED[name]} for name, other in self.others.items()}
        state = {"epoch": self.epoch, "batches": self.batches, "callbacks": callbacks}
        self.checkpoints.save(steps_of(self.model), arrays, state)


class Termination:
    """Within it, a signal to end (SIGTERM, SIGINT) is only noted, so that a training can save first; a second one acts.

    Only the main thread of a process gets signals; in another one nothing is noted.

    Attributes:
        asked: The number of the signal, or 0.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self):
        self.asked = 0

    def __enter__(self):
        main = threading.current_thread() is threading.main_thread()
        self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS if main}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        self.asked = number
        say("The training ends once it is saved; the next signal ends it at once.")
        signal.signal(number, self._before[number])


def _model_variables(model):
    groups = {"model": model.variables, "optimizer": model.optimizer.variables, "carried": model.carried_variables()}
    return {f"{group}/{index}": v for group, variables in groups.items() for index, v in enumerate(variables)}


def _metric_variables(model):
    return {f"metric/{index}": variable for index, variable in enumerate(model.metrics_variables)}


def _assign(variables, arrays):
    for name, variable in variables.items():
        received = arrays[name].shape if name in arrays else "none"
        if name not in arrays or not tf.TensorShape(received).is_compatible_with(variable.shape):
            raise InputError(
                f"The checkpoint must be one of this model, with a {getattr(variable, 'path', variable.name)} of shape "
                f"{tuple(variable.shape)}. Received: {received}"
            )
        variable.assign(arrays[name])
