"""What language models share that see the last n-1 words, and nothing of what was before them."""

from typing import Any

import keras
from keras import ops

from seq_models.layers.heads import SoftmaxHead
from seq_models.layers.tensors import Tensor
from seq_models.networks.network import Network
from seq_models.options import Options


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


class LastWordsNetwork(Network):
    """A language model whose hidden states are a function of the last n-1 words; these words are its states.

        h_t = f(w_{t-n+2}, …, w_t)        f: `from_words`, which a class adds

    Inputs: token ids (B, T) that start with `<s>`. Outputs: what the head says of h_t (B, T, V); that at t is of the
    token after t. States: ids (B, n-1), 0 before the start of a text.

    Args:
        order: n.
        head, sizes, options: See `Network`.
    """

    def __init__(self, order: int, head: SoftmaxHead, sizes: dict[str, Any], options: Options, name: str | None):
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        hidden = self.from_words(LastWords(order, name="last_words")(tokens))  # (B, T, H)
        super().__init__(tokens, hidden, head, sizes, options, name)
        self.order = order

    def from_words(self, words: Tensor, training: bool = False) -> Tensor:
        """The last n-1 words (..., n-1) -> hidden states (..., H)."""
        raise NotImplementedError

    def start(self, tokens: Tensor) -> Tensor:
        """The states before the first token, for as many rows as `tokens` has."""
        return ops.zeros((ops.shape(tokens)[0], self.order - 1), dtype="int32")

    def step(self, tokens: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """One token (B,) and the states before it -> outputs for the next token (B, V), states."""
        states = ops.concatenate([states, ops.cast(tokens, "int32")[:, None]], axis=1)[:, 1:]
        return self.head(self.from_words(states)), states

    def read(self, tokens: Tensor, states: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Many tokens (B, T), 0 beyond a row's end, and the states before them -> hidden (B, T, H), states.

        The states are those after the last token of each row. In training there is dropout.
        """
        all_tokens = ops.concatenate([states, tokens], axis=1)
        lengths = ops.sum(ops.cast(tokens != 0, "int32"), axis=1)
        last = lengths[:, None] + ops.arange(self.order - 1)  # the columns of the last words of each row
        hidden = self.from_words(windows(all_tokens, self.order), training)
        return hidden, ops.take_along_axis(all_tokens, last, axis=1)
