"""All models by the name that the command line has for them, and the model of a run."""

from pathlib import Path
from typing import Any

from seq_models.baselines import BASELINES
from seq_models.tasks import TASKS, VARIANTS
from seq_models.training.run_directory import RunDirectory

MODELS = {**TASKS, **VARIANTS, **BASELINES}


def load_run(directory: str | Path) -> Any:
    """The best model of a run directory, of whichever task: a `TextModel`.

    Raises:
        InputError: If there is none, or its vocabulary is not the one in the directory.
    """
    return RunDirectory(directory).load_model()
