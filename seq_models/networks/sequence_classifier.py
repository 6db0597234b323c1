"""One label for a whole text."""

import keras

from seq_models.layers import LastPooling, MaxPooling, MeanPooling
from seq_models.networks.stack import choose, positive, recurrent_stack

POOLINGS = {"last": LastPooling, "mean": MeanPooling, "max": MaxPooling}


@keras.saving.register_keras_serializable(package="seq_models.networks")
class SequenceClassifier(keras.Model):
    """A recurrent text classifier [1, section 8.3.2].

        h_1 … h_n = stack(E x_1 … E x_n)      logits = W pool(h_1 … h_n) + b

    Inputs: token ids (B, T), 0 is padding. Outputs: logits (B, L).

    Args:
        vocabulary_size: V.
        labels: L, the number of labels.
        cell: "simple_rnn", "lstm" or "gru".
        units: H of each direction.
        layers: Number of stacked layers.
        bidirectional: Read both ways.
        pooling: "last" (the final states), "mean" or "max" over the real tokens.
        embedding_units: Size of an embedding; H by default.
        dropout: Share of the embeddings, of each layer's output and of the pooled vector dropped in training.
    Raises:
        ValueError: If an argument is not of the kind above.
    References:
        [1] Jurafsky and Martin, chapter 8.
    """

    def __init__(
        self,
        vocabulary_size,
        labels,
        cell="lstm",
        units=128,
        layers=1,
        bidirectional=True,
        pooling="max",
        embedding_units=None,
        dropout=0.0,
        **kwargs,
    ):
        embedding_units = units if embedding_units is None else embedding_units
        positive(vocabulary_size=vocabulary_size, labels=labels, embedding_units=embedding_units)
        pooling_class = choose("pooling", POOLINGS, pooling)
        # Layers
        embedding = keras.layers.Embedding(vocabulary_size, embedding_units, mask_zero=True, name="embedding")
        drop = keras.layers.Dropout(dropout)
        stack = recurrent_stack(cell, units, layers, bidirectional)
        pool = pooling_class(bidirectional) if pooling == "last" else pooling_class()
        output = keras.layers.Dense(labels, name="logits")

        # Forward
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        h = drop(embedding(tokens))  # (B, T, E)
        for layer in stack:
            h = drop(layer(h))  # (B, T, H or 2H)
        super().__init__(tokens, output(drop(pool(h))), **kwargs)  # (B, L)

        # Config
        self.options = {
            "vocabulary_size": vocabulary_size,
            "labels": labels,
            "cell": cell,
            "units": units,
            "layers": layers,
            "bidirectional": bidirectional,
            "pooling": pooling,
            "embedding_units": embedding_units,
            "dropout": dropout,
        }

    def get_config(self):
        return {"name": self.name, **self.options}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
