"""Answers that are as sure as they are right: temperature, expected calibration error, and a threshold to abstain.

The confidence of an answer is its probability. All is of examples, or of tokens where each has a label.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from seq_models.errors import InputError
from seq_models.files import write_whole, written_whole
from seq_models.messages import say
from seq_models.tasks.judging import Judged
from seq_models.text.codec import chunked
from seq_models.text.counting import check_examples
from seq_models.text.datasets import BATCH_SIZE
from seq_models.text.given import Given
from seq_models.text.progress import watched
from seq_models.training.run_directory import RunDirectory

BINS = 15  # as in Guo et al. 2017
COLDEST, HOTTEST = 0.01, 100.0  # temperatures: with one beyond them the likelihood has no maximum


class Reliability(NamedTuple):
    """How often answers are right that are so sure [1, section 2]: bin m is of those of confidence in ((m-1)/M, m/M].

    Attributes:
        weights: Σ w of the answers in each bin, floats (M,).
        confident: Σ w confidence.
        right: Σ w of those that are right.
    References:
        [1] Guo et al. 2017, arXiv:1706.04599.
    """

    weights: np.ndarray
    confident: np.ndarray
    right: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error, Σ_m |B_m|/n |accuracy_m - confidence_m| [1, equation 3]; 0 of no answers."""
        total = float(np.sum(self.weights))
        return float(np.sum(np.abs(self.right - self.confident)) / total) if total else 0.0

    def plus(self, others: "Reliability") -> "Reliability":
        """That of these answers and others together."""
        return Reliability(*map(np.add, self, others))


def reliability(confidence: Any = (), right: Any = (), weights: Any = ()) -> Reliability:
    """The bins of N answers.

    Args:
        confidence: Floats in [0, 1] (N,).
        right: Booleans (N,).
        weights: Floats (N,).
    """
    confidence, weights = np.asarray(confidence, float), np.asarray(weights, float)
    # Rounded, for a confidence of 32 bits beside the end of a bin: 0.2 is 0.200000003.
    bins = np.clip(np.ceil(np.round(confidence * BINS, 5)).astype(int) - 1, 0, BINS - 1)
    sums = (weights, weights * confidence, weights * np.asarray(right, float))
    return Reliability(*(np.bincount(bins, values, BINS) for values in sums))


def reliability_of(judged: Sequence[Judged]) -> Reliability:
    """That of what a model says of examples; what was cut off has no answer."""
    rows = [
        (confidence, expected == predicted, each.weight)
        for each in judged
        for confidence, expected, predicted in zip(each.confidence, each.expected, each.predicted, strict=False)
    ]
    return reliability(*zip(*rows, strict=True))


def fit_temperature(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float | None:
    """The T of the least -Σ w log softmax(logits / T)[target] [1, section 4.2].

    The sum is convex in 1 / T, so that on a logarithmic scale, too, there is one minimum, which Brent's method finds.

    Args:
        logits: Floats (N, K).
        targets: Integers (N,).
        weights: Floats (N,).
    Returns:
        T; `HOTTEST` where answers are no better than chance, and None where there is no minimum because the surer the
        better, as where all are right.
    References:
        [1] Guo et al. 2017, arXiv:1706.04599.
    """
    logits = np.asarray(logits, float)
    at_targets = np.take_along_axis(logits, targets[:, None], axis=1)[:, 0]

    def loss(log_T: float) -> float:
        T = np.exp(log_T)
        return float(np.sum(weights * (logsumexp(logits / T, axis=1) - at_targets / T)))

    ends = np.log([COLDEST, HOTTEST])
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6})
    if loss(0.0) <= found.fun:
        return 1.0
    coldest, hottest = map(loss, ends)
    if hottest <= found.fun:
        return HOTTEST
    return None if coldest <= found.fun else float(np.exp(found.x))


class Abstaining(NamedTuple):
    """A threshold of the confidence, and of the answers that reach it the share of all and the accuracy."""

    threshold: float
    coverage: float
    accuracy: float


def choose_threshold(confidence: Any, right: Any, weights: Any, accuracy: float) -> Abstaining:
    """The threshold with the largest coverage of all whose answers have an accuracy.

    It lies between two confidences, so that rounding decides nothing.

    Args:
        confidence, right, weights: See `reliability`.
        accuracy: In (0, 1].
    Raises:
        InputError: If the surest answers have less.
    """
    confidence = np.asarray(confidence, np.float32)
    order = np.argsort(-confidence, kind="stable")
    confidence, right, weights = confidence[order], np.asarray(right, float)[order], np.asarray(weights, float)[order]
    total = np.cumsum(weights)
    reached = np.cumsum(weights * right) / np.maximum(total, np.finfo(float).tiny)
    # Of equally sure answers all are given or none.
    last: np.ndarray = np.append(confidence[1:] < confidence[:-1], True)
    (places,) = np.nonzero(last & (reached >= accuracy))
    if not len(places):
        raise InputError(
            f"accuracy must be one that answers have, {reached[last].max():.4f} at most. Received: accuracy={accuracy}"
        )
    k = places[-1]
    threshold = np.float32(0)
    if k + 1 < len(confidence):
        middle = (confidence[k] + confidence[k + 1]) / 2
        threshold = middle if middle > confidence[k + 1] else confidence[k]
    return Abstaining(float(threshold), float(total[k] / total[-1]), float(reached[k]))


