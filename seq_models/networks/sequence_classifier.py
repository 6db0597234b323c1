"""One label for a whole text."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from seq_models.errors import positive
from seq_models.layers import AttentionPooling, LastPooling, MaxPooling, MeanPooling
from seq_models.layers.dropout import Dropout, dropouts
from seq_models.layers.heads import SigmoidHead
from seq_models.layers.windows import CutWindows, JoinWindows
from seq_models.networks.network import Network, NetworkOptions, normalizations, recurrent_stack, unchanged
from seq_models.options import option

POOLINGS = {"last": LastPooling, "mean": MeanPooling, "max": MaxPooling, "attention": AttentionPooling}


@dataclass(frozen=True)
class SequenceClassifierOptions(NetworkOptions):
    """The options of a `SequenceClassifier`. Raises: see `Options`."""

    # A text has one label: there is little to learn from, and a network without dropout learns it by heart.
    dropout: float = option(0.5, "share of what layers hand on that training drops", at_least=0, below=1)
    bidirectional: bool = option(True, "read both ways")
    pooling: str = option(
        "max", "over the real tokens: the final states, their mean, maximum, or a mean that attends", choices=POOLINGS
    )
    window: int | None = option(
        None,
        "tokens that are read one after the other: the windows of a longer text are read beside each other, each from "
        "nothing, and pooled together; all tokens if left out",
        at_least=2,
    )


@keras.saving.register_keras_serializable(package="seq_models.networks")
class SequenceClassifier(Network):
    """A recurrent text classifier [1, section 8.3.2].

        h_1 … h_n = stack(E x_1 … E x_n)      logits = W pool(h_1 … h_n) + b

    With `window` K the stack reads x_1 … x_K, x_{K+1} … x_2K, … each by itself, and one pool is over all of them [2].

    Inputs: token ids (B, T), 0 is padding. Outputs: logits (B, L).

    Args:
        vocabulary_size: V.
        labels: L, the number of labels.
        options: See `SequenceClassifierOptions`.
    Raises:
        ValueError: If an argument is not of the kind above.
    References:
        [1] Jurafsky and Martin, chapter 8. [2] As the segments of Pappagari et al. 2019 (arXiv:1910.10781).
    """

    options_class = SequenceClassifierOptions

    def __init__(self, vocabulary_size: int, labels: int, name: str | None = None, **options: Any):
        options = self.options_class(**options)
        sizes = {"vocabulary_size": vocabulary_size, "labels": labels}
        positive(**sizes)
        # Layers
        embedding = keras.layers.Embedding(vocabulary_size, options.embedding_size, name="embedding")
        drop, *drops = dropouts(*[options.dropout] * (1 + options.layers), variational=options.variational)
        drop_pooled = Dropout(options.dropout, beside=drop)  # what is pooled has no steps
        stack = recurrent_stack(options.cell, options.units, options.layers, options.bidirectional)
        norms = normalizations(options.layers, options.layer_norm)
        pool = LastPooling(options.bidirectional) if options.pooling == "last" else POOLINGS[options.pooling]()
        head = self.make_head(labels)

        # Forward
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        mask = ops.not_equal(tokens, 0)
        cut = unchanged if options.window is None else CutWindows(options.window)
        h, m = cut(drop(embedding(tokens))), cut(mask)  # (B, T, E), or (B n, K, E)
        for layer, norm, drop in zip(stack, norms, drops, strict=True):
            h = drop(norm(layer(h, mask=m)))  # (…, H or 2H)
        h = h if options.window is None else JoinWindows()(h, tokens)  # (B, T, H or 2H)
        super().__init__(tokens, drop_pooled(pool(h, mask=mask)), head, sizes, options, name)  # (B, L)

    def make_head(self, labels: int) -> keras.layers.Layer:
        """The head over so many labels."""
        return self.head_class(labels, calibrated=True, name="logits")


@keras.saving.register_keras_serializable(package="seq_models.networks")
class MultiLabelClassifier(SequenceClassifier):
    """`SequenceClassifier` of texts with any number of labels; see `SigmoidHead`."""

    head_class = SigmoidHead

    def make_head(self, labels: int) -> keras.layers.Layer:
        return self.head_class(labels, name="logits")
