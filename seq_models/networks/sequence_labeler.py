"""One label for every token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from seq_models.errors import positive
from seq_models.layers import CharacterEncoder, FeatureEncoder
from seq_models.layers.crf import Chain
from seq_models.layers.dropout import dropouts
from seq_models.layers.heads import CRFHead, LegalHead, SoftmaxHead
from seq_models.networks.network import Network, NetworkOptions, normalizations, recurrent_stack
from seq_models.options import option

MERGES = ("concat", "sum", "mul", "ave")
HEADS: dict[str, type[LegalHead]] = {"legal": LegalHead, "crf": CRFHead}  # over whole sentences


@dataclass(frozen=True)
class SequenceLabelerOptions(NetworkOptions):
    """The options of a `SequenceLabeler`.

    Raises:
        ValueError: See `Options`; or if there are no two directions for `merge`.
    """

    bidirectional: bool = option(True, "read both ways")
    merge: str = option("concat", "how the outputs of both directions become one", choices=MERGES)
    character_units: int = option(32, "units of each direction that reads a word's characters", at_least=1)
    feature_units: int = option(16, "size of the embedding of each feature of a word, as its suffix", at_least=1)
    head: str = option(
        "auto",
        "softmax of each tag by itself, legal: the same but for steps that the scheme of the tags forbids, a crf over "
        "each sentence, or auto, crf for tags of entities and softmax for others",
        choices=("auto", "softmax", *HEADS),
    )

    def __post_init__(self):
        super().__post_init__()
        if self.merge != "concat" and not self.bidirectional:
            raise ValueError(f"merge needs bidirectional=True. Received: bidirectional=False, merge={self.merge!r}")


@keras.saving.register_keras_serializable(package="seq_models.networks")
class SequenceLabeler(Network):
    """A recurrent sequence labeler: softmax over the labels at each step [1, section 8.3.1], or a CRF over all of them
    (see `CRFHead`).

        e_t = [E x_t; chars(x_t); F f(x_t)]      h_1 … h_n = stack(e_1 … e_n)      logits_t = W h_t + b

    with h_t = [h_t^f; h_t^b] of both directions, or with `merge` their sum, product (mul) or mean (ave). The last token
    of each row is its end, and has no label. Characters and features are read where there are some.

    Inputs: token ids (B, T), 0 is padding; with characters or features a tuple of these, character ids (B, T, C) and
    ids of features (B, T, F).
    Outputs: logits (B, T, L).

    Args:
        vocabulary_size: V.
        labels: L, the number of labels.
        character_vocabulary_size: Number of characters; None leaves the character encoder out.
        legal: Whether a label may come after another one, see `LegalHead`; None if all may.
        feature_vocabulary_size: Number of values that all features of words have together; None for no features.
        features: F, their number, where there are some.
        options: See `SequenceLabelerOptions`.
    Raises:
        ValueError: If an argument is not of the kind above, if head="legal" and all is legal, or if another head than
            that of the class is asked for.
    References:
        [1] Jurafsky and Martin, chapter 8. Characters: see `CharacterEncoder`; features: see `FeatureEncoder`.
    """

    options_class = SequenceLabelerOptions

    def __init__(
        self,
        vocabulary_size: int,
        labels: int,
        character_vocabulary_size: int | None = None,
        legal: Sequence[Sequence[int]] | None = None,
        name: str | None = None,
        feature_vocabulary_size: int | None = None,
        features: int | None = None,
        **options: Any,
    ):
        options = self.options_class(**options)
        sizes: dict[str, Any] = {"vocabulary_size": vocabulary_size, "labels": labels}
        sizes |= {} if character_vocabulary_size is None else {"character_vocabulary_size": character_vocabulary_size}
        if feature_vocabulary_size is not None:
            sizes |= {"feature_vocabulary_size": feature_vocabulary_size, "features": features}
        positive(**sizes)
        sizes |= {} if legal is None else {"legal": legal}
        # Layers
        embedding = keras.layers.Embedding(vocabulary_size, options.embedding_size, mask_zero=True, name="embedding")
        drop, *drops = dropouts(*[options.dropout] * (1 + options.layers), variational=options.variational)
        stack = recurrent_stack(options.cell, options.units, options.layers, options.bidirectional, merge=options.merge)
        norms = normalizations(options.layers, options.layer_norm)
        head = self._make_head(options.head, labels, legal)

        # Forward
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        inputs, parts = [tokens], [embedding(tokens)]
        mask = ops.not_equal(tokens, 0)
        if character_vocabulary_size is not None:
            spelled = CharacterEncoder(
                character_vocabulary_size, units=options.character_units, name="characters_encoder"
            )
            inputs.append(keras.Input((None, None), dtype="int32", name="characters"))
            parts.append(spelled(inputs[-1]))
        if feature_vocabulary_size is not None and features is not None:
            looks = FeatureEncoder(feature_vocabulary_size, features, options.feature_units, name="features_encoder")
            inputs.append(keras.Input((None, features), dtype="int32", name="features"))
            parts.append(looks(inputs[-1]))
        e = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]  # (B, T, E)
        h = drop(e)
        for layer, norm, drop in zip(stack, norms, drops, strict=True):
            h = drop(norm(layer(h, mask=mask)))  # (B, T, H or 2H)
        hidden = (h, _labeled(tokens)) if isinstance(head, LegalHead) else h
        inputs = tuple(inputs) if len(inputs) > 1 else tokens
        super().__init__(inputs, hidden, head, sizes, options, name)  # (B, T, L)

    def chain(self, inputs: Any) -> Chain:
        """The scores of all ways to label sentences; with a softmax a label asks nothing of those beside it."""
        hidden = self.body(inputs, training=False)
        if isinstance(self.head, LegalHead):
            return self.head.chain(hidden)
        logits, K = ops.cast(self.head(hidden), "float32"), self.head.classes
        return Chain(logits, ops.zeros((K + 1, K + 1)), _labeled(keras.tree.flatten(inputs)[0]))

    def _make_head(self, name, labels, legal):
        own = self.head_class is not SoftmaxHead
        if name == "auto":
            name = "softmax" if own or legal is None else "crf"
        if name == "legal" and legal is None:
            raise ValueError(
                "head=legal needs tags of entities, as B-PER and O, that scheme=plain does not leave as they are. "
                "Received: labels of no scheme"
            )
        if own and name in HEADS:
            received = f"head_class={self.head_class.__name__}"
            raise ValueError(f"head={name} needs the head SoftmaxHead. Received: {received}")
        if name in HEADS:
            return HEADS[name](labels, legal, name="logits")
        return self.head_class(labels, calibrated=True, name="logits")


def _labeled(tokens):
    """Whether a token has a label: another one comes after it. (B, T)"""
    return ops.not_equal(ops.pad(tokens[:, 1:], [[0, 0], [0, 1]]), 0)
