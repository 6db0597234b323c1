"""A vector for a word from what it looks like."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="seq_models")
class FeatureEncoder(keras.layers.Layer):
    """The embeddings of the features of each word, one after the other [1]: [E f_1; …; E f_F].

    Args:
        vocabulary_size: Number of values that all features have together; id 0 is padding.
        features: F.
        units: Size D of the embedding of a feature.
    Call arguments:
        inputs: The ids of the features of each word, integers (B, T, F).
    Returns:
        Floats (B, T, F D).
    References:
        [1] Collobert et al. 2011, Natural Language Processing (Almost) from Scratch, section 3.1.1.
    """

    def __init__(self, vocabulary_size: int, features: int, units: int = 16, **kwargs: Any):
        super().__init__(**kwargs)
        self.vocabulary_size, self.features, self.units = vocabulary_size, features, units
        self.embedding = keras.layers.Embedding(vocabulary_size, units, name="embedding")

    def build(self, input_shape):
        self.embedding.build(input_shape)
        self.built = True

    def call(self, inputs):
        B, T, _ = ops.shape(inputs)
        return ops.reshape(self.embedding(inputs), (B, T, self.features * self.units))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], self.features * self.units)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("vocabulary_size", "features", "units")}
        return {**super().get_config(), **own}
