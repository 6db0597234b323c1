"""P(w_1 … w_m) = Π_t P(w_t | w_{t-n+1} … w_{t-1}), each factor from the embeddings of the n-1 words before."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from seq_models.baselines.last_words import LastWordsNetwork
from seq_models.errors import positive
from seq_models.layers.dropout import dropouts
from seq_models.layers.tensors import Tensor
from seq_models.networks.softmax_choice import softmax_head, softmax_option
from seq_models.options import Options, option


@dataclass(frozen=True)
class WindowOptions(Options):
    """The options of a `WindowNetwork`. Raises: see `Options`."""

    order: int = option(5, "n: a word is expected from the n - 1 words before it", at_least=2, below=101)
    units: int = option(128, "size of the hidden layer", at_least=1)
    embedding_units: int | None = option(None, "size of an embedding; units if left out", at_least=1)
    direct: bool = option(False, "connect the embeddings with the softmax, too, past the hidden layer [Bengio 2003]")
    softmax: str = softmax_option()
    dropout: float = option(
        0.0, "share of the embeddings and of the hidden layer that training drops", at_least=0, below=1
    )


@keras.saving.register_keras_serializable(package="seq_models")
class WindowNetwork(LastWordsNetwork):
    """The neural language model of a fixed window [1, section 2]:

        x = [E w_{t-n+2}; …; E w_t]        h = tanh(H x + d)        logits = U h + W x + b

    W is there with `direct`; without it this is the simplified model [2]. The head gets [h; x] or h, so that its kernel
    is [U; W] or U. x begins with the oldest word, in [1] with the newest. Before the first word of a text stands
    `<pad>`, whose embedding is learned as that of any word. Dropout, which [1] lacks, acts on x and h.

    Inputs: token ids (B, T) that start with `<s>`. Outputs: logits (B, T, V); those at t are of the token after t.
    States: ids (B, n-1), 0 before the start of a text.

    Args:
        vocabulary_size: V.
        options: See `WindowOptions`.
    Raises:
        ValueError: If an argument is not of the kind above.
    References:
        [1] Bengio, Ducharme, Vincent and Jauvin 2003, A Neural Probabilistic Language Model, equation 1.
        [2] CS224n lecture notes V, section 1.3.
    """

    options_class = WindowOptions

    def __init__(self, vocabulary_size: int, name: str | None = None, **options: Any):
        options = self.options_class(**options)
        positive(vocabulary_size=vocabulary_size)
        E = options.units if options.embedding_units is None else options.embedding_units
        self.embedding = keras.layers.Embedding(vocabulary_size, E, name="embedding")
        self.hidden_layer = keras.layers.Dense(options.units, activation="tanh", name="hidden")
        self.drops = dropouts(options.dropout, options.dropout)
        self.direct = options.direct
        head = softmax_head(options.softmax, vocabulary_size, self.head_class)
        super().__init__(options.order, head, {"vocabulary_size": vocabulary_size}, options, name)

    def from_words(self, words: Tensor, training: bool = False) -> Tensor:
        drop_x, drop_h = self.drops
        e = self.embedding(words)  # (..., n-1, E)
        x = ops.concatenate(ops.unstack(e, axis=-2), axis=-1)  # (..., (n-1) E)
        x = drop_x(x, training=training)
        h = drop_h(self.hidden_layer(x), training=training)  # (..., H)
        return ops.concatenate([h, x], axis=-1) if self.direct else h
