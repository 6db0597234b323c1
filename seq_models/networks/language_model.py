"""P(w_1 … w_n) = Π_t P(w_t | w_1 … w_{t-1}), each factor from a recurrent state."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from seq_models.errors import positive
from seq_models.layers.dropout import EmbeddingDropout, dropouts
from seq_models.layers.regularizers import NormPenalty
from seq_models.layers.tensors import Tensor
from seq_models.networks.network import Network, NetworkOptions, normalizations, recurrent_stack, unchanged
from seq_models.networks.softmax_choice import softmax_head, softmax_option
from seq_models.options import option


@dataclass(frozen=True)
class LanguageModelOptions(NetworkOptions):
    """The options of a `LanguageModel`.

    Raises:
        ValueError: See `NetworkOptions`; if `projection_penalty` has no tied weights, or `tie_weights` a softmax
            without a row for each word.
    """

    tie_weights: bool = option(
        False, "use the embedding as the output matrix; a projection comes before it where embedding_units is not units"
    )
    softmax: str = softmax_option()
    input_dropout: float | None = option(None, "dropout of the embeddings; dropout if left out", at_least=0, below=1)
    output_dropout: float | None = option(
        None, "dropout of what the last layer hands on; dropout if left out", at_least=0, below=1
    )
    embedding_dropout: float = option(
        0.0, "share of the words that a training step drops, each at all its places [Gal 2016]", at_least=0, below=1
    )
    weight_dropout: float = option(
        0.0, "share of the recurrent weights that a training step drops [Merity 2017]", at_least=0, below=1
    )
    activation_penalty: float = option(
        0.0, "activation regularization: times the mean square of dropped outputs [Merity 2017]", at_least=0
    )
    temporal_penalty: float = option(
        0.0, "temporal activation regularization: times the mean square of h_t - h_{t-1} [Merity 2017]", at_least=0
    )

    projection_penalty: float = option(
        0.0, "times the norm of the projection, which then always is before tied weights [Press 2017]", at_least=0
    )

    @property
    def rates(self) -> list[float]:
        """Those of the dropout of the embeddings, and of what each layer hands on."""
        first, last = (self.dropout if rate is None else rate for rate in (self.input_dropout, self.output_dropout))
        return [first, *[self.dropout] * (self.layers - 1), last]

    def __post_init__(self):
        super().__post_init__()
        if self.softmax == "adaptive" and self.tie_weights:
            raise ValueError(
                "softmax=adaptive needs tie_weights=False, for its rare words have fewer weights than an embedding. "
                "Received: tie_weights=True"
            )
        if self.projection_penalty and not self.tie_weights:
            received = f"projection_penalty={self.projection_penalty}, tie_weights=False"
            raise ValueError(f"projection_penalty needs tie_weights=True. Received: {received}")

    @property
    def projected(self) -> bool:
        """Whether hidden states are projected before tied weights."""
        return self.tie_weights and (self.embedding_size != self.units or self.projection_penalty > 0)


@keras.saving.register_keras_serializable(package="seq_models.networks")
class LanguageModel(Network):
    """A recurrent language model [1, section 8.2].

        e_t = E x_t      h_t = g(h_{t-1}, e_t)      logits_t = V h_t  (with tied weights [2] E' h_t, or E' P h_t)

    Training drops words (`embedding_dropout`), what layers hand on (`dropout`; with `variational` [3] by one mask for
    all steps of a row) and recurrent weights (`weight_dropout` [4]). To what is minimized come activation and temporal
    activation regularization [5] of what the head takes, with m its dropout, as means over real tokens:

        α/H ‖m * h_t‖²  (`activation_penalty`)      β/H ‖h_t - h_{t-1}‖²  (`temporal_penalty`)

    and λ ‖P‖₂ once (`projection_penalty` [2]).

    Inputs: token ids (B, T) that start with `<s>`. Outputs: logits (B, T, V); those at t are of the token after t.
    States: for each layer the list of its states, floats (B, H) each.

    Args:
        vocabulary_size: V.
        options: See `LanguageModelOptions`.
    Raises:
        ValueError: If an argument is not of the kind above.
    References:
        [1] Jurafsky and Martin, chapter 8. [2] Press and Wolf 2017; Inan et al. 2017. [3] Gal and Ghahramani 2016.
        [4] Merity, Keskar and Socher 2017 (arXiv:1708.02182). [5] Merity, McCann and Socher 2017 (arXiv:1708.01009).
    """

    options_class = LanguageModelOptions

    def __init__(self, vocabulary_size: int, name: str | None = None, **options: Any):
        options = self.options_class(**options)
        positive(vocabulary_size=vocabulary_size)
        # Layers
        embedding_class = keras.layers.ReversibleEmbedding if options.tie_weights else keras.layers.Embedding
        embedding = embedding_class(vocabulary_size, options.embedding_size, name="embedding")
        drop_words = EmbeddingDropout(vocabulary_size, options.embedding_dropout)
        drops = dropouts(*options.rates, variational=options.variational)
        stack = recurrent_stack(options.cell, options.units, options.layers, weight_dropout=options.weight_dropout)
        norms = normalizations(options.layers, options.layer_norm)
        tied = embedding if options.tie_weights else None
        head = softmax_head(options.softmax, vocabulary_size, self.head_class, tied)
        project = unchanged
        if options.projected:
            penalty = NormPenalty(options.projection_penalty) if options.projection_penalty else None
            named = {"use_bias": False, "kernel_regularizer": penalty, "name": "projection"}
            project = keras.layers.Dense(options.embedding_size, **named)

        # Forward
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        h = drop_words(embedding(tokens), tokens)  # (B, T, E)
        for layer, norm, drop in zip(stack, norms, drops, strict=False):
            h = norm(layer(drop(h)))  # (B, T, H)
        h = project(h)  # (B, T, E) where it is a projection
        self.drop_words, self.drops = drop_words, drops
        super().__init__(tokens, h, head, {"vocabulary_size": vocabulary_size}, options, name)  # (B, T, V)
        self.embedding, self.stack, self.norms, self.project = embedding, stack, norms, project

    def output_dropout(self, hidden: Tensor, training: bool = False) -> Tensor:
        return self.drops[-1](hidden, training=training)

    def regularized(self, hidden: Tensor) -> tuple[Tensor, Tensor | float]:
        dropped, _ = super().regularized(hidden)
        options: Any = self.options
        penalty: Any = 0.0
        if options.activation_penalty:
            penalty += options.activation_penalty * _mean_square(dropped)
        if options.temporal_penalty:
            before = ops.concatenate([hidden[:, :1], hidden[:, :-1]], axis=1)  # nothing is before the first one
            penalty += options.temporal_penalty * _mean_square(hidden - before)
        return dropped, penalty

    def start(self, tokens: Tensor) -> list[list[Tensor]]:
        """The states before the first token, for as many rows as `tokens` has."""
        return [layer.get_initial_state(ops.shape(tokens)[0]) for layer in self.stack]

    def step(self, tokens: Tensor, states: list) -> tuple[Tensor, list]:
        """One token (B,) and the states before it -> logits of the next token (B, V), states."""
        h, after = self.embedding(tokens), []
        for layer, norm, state in zip(self.stack, self.norms, states, strict=True):
            h, state = layer.cell(h, state)
            h = norm(h)
            after.append(state)
        return self.head(self.project(h)), after

    def read(self, tokens: Tensor, states: list, training: bool = False) -> tuple[Tensor, list]:
        """Many tokens (B, T), 0 beyond a row's end, and the states before them -> hidden (B, T, H), projected where
        the head is tied by a projection, and states.

        The states are those after the last token of each row. The head makes logits of as many hidden states as are
        wanted. In training there is dropout, and the hidden states are those that `regularized` takes.
        """
        h, after = self.drop_words(self.embedding(tokens), tokens, training=training), []
        mask = ops.not_equal(tokens, 0)
        for layer, norm, drop, state in zip(self.stack, self.norms, self.drops, states, strict=False):
            h, state = layer.read(drop(h, training=training), state, mask, training)
            h = norm(h)
            after.append(state)
        return self.project(h), after


def _mean_square(x):
    """The mean over H, floats of 32 bits: (..., H) -> (...)."""
    return ops.mean(ops.square(ops.cast(x, "float32")), axis=-1)
