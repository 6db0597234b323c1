"""What the model says of a few examples, and where an encoder-decoder looks as it writes."""

from collections.abc import Sequence
from typing import Any

from seq_models.plots import plot_attention
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


class Attention(Watcher):
    """A picture of the attention weights for each of some validation examples that stay, `attention/1`, …

    Args:
        log: See `Watcher`.
        examples: The examples.
    """

    def __init__(self, log: TrainingLog, examples: Sequence[Any]):
        super().__init__(log)
        self.examples = examples

    def prepare(self) -> None:
        self.model.attention(self.examples)

    def look(self, step: int, epoch: int) -> None:
        for number, (weights, source, target) in enumerate(self.model.attention(self.examples), start=1):
            self.log.picture(f"attention/{number}", step, plot_attention(weights, source, target), [*source, *target])
