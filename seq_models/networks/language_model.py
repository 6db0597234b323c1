"""P(w_1 … w_n) = Π_t P(w_t | w_1 … w_{t-1}), each factor from a recurrent state."""

import keras
from keras import ops

from seq_models.networks.stack import positive, recurrent_stack


@keras.saving.register_keras_serializable(package="seq_models.networks")
class LanguageModel(keras.Model):
    """A recurrent language model [1, section 8.2].

        e_t = E x_t      h_t = g(h_{t-1}, e_t)      logits_t = V h_t  (E' h_t with tied weights [2])

    Inputs: token ids (B, T) that start with `<s>`. Outputs: logits (B, T, V); those at t are of the token after t.

    Args:
        vocabulary_size: V.
        cell: "simple_rnn", "lstm" or "gru".
        units: H.
        layers: Number of stacked layers.
        embedding_units: Size of e_t; H by default.
        dropout: Share of e_t and of each layer's output that is dropped in training.
        tie_weights: Use the embedding as the output matrix; needs embedding_units equal to units.
    Raises:
        ValueError: If an argument is not of the kind above.
    References:
        [1] Jurafsky and Martin, chapter 8. [2] Press and Wolf 2017; Inan et al. 2017.
    """

    def __init__(
        self,
        vocabulary_size,
        cell="lstm",
        units=128,
        layers=1,
        embedding_units=None,
        dropout=0.0,
        tie_weights=False,
        **kwargs,
    ):
        embedding_units = units if embedding_units is None else embedding_units
        positive(vocabulary_size=vocabulary_size, embedding_units=embedding_units)
        if tie_weights and embedding_units != units:
            raise ValueError(
                "tie_weights needs embedding_units equal to units. "
                f"Received: embedding_units={embedding_units}, units={units}"
            )
        # Layers
        embedding_class = keras.layers.ReversibleEmbedding if tie_weights else keras.layers.Embedding
        embedding = embedding_class(vocabulary_size, embedding_units, name="embedding")
        drop = keras.layers.Dropout(dropout)
        stack = recurrent_stack(cell, units, layers)
        output = keras.layers.Dense(vocabulary_size, name="logits")

        # Forward
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        h = drop(embedding(tokens))  # (B, T, E)
        for layer in stack:
            h = drop(layer(h))  # (B, T, H)
        logits = embedding(h, reverse=True) if tie_weights else output(h)  # (B, T, V)
        super().__init__(tokens, logits, **kwargs)

        # Config
        self.embedding, self.stack, self.output_layer = embedding, stack, None if tie_weights else output
        self.options = {
            "vocabulary_size": vocabulary_size,
            "cell": cell,
            "units": units,
            "layers": layers,
            "embedding_units": embedding_units,
            "dropout": dropout,
            "tie_weights": tie_weights,
        }

    def initial_states(self, batch_size):
        """The states before the first token, one flat list."""
        return [state for layer in self.stack for state in layer.get_initial_state(batch_size)]

    def step(self, tokens, states):
        """One token (B,) and the flat list of states -> logits of the next token (B, V), states."""
        h, after = self.embedding(tokens), []
        states = list(states)
        for layer in self.stack:
            h, new = layer.cell(h, [states.pop(0) for _ in layer.state_size])
            after += new
        return self.embedding(h, reverse=True) if self.output_layer is None else self.output_layer(h), after

    def read(self, tokens, lengths):
        """Reads prompts (B, T) of `lengths` (B,) -> logits after the last token (B, V), states."""
        B, T = ops.shape(tokens)

        def step(t, logits, *states):
            new_logits, new = self.step(tokens[:, t], states)
            live = (t < lengths)[:, None]
            kept = [ops.where(live, n, s) for n, s in zip([new_logits, *new], [logits, *states], strict=True)]
            return (t + 1, *kept)

        nothing = ops.zeros((B, self.options["vocabulary_size"]), self.compute_dtype)
        _, logits, *states = ops.while_loop(lambda t, *_: t < T, step, (0, nothing, *self.initial_states(B)))
        return logits, states

    def get_config(self):
        return {"name": self.name, **self.options}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
