"""P(w_1 … w_m) = Π_t P(w_t | w_{t-n+1} … w_{t-1}), each factor from a table."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from seq_models.baselines.ngram_head import NgramHead
from seq_models.baselines.ngram_options import NgramOptions
from seq_models.layers.tensors import Tensor
from seq_models.networks.network import Network


@keras.saving.register_keras_serializable(package="seq_models")
class LastWords(keras.layers.Layer):
    """Ids (B, T) -> at each step the last n-1 of them, the newest one at the end (B, T, n-1); 0 before the first.

    Args:
        order: n.
    """

    def __init__(self, order: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.order = order

    def call(self, tokens):
        return windows(ops.pad(tokens, [[0, 0], [self.order - 1, 0]]), self.order)

    def compute_output_shape(self, tokens_shape):
        return (*tokens_shape, self.order - 1)

    def compute_output_spec(self, tokens):
        return keras.KerasTensor(self.compute_output_shape(tokens.shape), "int32")

    def get_config(self):
        return {**super().get_config(), "order": self.order}


def windows(tokens: Tensor, n: int) -> Tensor:
    """Ids (B, n-1+T) -> (B, T, n-1): the n-1 last ones at each of the last T steps."""
    T = ops.shape(tokens)[1] - (n - 1)
    columns = [tokens[:, k : k + T] for k in range(1, n)]
    return ops.stack(columns, axis=-1) if columns else ops.zeros((*ops.shape(tokens), 0), tokens.dtype)


@keras.saving.register_keras_serializable(package="seq_models")
class NgramNetwork(Network):
    """An n-gram language model as the network of a task: its hidden states, and its states, are the last n-1 words.

    Inputs: token ids (B, T) that start with `<s>`. Outputs: log probabilities (B, T, V); those at t are of the token
    after t. States: ids (B, n-1), 0 before the start of a text.

    Args:
        vocabulary_size: V.
        table_sizes: How many n-grams there are of each length from 2 to n; n may be smaller than `order`.
        options: See `NgramOptions`.
    """

    options_class = NgramOptions

    def __init__(self, vocabulary_size: int, table_sizes: Sequence[int], name: str | None = None, **options: Any):
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        hidden = LastWords(1 + len(table_sizes), name="last_words")(tokens)  # (B, T, n-1)
        head = NgramHead(vocabulary_size, table_sizes, name="tables")
        sizes = {"vocabulary_size": vocabulary_size, "table_sizes": list(table_sizes)}
        super().__init__(tokens, hidden, head, sizes, self.options_class(**options), name)
        self.order = 1 + len(table_sizes)

    def start(self, tokens: Tensor) -> Tensor:
        """The states before the first token, for as many rows as `tokens` has."""
        return ops.zeros((ops.shape(tokens)[0], self.order - 1), dtype="int32")

    def step(self, tokens: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """One token (B,) and the states before it -> log probabilities of the next token (B, V), states."""
        states = ops.concatenate([states, ops.cast(tokens, "int32")[:, None]], axis=1)[:, 1:]
        return self.head(states), states

    def read(self, tokens: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """Many tokens (B, T), 0 beyond a row's end, and the states before them -> hidden (B, T, n-1), states."""
        all_tokens = ops.concatenate([states, tokens], axis=1)
        lengths = ops.sum(ops.cast(tokens != 0, "int32"), axis=1)
        last = lengths[:, None] + ops.arange(self.order - 1)  # the columns of the last words of each row
        return windows(all_tokens, self.order), ops.take_along_axis(all_tokens, last, axis=1)
