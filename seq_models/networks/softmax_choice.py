"""Which softmax over a vocabulary a network has."""

from typing import Any

import keras

from seq_models.layers.heads.adaptive import SMALLEST, AdaptiveSoftmaxHead
from seq_models.layers.heads.sampled import SampledSoftmaxHead, TiedSampledSoftmaxHead
from seq_models.layers.heads.softmax import SoftmaxHead, TiedSoftmaxHead
from seq_models.options import option

LARGE = 50_000  # words, over which the softmax is sampled in training
SOFTMAXES = ("auto", "full", "sampled", "adaptive")


def softmax_option() -> Any:
    """The option of a network that `softmax_head` takes."""
    meaning = (
        f"full, sampled over some words only in training, auto, sampled from {LARGE:,} words on, or adaptive, over "
        "clusters of rare words [Grave 2017]"
    )
    return option("auto", meaning, choices=SOFTMAXES)


def softmax_head(
    softmax: str,
    vocabulary_size: int,
    head_class: type[SoftmaxHead] = SoftmaxHead,
    embedding: keras.layers.ReversibleEmbedding | None = None,
) -> SoftmaxHead:
    """A head over V words, tied to an embedding if there is one.

    Args:
        softmax: One of `SOFTMAXES`.
        vocabulary_size: V.
        head_class: That of the network; one of its own is no softmax of another kind, and not tied.
        embedding: A `keras.layers.ReversibleEmbedding`; not with an adaptive softmax.
    Raises:
        ValueError: If the head cannot be what is asked for.
    """
    V = vocabulary_size
    if head_class is not SoftmaxHead:
        asked = {"tie_weights": embedding is not None, f"softmax={softmax}": softmax in ("sampled", "adaptive")}
        for name in (name for name, there in asked.items() if there):
            raise ValueError(f"{name} needs the head SoftmaxHead. Received: head_class={head_class.__name__}")
        return head_class(V, name="logits")
    if softmax == "adaptive":
        if V < SMALLEST:
            raise ValueError(f"softmax=adaptive needs a vocabulary of {SMALLEST} tokens or more. Received: {V}")
        return AdaptiveSoftmaxHead(V, name="logits")
    sampled = softmax == "sampled" or softmax == "auto" and V >= LARGE
    if embedding is None:
        return (SampledSoftmaxHead if sampled else SoftmaxHead)(V, name="logits")
    return (TiedSampledSoftmaxHead if sampled else TiedSoftmaxHead)(embedding, name="logits")
