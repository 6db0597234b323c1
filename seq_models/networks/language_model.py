"""P(w_1 … w_n) = Π_t P(w_t | w_1 … w_{t-1}), each factor from a recurrent state."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from seq_models.errors import positive
from seq_models.layers.dropout import dropouts
from seq_models.layers.heads import SampledSoftmaxHead, SoftmaxHead, TiedSampledSoftmaxHead, TiedSoftmaxHead
from seq_models.layers.tensors import Tensor
from seq_models.networks.network import Network, NetworkOptions, recurrent_stack
from seq_models.options import option

LARGE = 50_000  # words, over which the softmax is sampled in training


@dataclass(frozen=True)
class LanguageModelOptions(NetworkOptions):
    """The options of a `LanguageModel`.

    Raises:
        ValueError: See `Options`.
    """

    tie_weights: bool = option(
        False, "use the embedding as the output matrix; a projection comes before it where embedding_units is not units"
    )
    softmax: str = option(
        "auto",
        f"the loss in training: full, sampled over some words only, or auto, sampled from {LARGE:,} words on",
        choices=("auto", "full", "sampled"),
    )


@keras.saving.register_keras_serializable(package="seq_models.networks")
class LanguageModel(Network):
    """A recurrent language model [1, section 8.2].

        e_t = E x_t      h_t = g(h_{t-1}, e_t)      logits_t = V h_t  (with tied weights [2] E' h_t, or E' P h_t)

    Inputs: token ids (B, T) that start with `<s>`. Outputs: logits (B, T, V); those at t are of the token after t.
    States: for each layer the list of its states, floats (B, H) each.

    Args:
        vocabulary_size: V.
        options: See `LanguageModelOptions`.
    Raises:
        ValueError: If an argument is not of the kind above.
    References:
        [1] Jurafsky and Martin, chapter 8. [2] Press and Wolf 2017; Inan et al. 2017.
    """

    options_class = LanguageModelOptions

    def __init__(self, vocabulary_size: int, name: str | None = None, **options: Any):
        options = self.options_class(**options)
        positive(vocabulary_size=vocabulary_size)
        # Layers
        embedding_class = keras.layers.ReversibleEmbedding if options.tie_weights else keras.layers.Embedding
        embedding = embedding_class(vocabulary_size, options.embedding_size, name="embedding")
        drop_embedded, *drops = dropouts(options.dropout, 1 + options.layers)
        stack = recurrent_stack(options.cell, options.units, options.layers)
        sampled = options.softmax == "sampled" or options.softmax == "auto" and vocabulary_size >= LARGE
        head = self._make_head(vocabulary_size, embedding if options.tie_weights else None, sampled)
        project = lambda h: h  # noqa: E731
        if options.tie_weights and options.embedding_size != options.units:
            project = keras.layers.Dense(options.embedding_size, use_bias=False, name="projection")

        # Forward
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        h = drop_embedded(embedding(tokens))  # (B, T, E)
        for layer, drop in zip(stack, drops, strict=True):
            h = drop(layer(h))  # (B, T, H)
        h = project(h)  # (B, T, E) where it is a projection
        super().__init__(tokens, h, head, {"vocabulary_size": vocabulary_size}, options, name)  # (B, T, V)
        self.embedding, self.stack, self.project = embedding, stack, project
        self.drop_embedded, self.drops = drop_embedded, drops

    def _make_head(self, V, embedding, sampled):
        """The head over V words, tied to an embedding if there is one."""
        if self.head_class is not SoftmaxHead:
            if embedding is not None:
                received = f"head_class={self.head_class.__name__}"
                raise ValueError(f"tie_weights needs the head SoftmaxHead. Received: {received}")
            return self.head_class(V, name="logits")
        if embedding is None:
            return (SampledSoftmaxHead if sampled else SoftmaxHead)(V, name="logits")
        return (TiedSampledSoftmaxHead if sampled else TiedSoftmaxHead)(embedding, name="logits")

    def start(self, tokens: Tensor) -> list[list[Tensor]]:
        """The states before the first token, for as many rows as `tokens` has."""
        return [layer.get_initial_state(ops.shape(tokens)[0]) for layer in self.stack]

    def step(self, tokens: Tensor, states: list) -> tuple[Tensor, list]:
        """One token (B,) and the states before it -> logits of the next token (B, V), states."""
        h, after = self.embedding(tokens), []
        for layer, state in zip(self.stack, states, strict=True):
            h, state = layer.cell(h, state)
            after.append(state)
        return self.head(self.project(h)), after

    def read(self, tokens: Tensor, states: list, training: bool = False) -> tuple[Tensor, list]:
        """Many tokens (B, T), 0 beyond a row's end, and the states before them -> hidden (B, T, H), projected where
        the head is tied by a projection, and states.

        The states are those after the last token of each row. The head makes logits of as many hidden states as are
        wanted. In training there is dropout.
        """
        h, after, mask = self.drop_embedded(self.embedding(tokens), training=training), [], ops.not_equal(tokens, 0)
        for layer, drop, state in zip(self.stack, self.drops, states, strict=True):
            h, state = layer.read(h, state, mask, training)
            h = drop(h, training=training)
            after.append(state)
        return self.project(h), after