class Calibration(NamedTuple):
    """What was fitted on some answers.

    Attributes:
        temperature: T.
        answers: How many there were.
        before, after: Their reliability with T = 1 and with T.
        abstaining: The threshold, None where the model always answers.
    """

    temperature: float
    answers: int
    before: Reliability
    after: Reliability
    abstaining: Abstaining | None

    def written(self) -> dict[str, Any]:
        """As calibration.json of a run holds it."""
        told = {"temperature": self.temperature, "answers": self.answers}
        told |= {"ece_before": self.before.ece, "ece": self.after.ece}
        return told | ({} if self.abstaining is None else self.abstaining._asdict())


def calibrate(model: Any, examples: Iterable[Any], accuracy: float | None = None) -> Calibration:
    """Fits the temperature of a model's head on examples that it was not trained on, and sets it.

    Args:
        model: A task's model.
        examples: An iterable of examples.
        accuracy: That the answers must have: the model then abstains from others. None: it always answers.
    Raises:
        InputError: If the head has no temperature, the examples are not what they should be, or no answers are so good.
    """
    head = model.network.head
    if not getattr(head, "calibrated", False):
        raise InputError(
            "Confidence is calibrated, and a model abstains, where the model is a classifier or a labeler with "
            f"head=softmax. Received: {model.task_name}, {type(head).__name__}"
        )
    if accuracy is not None and not 0 < accuracy <= 1:
        raise InputError(f"accuracy must be a number above 0 and at most 1. Received: accuracy={accuracy}")
    check_examples(model.preprocessor, examples)
    logits, targets, weights = logits_of(model, examples)
    if accuracy is not None and not weights.sum() > 0:
        raise InputError("Some example must have a weight above 0. Received: a weight of 0 of each")
    known = targets < head.classes
    T = fit_temperature(logits[known], targets[known], weights[known]) if known.any() else None
    right, confidence = logits.argmax(axis=1) == targets, np.max(softmax(logits / np.float32(T or 1.0), axis=1), axis=1)
    abstaining = None if accuracy is None else choose_threshold(confidence, right, weights, accuracy)
    if T is None:
        say("The temperature is 1, for by these examples none is the best, as where all answers are right.")
    if T == HOTTEST:
        say(f"These answers are no better than chance, so the temperature is {HOTTEST:.0f}, the highest.")
    head.temperature.assign(T or 1.0)
    head.threshold.assign(abstaining.threshold if abstaining else 0.0)
    before = reliability(np.max(softmax(logits, axis=1), axis=1), right, weights)
    after = reliability(confidence, right, weights)
    return Calibration(T or 1.0, len(targets), before, after, abstaining)


def logits_of(model: Any, examples: Iterable[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all that has a label and a weight: logits (N, K), the number of the label (N,) and the weight (N,)."""
    inputs_of, *_ = model.preprocessor.spec

    @tf.function(input_signature=[inputs_of], autograph=False)
    def logits(inputs):
        return tf.cast(model.network.head(model.hidden(inputs)), tf.float32)

    parts = []
    for chunk in watched(chunked(Given(examples, model.preprocessor.example_type)), "calibrating"):
        chunk.sort(key=lambda example: len(model.question(example)))
        for some in chunked(chunk, BATCH_SIZE):
            inputs, targets, weights = model.batch(some)
            real = weights > 0
            parts.append((logits(inputs)[real], targets[real], weights[real]))
    found, targets, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return found, targets, weights


def calibrate_run(run: RunDirectory, examples: Iterable[Any], accuracy: float | None = None) -> Calibration:
    """Calibrates the best model of a run, and keeps it and what was found there. Arguments and errors: `calibrate`."""
    model = run.load_model()
    found = calibrate(model, examples, accuracy)
    with written_whole(run.model) as aside:
        model.save(aside)
    write_whole(run.calibration, json.dumps(found.written(), indent=1) + "\n")
    return found


def finish_run(run: RunDirectory, examples: Iterable[Any]) -> None:
    """Calibrates a run that has ended, unless `calibrate_run` has chosen a threshold for its best model before."""
    threshold = run.read_calibration().get("threshold")
    if threshold is not None:
        if float(run.load_model().network.head.threshold.numpy()) == threshold:
            return
        say(f"{run.path} has a better model now, which always answers; seq-models calibrate makes it abstain again.")
    say(f"{run.path}: {told(calibrate_run(run, examples))}.")


def told(found: Calibration) -> str:
    """What a calibration found, as a sentence."""
    ece = f"expected calibration error {100 * found.before.ece:.2f} % before and {100 * found.after.ece:.2f} % after it"
    sentence = f"temperature {found.temperature:.4f}, {ece}, of {found.answers:,} answers"
    if found.abstaining is None:
        return sentence
    threshold, coverage, accuracy = found.abstaining
    return (
        f"{sentence}; it abstains below a confidence of {threshold:.4f}: it answers {100 * coverage:.2f} %, "
        f"of which {100 * accuracy:.2f} % are right"
    )
