"""Where an encoder-decoder looks as it writes."""

import tensorflow as tf

from seq_models.plots import plot_attention
from seq_models.training.watching.watcher import Watcher


class Attention(Watcher):
    """A picture of the attention weights for each of some validation examples that stay, `attention/1`, …

    Args:
        log, share: See `Watcher`.
        model: An encoder-decoder.
        examples: A list of examples.
    """

    def __init__(self, log, share, model, examples):
        super().__init__(log, share)
        self.examples, self.attend = examples, tf.function(model.attend)

    def prepare(self):
        self.model.attention(self.examples, self.attend)

    def look(self, step, epoch):
        for number, (weights, source, target) in enumerate(self.model.attention(self.examples, self.attend), start=1):
            self.log.picture(f"attention/{number}", step, plot_attention(weights, source, target))
