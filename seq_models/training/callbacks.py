"""What happens at the end of an epoch besides Keras's own callbacks."""

from pathlib import Path

import keras

from seq_models.files import written_whole
from seq_models.training.run_directory import RunDirectory


class BestModel(keras.callbacks.Callback):
    """Keeps the model of the best epoch, in a file that is whole at every moment.

    Args:
        path: Of the `.keras` file.
        monitor: Name of the score that decides.
        mode: "min" or "max".
        writes: Whether this process saves; of several workers only the chief does.
    """

    def __init__(self, path: Path, monitor: str, mode: str, writes: bool = True):
        super().__init__()
        self.path, self.monitor, self.better, self.writes = path, monitor, min if mode == "min" else max, writes
        self.best = None

    def on_epoch_end(self, epoch, logs=None):
        score = float(logs[self.monitor])
        if self.best is not None and self.better(score, self.best) == self.best:
            return
        self.best = score
        if self.writes:
            with written_whole(self.path) as aside:
                self.model.save(aside)


class MetricsFile(keras.callbacks.Callback):
    """Keeps metrics.json: a record for every epoch, the best one by the task's monitor.

    Args:
        run: The run directory.
        monitor: Name of the score that decides.
        mode: "min" or "max".
    """

    def __init__(self, run: RunDirectory, monitor: str, mode: str):
        super().__init__()
        self.run, self.monitor, self.better = run, monitor, min if mode == "min" else max

    def on_epoch_end(self, epoch, logs=None):
        metrics = self.run.read_metrics()
        record = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        epochs = [*metrics["epochs"][:epoch], record]
        best = self.better(epochs, key=lambda r: r[self.monitor])
        self.run.write_metrics({**metrics, "epochs": epochs, "best": best})
