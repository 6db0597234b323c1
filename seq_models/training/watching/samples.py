"""What the model says of a few examples."""

from collections.abc import Sequence
from typing import Any

from seq_models.training.watching.log import TrainingLog
from seq_models.training.watching.watcher import Watcher


class Samples(Watcher):
    """A table of the model's answers to some validation examples that stay, as the text `samples`.

    Args:
        log: See `Watcher`.
        examples: The examples, not empty.
    """

    def __init__(self, log: TrainingLog, examples: Sequence[Any]):
        super().__init__(log)
        self.examples = examples

    def look(self, step: int, epoch: int) -> None:
        self.log.table("samples", step, self.model.samples(self.examples))
