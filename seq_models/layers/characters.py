"""A vector for a word from its characters."""

from typing import Any

import keras
from keras import ops

from seq_models.layers.lstm import LSTM


@keras.saving.register_keras_serializable(package="seq_models")
class CharacterEncoder(keras.layers.Layer):
    """The two final states of a bidirectional LSTM over the characters of each word [1].

    Args:
        vocabulary_size: Number of characters; id 0 is padding.
        embedding_units: Size of a character's embedding.
        units: H of each direction.
    Call arguments:
        inputs: Character ids, integers (B, T, C).
    Returns:
        Floats (B, T, 2H).
    References:
        [1] Ling et al. 2015, Finding Function in Form; Lample et al. 2016, section 4.1.
    """

    def __init__(self, vocabulary_size: int, embedding_units: int = 32, units: int = 32, **kwargs: Any):
        super().__init__(**kwargs)
        self.vocabulary_size, self.embedding_units, self.units = vocabulary_size, embedding_units, units
        self.embedding = keras.layers.Embedding(vocabulary_size, embedding_units, mask_zero=True, name="embedding")
        self.encoder = keras.layers.Bidirectional(LSTM(units), name="encoder")

    def build(self, input_shape):
        self.embedding.build((None, input_shape[-1]))
        self.encoder.build((None, input_shape[-1], self.embedding_units))
        self.built = True

    def call(self, inputs, training=False):
        B, T, C = ops.shape(inputs)
        words = ops.reshape(inputs, (-1, C))  # (B T, C)
        mask = ops.not_equal(words, 0)
        vectors = self.encoder(self.embedding(words), mask=mask, training=training)  # (B T, 2H)
        return ops.reshape(vectors, (B, T, 2 * self.units))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], 2 * self.units)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("vocabulary_size", "embedding_units", "units")}
        return {**super().get_config(), **own}
