"""Texts to any number of labels."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seq_models import networks
from seq_models.errors import InputError
from seq_models.messages import say
from seq_models.tasks.calibration import reliability, reliability_of
from seq_models.tasks.judging import judge
from seq_models.tasks.sequence_classifier import SequenceClassifier
from seq_models.tasks.thresholds import Chosen, choose_thresholds
from seq_models.text.codec import chunked
from seq_models.text.counting import check_examples
from seq_models.text.example_types import LABEL_SEPARATOR
from seq_models.text.preprocessors import MultiLabelPreprocessor
from seq_models.training.metrics import ExactMatch, MicroF1
from seq_models.training.run_directory import RunDirectory

ABSENT = ""  # beside a label that is only predicted, or only there


@keras.saving.register_keras_serializable(package="seq_models")
class MultiLabelClassifier(SequenceClassifier):
    """Gives a text any number of labels: those whose probability reaches a threshold, 0.5 unless it is chosen.

    Examples: (text, labels), labels a list of strings or one string with commas between them. Options: see
    `Task.from_examples`.

    Example:
        >>> examples = [("good cheap food", ["food", "price"]), ("bad food", "food"), ("hello", [])] * 4
        >>> model = MultiLabelClassifier.from_examples(examples, units=8)
        >>> sorted(model.predict_text(["good food"])[0])
        ['classes', 'labels', 'lengths', 'probabilities', 'scores']
    """

    task_name = "multi-label"
    preprocessor_class = MultiLabelPreprocessor
    preprocessor: MultiLabelPreprocessor
    network_class = networks.MultiLabelClassifier

    @property
    def monitor(self) -> str:
        return "val_micro_f1"

    def make_metrics(self) -> list[keras.Metric]:
        return [MicroF1(), ExactMatch()]

    def _compare(self, hidden, targets, training=False):
        return self.network.head.compare(hidden, targets[:, :-1], training=training)

    def loss_weights(self, targets: tf.Tensor, weights: tf.Tensor, training: bool = False) -> tf.Tensor:
        return weights

    def flat(self, targets: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return targets[:, :-1], logits, weights

    def _weigh_classes(self, weights):
        if weights:
            raise InputError(
                "class_weights must be left out where a text may have several labels; a column `weight` weighs texts. "
                f"Received: weights of {len(weights)} labels"
            )

    def respond(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Texts (B,) -> labels (B, L), the most probable first, and their scores (B, L), probabilities; lengths (B,):
        how many there are; probabilities (B, L) of all classes (B, L).

        Beyond the labels of a text there are empty strings and zeros.
        """
        head = self.network.head
        hidden = self.hidden(self.preprocessor.inputs(text))
        probabilities, given = head.probabilities(hidden), head.predict(hidden)
        lengths = tf.reduce_sum(given, axis=-1)
        _, order = tf.math.top_k(probabilities + 2 * tf.cast(given, probabilities.dtype), len(self.preprocessor.labels))
        real = tf.sequence_mask(lengths, len(self.preprocessor.labels))
        classes = tf.tile(tf.constant([self.preprocessor.labels.names]), [tf.shape(probabilities)[0], 1])
        return {
            "labels": tf.where(real, self.preprocessor.labels.lookup(order), ABSENT),
            "scores": tf.where(real, tf.gather(probabilities, order, batch_dims=1), 0),
            "lengths": lengths,
            "probabilities": probabilities,
            "classes": classes,
        }

    def predict_text(self, texts: Sequence[str], batch_size: int = 64) -> list[dict[str, Any]]:
        """As `Task.predict_text`; `labels` and `scores` are as many as a text has."""
        answers = super().predict_text(texts, batch_size)
        return [
            {**answer, **{name: answer[name][: answer["lengths"]] for name in ("labels", "scores")}}
            for answer in answers
        ]

    def samples(self, examples: Sequence[Any]) -> list[dict[str, str]]:
        """What the model says of examples, beside what is expected."""
        shown = []
        for example, answer in zip(examples, self.predict_text([each[0] for each in examples]), strict=True):
            scored = zip(answer["labels"], answer["scores"], strict=True)
            predicted = ", ".join(f"{label} ({score:.2f})" for label, score in scored)
            expected = ", ".join(self.preprocessor.labels_of(example))
            shown.append({"text": example[0], "expected": expected, "predicted": predicted})
        return shown

    def score(self, examples: Iterable[Any]) -> dict[str, float]:
        """Exact match, F1 and expected calibration error, in [0, 1], on labeled examples.

        `exact_match` is the share of texts that get just their labels. `micro_f1` is 2 correct / (there + predicted) of
        all labels of all texts, `macro_f1` the mean of it over the labels that are there or predicted. `ece` is of the
        labels that are given. A label that was not seen in training counts as missed.

        Raises:
            InputError: If there is no example, or none with a weight above 0.
        """
        check_examples(self.preprocessor, examples)
        return self.scores_of(examples)

    def scores_of(self, examples: Iterable[Any]) -> dict[str, float]:
        """`score` of examples that are known to be right."""
        sure, exact, total = reliability(), 0.0, 0.0
        counts: dict[str, np.ndarray] = {}  # of each label the weights of texts: there, predicted, both
        for some in chunked(judge(self, examples)):
            sure = sure.plus(reliability_of(some))
            for each in some:
                total += each.weight
                exact += each.weight * (each.expected == each.predicted)
                for there, predicted in zip(each.expected, each.predicted, strict=True):
                    sides = np.array([bool(there), bool(predicted), there == predicted])
                    counts[there or predicted] = counts.get(there or predicted, 0.0) + each.weight * sides
        if not total:
            raise InputError("Some example must have a weight above 0. Received: a weight of 0 of each")
        each_f1 = [_f1(sums) for sums in counts.values() if sums.any()]
        macro = float(np.mean(each_f1)) if each_f1 else 0.0
        micro = _f1(sum(counts.values(), start=np.zeros(3)))
        return {"exact_match": exact / total, "micro_f1": micro, "macro_f1": macro, "ece": sure.ece}

    def labels_of(self, example: Any, predicted: np.ndarray) -> tuple[list[str], list[str]]:
        names, expected = self.preprocessor.labels.names, self.preprocessor.labels_of(example)
        found = [names[number] for number in np.flatnonzero(predicted)]
        missed = [name for name in expected if name not in found]
        return [name if name in expected else ABSENT for name in found] + missed, found + [ABSENT] * len(missed)

    def confidence(self, probabilities: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
        return tf.ragged.boolean_mask(probabilities, predicted > 0).to_tensor()

    def choose_thresholds(self, examples: Iterable[Any], measure: str = "micro_f1") -> Chosen:
        """Chooses the thresholds that are best on examples, and sets them; see `choose_thresholds`."""
        return choose_thresholds(self, examples, measure)

    def finish(self, run: RunDirectory, examples: Iterable[Any]) -> None:
        known = run.read_calibration().get("thresholds")
        if known is not None and list(known.values()) != run.load_model().thresholds:
            run.calibration.unlink()
            say(f"{run.path} has a better model now, whose thresholds are 0.5; seq-models calibrate chooses others.")

    @property
    def thresholds(self) -> list[float]:
        """The threshold of each label."""
        return self.network.head.thresholds.numpy().tolist()

    @staticmethod
    def line(answer: Mapping[str, Any]) -> str:
        """An answer as one line of text: labels, a tab, scores, with commas between them; a tab alone for no label."""
        return f"{LABEL_SEPARATOR.join(answer['labels'])}\t{','.join(f'{score:.4f}' for score in answer['scores'])}"


def _f1(sums):
    """2 both / (there + predicted), 0 of none."""
    there, predicted, both = sums.tolist()
    return 2 * both / (there + predicted) if there + predicted else 0.0
