"""What may be another thing when a training is asked for again, and whether a run goes on then.

Operational options change no step of a training, so a run goes on with new ones. Two of them say when it ends:
`epochs`, and `patience` when no epoch is better. An ended run goes on if it would not have ended by the new ones, from
its newest checkpoint: what comes of it is what would have come of them at once.
"""

from seq_models.errors import InputError
from seq_models.training.options import TrainingOptions
from seq_models.training.run_directory import RunDirectory


def check_epochs(run: RunDirectory, options: TrainingOptions) -> None:
    """Whether a run can have so many epochs.

    Raises:
        InputError: If it has had more, or if its learning rates would have been others.
    """
    before, done = _before(run, options), len(run.read_metrics()["epochs"])
    if options.epochs == before["epochs"]:
        return
    if options.schedule == before["schedule"] == "cosine":
        raise InputError(
            f"epochs must stay {before['epochs']} in {run.path}: with schedule=cosine the learning rate of every step "
            f"depends on it; --from {run.path} begins a new run with its weights. Received: epochs={options.epochs}"
        )
    if options.epochs < done:
        raise InputError(
            f"epochs must be at least the {done} that {run.path} has had. Received: epochs={options.epochs}"
        )


def ending(run: RunDirectory, options: TrainingOptions) -> str | None:
    """Why nothing is left to do in a run, as a sentence goes on after its name; None if something is."""
    metrics, before = run.read_metrics(), _before(run, options)
    done = len(metrics["epochs"])
    if not metrics["finished"]:
        return None
    if options.epochs <= done:
        return f"has had its {done} epochs and stays as it is; with more epochs it goes on."
    if done < before["epochs"] and options.patience <= (patience := before["patience"]):
        return f"stopped early, after epoch {done}, and stays as it is; with patience above {patience} it goes on."
    return None


def _before(run, options):
    """The options of a run as it was."""
    return (run.read_config() if run.config.exists() else {}).get("training", options.written())
