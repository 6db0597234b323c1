"""What each label counts in the loss."""

import math
from collections.abc import Iterable

from seq_models.errors import InputError
from seq_models.text.counting import count_labels
from seq_models.text.example_types import Example
from seq_models.text.preprocessors import Preprocessor

BALANCED = "balanced"


def class_weights(wanted: str | None, preprocessor: Preprocessor, examples: Iterable[Example]) -> dict[str, float]:
    """Weights of labels by name; none where all count alike.

    balanced: w_k = N / (K N_k), N_k of the N labels in the examples are k: each label counts as much as any other [1].

    Args:
        wanted: "balanced", or "label=2.0,other=0.5", or None.
        preprocessor: Knows the labels.
        examples: The training examples.
    Raises:
        InputError: If the task has no labels, a label is none of them, or a weight is no number of 0 or more.
    References:
        [1] King and Zeng 2001, as scikit-learn's `compute_class_weight`.
    """
    if wanted is None:
        return {}
    labels = preprocessor.labels
    if labels is None:
        raise InputError(
            f"class_weights must be left out where there are no labels. Received: class_weights={wanted!r}"
        )
    if wanted != BALANCED:
        return dict(_weight(entry, labels.names) for entry in wanted.split(","))
    counts = count_labels(preprocessor, examples)
    return {name: counts.total() / (len(counts) * number) for name, number in counts.items()}


def _weight(entry, names):
    """label=2.0 -> (label, 2.0); a label may hold an equals sign."""
    label, _, number = entry.rpartition("=")
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if label.strip() not in names or not 0 <= weight < math.inf:
        expected = (
            f"{BALANCED}, or weights of 0 or more as label=2.0,other=0.5 for labels out of {', '.join(names[:20])}"
        )
        raise InputError(f"class_weights must be {expected}. Received: {entry!r}")
    return label.strip(), weight
