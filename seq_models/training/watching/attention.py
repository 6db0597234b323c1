"""Where an encoder-decoder looks as it writes."""

from seq_models.plots import plot_attention
from seq_models.training.watching.watcher import Watcher


class Attention(Watcher):
    """A picture of the attention weights for each of some validation examples that stay, `attention/1`, …

    Args:
        log, share: See `Watcher`.
        examples: A list of examples.
    """

    def __init__(self, log, share, examples):
        super().__init__(log, share)
        self.examples = examples

    def prepare(self):
        self.model.attention(self.examples)

    def look(self, step, epoch):
        for number, (weights, source, target) in enumerate(self.model.attention(self.examples), start=1):
            self.log.picture(f"attention/{number}", step, plot_attention(weights, source, target))
