"""One label for every token."""

import keras

from seq_models.layers import CharacterEncoder
from seq_models.networks.stack import positive, recurrent_stack


@keras.saving.register_keras_serializable(package="seq_models.networks")
class SequenceLabeler(keras.Model):
    """A recurrent sequence labeler: softmax over the labels at each step [1, section 8.3.1].

        e_t = [E x_t; chars(x_t)]      h_1 … h_n = stack(e_1 … e_n)      logits_t = W h_t + b

    Inputs: token ids (B, T), 0 is padding; with characters a pair of these and character ids (B, T, C).
    Outputs: logits (B, T, L).

    Args:
        vocabulary_size: V.
        labels: L, the number of labels.
        cell: "simple_rnn", "lstm" or "gru".
        units: H of each direction.
        layers: Number of stacked layers.
        bidirectional: Read both ways.
        embedding_units: Size of a token's embedding; H by default.
        character_vocabulary_size: Number of characters; None leaves the character encoder out.
        character_units: Units of each direction of the character encoder.
        dropout: Share of e_t and of each layer's output that is dropped in training.
    Raises:
        ValueError: If an argument is not of the kind above.
    References:
        [1] Jurafsky and Martin, chapter 8. Characters: see `CharacterEncoder`.
    """

    def __init__(
        self,
        vocabulary_size,
        labels,
        cell="lstm",
        units=128,
        layers=1,
        bidirectional=True,
        embedding_units=None,
        character_vocabulary_size=None,
        character_units=32,
        dropout=0.0,
        **kwargs,
    ):
        embedding_units = units if embedding_units is None else embedding_units
        positive(vocabulary_size=vocabulary_size, labels=labels, embedding_units=embedding_units)
        # Layers
        embedding = keras.layers.Embedding(vocabulary_size, embedding_units, mask_zero=True, name="embedding")
        drop = keras.layers.Dropout(dropout)
        stack = recurrent_stack(cell, units, layers, bidirectional)
        output = keras.layers.Dense(labels, name="logits")

        # Forward
        inputs = tokens = keras.Input((None,), dtype="int32", name="tokens")
        e = embedding(tokens)  # (B, T, E)
        mask = keras.ops.not_equal(tokens, 0)
        if character_vocabulary_size is not None:
            positive(character_vocabulary_size=character_vocabulary_size, character_units=character_units)
            characters = keras.Input((None, None), dtype="int32", name="characters")
            inputs = (tokens, characters)
            encoder = CharacterEncoder(character_vocabulary_size, units=character_units, name="characters_encoder")
            e = keras.layers.Concatenate()([e, encoder(characters)])
        h = drop(e)
        for layer in stack:
            h = drop(layer(h, mask=mask))  # (B, T, H or 2H)
        super().__init__(inputs, output(h), **kwargs)  # (B, T, L)

        # Config
        self.options = {
            "vocabulary_size": vocabulary_size,
            "labels": labels,
            "cell": cell,
            "units": units,
            "layers": layers,
            "bidirectional": bidirectional,
            "embedding_units": embedding_units,
            "character_vocabulary_size": character_vocabulary_size,
            "character_units": character_units,
            "dropout": dropout,
        }

    def get_config(self):
        return {"name": self.name, **self.options}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
