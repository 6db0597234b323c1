"""What the tasks that write text share."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from seq_models import decoding
from seq_models.tasks.task import Task
from seq_models.text.vocabulary import END, PAD, START, UNKNOWN

CONTROL = (PAD, UNKNOWN, START)  # what is no token of a text to write


class TextWriter(Task):
    """A task whose network writes one token after the other, see `seq_models.decoding.generation`."""

    @property
    def monitor(self) -> str:
        return "val_perplexity"

    def monitors(self) -> list[str]:
        return [*super().monitors(), "val_perplexity"]

    def directions(self) -> dict[str, str]:
        return {**super().directions(), "perplexity": "down"}

    def get_metrics_result(self):
        """The logs, with perplexity = exp(loss)."""
        logs = super().get_metrics_result()
        return {**logs, "perplexity": tf.exp(logs["loss"])}

    def write(
        self,
        first: tf.Tensor,
        states: Any,
        choose: Callable,
        max_length: int | tf.Tensor,
        changes: Sequence[decoding.Change] = (),
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Token ids, their number and their log probability. Arguments: see `decoding.generate`."""
        return decoding.generate(self.network.step, choose, first, states, END, max_length, CONTROL, changes)

    def log_probability(self, inputs: Any, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Σ_t w_t log P(y_t) of each row (B,), natural: targets and weights (B, T)."""
        log_p = self.network.head.log_probability(self.hidden(inputs), targets)
        return tf.reduce_sum(log_p * tf.cast(weights, log_p.dtype), axis=-1)
