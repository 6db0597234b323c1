"""P(w_1 … w_m) = Π_t P(w_t | w_{t-n+1} … w_{t-1}), each factor from a table."""

from collections.abc import Sequence
from typing import Any

import keras

from seq_models.baselines.last_words import LastWordsNetwork
from seq_models.baselines.ngram_head import NgramHead
from seq_models.baselines.ngram_options import NgramOptions
from seq_models.layers.tensors import Tensor


@keras.saving.register_keras_serializable(package="seq_models")
class NgramNetwork(LastWordsNetwork):
    """An n-gram language model as the network of a task: its hidden states are the last n-1 words themselves.

    Inputs: token ids (B, T) that start with `<s>`. Outputs: log probabilities (B, T, V); those at t are of the token
    after t. States: ids (B, n-1), 0 before the start of a text.

    Args:
        vocabulary_size: V.
        table_sizes: How many n-grams there are of each length from 2 to n; n may be smaller than `order`.
        options: See `NgramOptions`.
    """

    options_class = NgramOptions

    def __init__(self, vocabulary_size: int, table_sizes: Sequence[int], name: str | None = None, **options: Any):
        sizes = {"vocabulary_size": vocabulary_size, "table_sizes": list(table_sizes)}
        head = NgramHead(vocabulary_size, table_sizes, name="tables")
        super().__init__(1 + len(table_sizes), head, sizes, self.options_class(**options), name)

    def from_words(self, words: Tensor, training: bool = False) -> Tensor:
        return words
