"""A run that begins where another one has come to: with its text, its network, its vocabulary and its best weights."""

from collections.abc import Iterable
from typing import Any

from seq_models.errors import InputError
from seq_models.text.counting import SHOWN, count_labels
from seq_models.text.example_types import Example
from seq_models.training.run_directory import RunDirectory


def options_of_run(run: RunDirectory, task: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The options of the model of a run.

    Args:
        run: The run.
        task: The class of the task that it must be of.
        given: What is asked of them, by name.
    Raises:
        InputError: If it is no run of the task, or it has other values than those given.
    """
    config = run.read_config() if run.config.exists() else {}
    if not {"data", "text", "network"} <= config.keys() or config["data"]["task"] != task.task_name:
        received = config.get("data", {}).get("task", "no such run")
        raise InputError(f"{run.path} must be a run that {task.task_name} was trained into. Received: {received}")
    tables = (table for name, table in config.items() if name not in ("data", "embeddings", "training"))
    options = {name: value for table in tables for name, value in table.items()}
    for name, value in given.items():
        if name in task.embedding_options_class.names():
            expected = f"{name} must be left out with --from, for all weights begin as those of {run.path}"
            raise InputError(f"{expected}. Received: {name}={value!r}")
        if options.get(name) != value:
            raise InputError(
                f"{name} must be left out or that of {run.path}, {options.get(name)}. Received: {name}={value!r}"
            )
    return options


def model_of_run(run: RunDirectory, task: Any, examples: Iterable[Example]) -> Any:
    """A new model of a task, with vocabulary and weights of the best one of a run.

    Raises:
        InputError: If the examples that it is to be trained on have labels that the run has not.
    """
    best = run.load_model()
    labels = best.preprocessor.labels
    unseen = [] if labels is None else labels.unseen(count_labels(best.preprocessor, examples))
    if unseen:
        known = ", ".join(labels.names[:SHOWN])
        raise InputError(f"Labels must be those of {run.path}, {known}. Received: {', '.join(unseen[:SHOWN])}")
    network = task.network_class.from_config(best.network.get_config())  # whose dropout has the seed of this training
    network.set_weights(best.network.get_weights())
    return task(network, best.preprocessor, **best.own_options())
