"""From which probability on a label is given: thresholds by which F1 on some examples is best."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from seq_models.errors import InputError
from seq_models.files import write_whole, written_whole
from seq_models.tasks.calibration import logits_of
from seq_models.text.counting import check_examples
from seq_models.training.run_directory import RunDirectory

MEASURES = ("micro_f1", "macro_f1")
USUAL = 0.5  # the threshold of a label that the examples say nothing of


class Chosen(NamedTuple):
    """What was chosen.

    Attributes:
        measure: What is best by it: micro_f1, by one threshold of all labels, or macro_f1, by one of each.
        thresholds: By label.
        examples: How many there were.
        before, after: The measure on them with the thresholds of before and with these.
    """

    measure: str
    thresholds: dict[str, float]
    examples: int
    before: float
    after: float

    def __str__(self) -> str:
        least, most = min(self.thresholds.values()), max(self.thresholds.values())
        span = f"{least:.4f}" if least == most else f"{least:.4f} to {most:.4f}"
        return (
            f"thresholds of {span}, by which {self.measure} is {self.after:.4f}, and was {self.before:.4f}, "
            f"on {self.examples:,} examples"
        )


def best_threshold(probabilities: Any, there: Any, weights: Any, missed: float = 0.0) -> float:
    """The threshold with the largest F1 = 2 both / (there + given) of labels whose probability reaches it [1].

    It lies between two probabilities, so that rounding decides nothing; of equal F1 it is the highest.

    Args:
        probabilities: Floats (N,).
        there: Whether each label is there, booleans (N,).
        weights: Floats (N,).
        missed: The weight of labels that are there and no threshold gives.
    Returns:
        The threshold; 0.5 where no label is there.
    References:
        [1] Lipton, Elkan and Naryanaswamy 2014, Optimal Thresholding of Classifiers to Maximize F1 Measure,
        arXiv:1402.1892.
    """
    probabilities = np.asarray(probabilities, np.float32)
    order = np.argsort(-probabilities, kind="stable")
    p, weights = probabilities[order], np.asarray(weights, float)[order]
    both = np.cumsum(weights * np.asarray(there, bool)[order])
    if not len(p) or not both[-1] > 0:
        return USUAL
    f1 = 2 * both / (both[-1] + missed + np.cumsum(weights))
    f1[:-1][p[1:] == p[:-1]] = -1  # of equally probable ones all are given or none
    k = int(np.argmax(f1))
    below = p[k + 1] if k + 1 < len(p) else np.float32(0)
    middle = (p[k] + below) / 2
    return float(middle if middle > below else p[k])


def choose_thresholds(model: Any, examples: Iterable[Any], measure: str) -> Chosen:
    """Chooses thresholds on examples that a model was not trained on, and sets them.

    Args:
        model: A multi-label classifier.
        examples: An iterable of examples.
        measure: One of `MEASURES`.
    Raises:
        InputError: If the model or the measure is another one, or the examples are not what they should be.
    """
    if not hasattr(model, "thresholds"):
        raise InputError(f"Thresholds are those of a multi-label classifier. Received: {model.task_name}")
    if measure not in MEASURES:
        raise InputError(f"measure must be one of {', '.join(MEASURES)}. Received: {measure}")
    check_examples(model.preprocessor, examples)
    logits, targets, weights = logits_of(model, examples)
    if not (targets[:, :-1].T * weights).any():
        raise InputError(
            f"Some example must have a label that training has seen. Received: none of {len(weights):,} examples"
        )
    before = model.scores_of(examples)[measure]
    p, there, K = expit(logits), targets[:, :-1] > 0, logits.shape[1]
    if measure == "micro_f1":
        missed = float(np.sum(weights * targets[:, -1]))
        chosen = [best_threshold(p.ravel(), there.ravel(), np.repeat(weights, K), missed)] * K
    else:
        chosen = [best_threshold(p[:, k], there[:, k], weights) for k in range(K)]
    model.network.head.thresholds.assign(chosen)
    named = dict(zip(model.preprocessor.labels.names, model.thresholds, strict=True))
    return Chosen(measure, named, len(weights), before, model.scores_of(examples)[measure])


def choose_thresholds_of_run(run: RunDirectory, examples: Iterable[Any], measure: str) -> Chosen:
    """Chooses the thresholds of the best model of a run, and keeps it and them. Errors: `choose_thresholds`."""
    model = run.load_model()
    found = choose_thresholds(model, examples, measure)
    with written_whole(run.model) as aside:
        model.save(aside)
    write_whole(run.calibration, json.dumps(found._asdict(), ensure_ascii=False, indent=1) + "\n")
    return found
