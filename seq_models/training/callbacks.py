"""What happens beside a training's steps, apart from Keras's own callbacks."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from seq_models.files import written_whole
from seq_models.messages import say
from seq_models.training.best import Monitor
from seq_models.training.resume import Resume
from seq_models.training.run_directory import RunDirectory

LONGEST = 20  # characters of a bar


class AnswerScore(keras.callbacks.Callback):
    """Adds a score of the model's answers to what an epoch reports. To come before the callbacks that read it.

    Args:
        name: Of the score in the logs.
        score: A function of a list of examples.
        examples: The examples that are answered.
    """

    def __init__(self, name: str, score: Callable[[Sequence[Any]], float], examples: Sequence[Any]):
        super().__init__()
        self.name, self.score, self.examples = name, score, examples

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.score(self.examples)


class BestModel(keras.callbacks.Callback):
    """Keeps the model of the best epoch, in a file that is whole at every moment.

    Args:
        path: Of the `.keras` file.
        monitor: The score that decides.
        writes: Whether this process saves; of several workers only the chief does.
    """

    def __init__(self, path: Path, monitor: Monitor, writes: bool = True):
        super().__init__()
        self.path, self.monitor, self.writes = path, monitor, writes
        self.best: list[float] | None = None

    def on_epoch_end(self, epoch, logs=None):
        rank = self.monitor.rank(logs)
        if self.best is not None and rank <= self.best:
            return
        self.best = rank
        if self.writes:
            with written_whole(self.path) as aside:
                self.model.save(aside)


class FreezeEmbeddings(keras.callbacks.Callback):
    """Leaves the embeddings of words as they are in the first epochs.

    Args:
        epochs: Their number.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        layers = self.model.embeddings() if epoch < self.epochs else ()
        self.model.freeze([self.model.network.get_layer(name).embeddings for name in layers])


class MetricsFile(keras.callbacks.Callback):
    """Keeps metrics.json: a record for every epoch, the best one by the monitor.

    Args:
        run: The run directory.
        monitor: The score that decides.
    """

    def __init__(self, run: RunDirectory, monitor: Monitor):
        super().__init__()
        self.run, self.monitor = run, monitor

    def on_epoch_end(self, epoch, logs=None):
        metrics = self.run.read_metrics()
        record = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        epochs = [*metrics["epochs"][:epoch], record]
        best = max(epochs, key=self.monitor.rank)
        self.run.write_metrics({**metrics, "epochs": epochs, "best": best})


class SlowEngines(keras.callbacks.Callback):
    """Says once why recurrent layers do not run on the fastest engine of the machine, where they do not."""

    FASTEST = ("cudnn", "fused")

    def __init__(self):
        super().__init__()
        self.told = False

    def on_train_batch_end(self, batch, logs=None):
        if self.told:
            return
        self.told = True
        used = {each for each in self.model.network.engines_used().values() if each.name not in self.FASTEST}
        for name, why in sorted(used):
            say(f"Recurrent layers run on the engine {name!r}, and might be faster on another one: {why}.")


class AverageBetweenEpochs(keras.callbacks.Callback):
    """Between two epochs the model holds an average of its weights [1]: it is validated and saved with it.

    Training goes on with the weights themselves, exactly: `keras.callbacks.SwapEMAWeights` loses digits of them, for it
    swaps by addition, and leaves them in the model if training stops early. The average is that of the optimizer, one
    made with `use_ema` or an `AveragedSGD`; after `fit` it stays in the model. To come before the callbacks that save a
    model.

    References:
        [1] Polyak and Juditsky 1992.
    """

    def __init__(self):
        super().__init__()
        self.aside = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.aside is not None:
            for variable, value in zip(self.model.trainable_variables, self.aside, strict=True):
                variable.assign(value)
        self.aside = None

    def on_test_begin(self, logs=None):
        self._put_aside()

    def on_epoch_end(self, epoch, logs=None):
        self._put_aside()

    def _put_aside(self):
        if self.aside is None:
            variables = self.model.trainable_variables
            self.aside = [variable.numpy() for variable in variables]
            self.average(variables)

    def average(self, variables: list[keras.Variable]) -> None:
        """Puts the average into the variables."""
        self.model.optimizer.finalize_variable_values(variables)


class AverageOfEpochs(AverageBetweenEpochs):
    """The average is the mean of the weights at the ends of the last epochs [1], of all where there are fewer.

        w̄_e = (w_e + w_{e-1} + … + w_{e-n+1}) / n

    Args:
        epochs: n.
    References:
        [1] Checkpoint averaging: Junczys-Dowmunt, Dwojak and Sennrich 2016 (arXiv:1605.04809), section 2.3.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs
        self.ends: list[list[np.ndarray]] = []

    def average(self, variables: list[keras.Variable]) -> None:
        self.ends = [*self.ends, self.aside][-self.epochs :]
        for variable, *values in zip(variables, *self.ends, strict=True):
            variable.assign(np.mean(values, axis=0, dtype=values[0].dtype))

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps beside weights."""
        return {f"{n}/{k}": array for n, end in enumerate(self.ends) for k, array in enumerate(end)}

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `arrays` gave."""
        count = len(self.model.trainable_variables)
        self.ends = [[arrays[f"{n}/{k}"] for k in range(count)] for n in range(len(arrays) // count)]


class Bar(keras.callbacks.ProgbarLogger):
    """Keras's bar in one line, which knows the number of steps from the first epoch on, and where an epoch goes on.

    Args:
        steps: Steps in an epoch.
        resume: Says how many of them were done before.
    """

    def __init__(self, steps: int, resume: Resume):
        super().__init__()
        self.steps, self.resume = steps, resume

    def on_epoch_begin(self, epoch, logs=None):
        self.target = self.steps
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(self.resume.first + batch, self._fitting(logs or {}))

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.verbose != 1:
            super().on_epoch_end(epoch, logs)
            return
        validation = [name for name in logs if name.startswith("val_")]
        super().on_epoch_end(epoch, self._fitting({name: logs[name] for name in logs if name not in validation}))
        print(*(f"{name}: {logs[name]:.4f}" for name in validation), sep=" - ", flush=True)

    def _fitting(self, logs: Mapping[str, float]) -> dict[str, float]:
        """The loss and, as many as fit into a line, the other values, with a bar as short as they need it.

        A longer line could not be written over, and each step would leave one behind.
        """
        shown: dict[str, float] = {}
        room = shutil.get_terminal_size().columns - 1 - len(f"{self.target}/{self.target}  1:00:00 100ms/step")
        for name in sorted(logs, key=lambda name: (name != "loss", name == "gradient_norm")):
            value = logs[name]
            room -= len(f" - {name}: {value:.4{'f' if abs(value) > 1e-3 else 'e'}}")  # as Keras writes it
            if room < 0:
                break
            shown[name] = value
            self.progbar.width = min(LONGEST, room)
        return shown
