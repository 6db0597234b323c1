"""Dropout at several places of a network, from one sequence of random numbers."""

from typing import Any, Self

import keras
from keras import ops

from seq_models.layers.tensors import Tensor


@keras.saving.register_keras_serializable(package="seq_models")
class Dropout(keras.layers.Layer):
    """`keras.layers.Dropout` that may share its random state with another one.

    A layer that is called at three places is one box with three inputs in a picture of a network; three layers with
    one random state drop what that layer would.

    Args:
        rate: Share that is dropped, in [0, 1).
        beside: The layer whose random state this one draws from; None for a state of its own.
        variational: Draw one mask for all steps of a row [1].
    Call arguments:
        inputs: Floats of any shape, or a list of several; with `variational` of shape (B, T, D).
        training: Whether anything is dropped.
    Returns:
        The inputs, some of them 0 and the others divided by 1 - rate.
    References:
        [1] Gal and Ghahramani 2016 (arXiv:1512.05287), section 4.
    """

    def __init__(self, rate: float, beside: Self | None = None, variational: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate, self.variational = rate, variational
        self.supports_masking = True
        if rate > 0:
            self.seed_generator: Any = keras.random.SeedGenerator() if beside is None else beside.seed_generator

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        shape = (None, 1, None) if self.variational else None  # of the mask; None: as the inputs
        return keras.tree.map_structure(
            lambda x: keras.random.dropout(x, self.rate, noise_shape=shape, seed=self.seed_generator), inputs
        )

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "variational": self.variational}


@keras.saving.register_keras_serializable(package="seq_models")
class EmbeddingDropout(keras.layers.Layer):
    """Drops whole rows of an embedding: a word that is dropped is so at every place of a batch [1, 2].

        e_t = m_w E_w      w the word at t, m one mask of all words a call

    Args:
        vocabulary_size: V.
        rate: Share of the words that is dropped, in [0, 1).
    Call arguments:
        embedded: The embeddings of the tokens, floats (B, T, D).
        tokens: Token ids (B, T).
        training: Whether anything is dropped.
    Returns:
        The embeddings, those of some words 0 and the others divided by 1 - rate.
    References:
        [1] Gal and Ghahramani 2016 (arXiv:1512.05287), section 4.2. [2] Merity, Keskar and Socher 2017, section 4.3.
    """

    def __init__(self, vocabulary_size: int, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.vocabulary_size, self.rate = vocabulary_size, rate
        self.supports_masking = True
        if rate > 0:
            self.seed_generator: Any = keras.random.SeedGenerator()

    def call(self, embedded: Tensor, tokens: Tensor, training: bool = False) -> Tensor:
        if not training or not self.rate:
            return embedded
        kept = keras.random.dropout(ops.ones((self.vocabulary_size,)), self.rate, seed=self.seed_generator)  # (V,)
        return embedded * ops.cast(ops.take(kept, tokens), embedded.dtype)[..., None]

    def compute_output_shape(self, embedded_shape, tokens_shape):
        return embedded_shape

    def get_config(self):
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size, "rate": self.rate}


def dropouts(*rates: float, variational: bool = False) -> list[Dropout]:
    """A layer for each rate, all with one random state."""
    layers: list[Dropout] = []
    for rate in rates:
        beside = next((layer for layer in layers if layer.rate), None)
        layers.append(Dropout(rate, beside, variational))
    return layers
