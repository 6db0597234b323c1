"""What happens at the end of an epoch besides Keras's own callbacks."""

import keras


class MetricsFile(keras.callbacks.Callback):
    """Keeps metrics.json: a record for every epoch, the best one by the task's monitor.

    Args:
        run: A `RunDirectory`.
        monitor: Name of the score that decides.
        mode: "min" or "max".
    """

    def __init__(self, run, monitor, mode):
        super().__init__()
        self.run, self.monitor, self.better = run, monitor, min if mode == "min" else max

    def on_epoch_end(self, epoch, logs=None):
        metrics = self.run.read_metrics()
        record = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        epochs = [*metrics["epochs"][:epoch], record]
        best = self.better(epochs, key=lambda r: r[self.monitor])
        self.run.write_metrics({**metrics, "epochs": epochs, "best": best})


def best_so_far(run, monitor):
    """The best score of the epochs so far, or None."""
    best = run.read_metrics()["best"]
    return None if best is None else best[monitor]
