"""Texts to labels."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import accuracy_score, f1_score

from seq_models import networks
from seq_models.errors import InputError, positive
from seq_models.tasks.calibration import reliability, reliability_of
from seq_models.tasks.explaining import METHODS, Explanations, explain, gradient_function
from seq_models.tasks.judging import judge
from seq_models.tasks.task import Task, check_texts
from seq_models.text.codec import chunked
from seq_models.text.counting import check_examples
from seq_models.text.preprocessors import SequenceClassifierPreprocessor

SHOWN = 20  # labels in a sentence


@keras.saving.register_keras_serializable(package="seq_models")
class SequenceClassifier(Task):
    """Gives a text one label. Examples: (text, label). Options: see `Task.from_examples`.

    Example:
        >>> examples = [("good food", "positive"), ("bad food", "negative")] * 4
        >>> model = SequenceClassifier.from_examples(examples, units=8, pooling="mean")
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(model.dataset(examples), verbose=0)
        >>> sorted(model.predict_text(["good food"])[0])
        ['abstain', 'classes', 'label', 'probabilities', 'score']
    """

    task_name = "classifier"
    preprocessor_class = SequenceClassifierPreprocessor
    preprocessor: SequenceClassifierPreprocessor
    network_class = networks.SequenceClassifier

    @staticmethod
    def sizes(preprocessor: Any) -> dict[str, Any]:
        return {"vocabulary_size": len(preprocessor.codec.vocabulary), "labels": len(preprocessor.labels)}

    def respond(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Texts (B,) -> label (B,), score (B,): its probability, abstain (B,): whether that is not enough for an
        answer, probabilities (B, L) of the classes (B, L).

        The classes are the same in each row, for what is served has a row for each text in every output.
        """
        probabilities = self.network.head.probabilities(self.hidden(self.preprocessor.inputs(text)))
        label = self.preprocessor.labels.lookup(tf.argmax(probabilities, axis=-1))
        classes = tf.tile(tf.constant([self.preprocessor.labels.names]), [tf.shape(probabilities)[0], 1])
        score = tf.reduce_max(probabilities, axis=-1)
        abstain = self.network.head.abstains(score)
        return {"label": label, "score": score, "abstain": abstain, "probabilities": probabilities, "classes": classes}

    def explain(
        self, texts: Sequence[str], method: str = "occlusion", label: str | None = None, batch_size: int = 64
    ) -> Explanations:
        """What each token of each text contributes to a class.

        Args:
            texts: A list of strings.
            method: "occlusion", the probability of the class less that with `<unk>` in the place of the token; a text
                of T tokens is read T + 1 times. "gradient_times_input", the product of the token's embedding with the
                gradient of the logit of the class; a text is read once, forwards and backwards.
            label: The class; the most probable one of each text if left out.
            batch_size: Texts that are read at once.
        Returns:
            A list of `Explanation`s, which a notebook shows as coloured text.
        Raises:
            ValueError: If an argument is not of this kind.
        """
        positive(batch_size=batch_size)
        check_texts("texts", texts)
        for name, value, known in (
            ("method", method, list(METHODS)),
            ("label", label, [None, *self.preprocessor.labels.names]),
        ):
            if value not in known:
                expected = ", ".join(map(str, known[: SHOWN + 1]))
                raise ValueError(f"{name} must be one of {expected}. Received: {name}={value!r}")
        return explain(self, texts, method, label, batch_size)

    @functools.cached_property
    def probabilities_of(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Token ids (B, T) -> the probabilities of the labels (B, L), traced once."""

        def answer(ids):
            return self.network.head.probabilities(self.hidden(ids))

        return tf.function(answer, input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)

    @functools.cached_property
    def gradients_times_inputs(self) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """See `gradient_function`."""
        return gradient_function(self.network)

    def samples(self, examples: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        """What the model says of examples, beside what is expected."""
        texts, labels = zip(*(example[:2] for example in examples), strict=True)
        return [
            {"text": text, "expected": label, "predicted": f"{answer['label']} ({answer['score']:.2f})"}
            for text, label, answer in zip(texts, labels, self.predict_text(texts), strict=True)
        ]

    def score(self, examples: Iterable[tuple[str, str]]) -> dict[str, float]:
        """Accuracy, macro-averaged F1 and expected calibration error (`ece`), in [0, 1], on labeled examples.

        Raises:
            InputError: If there is no example, or none with a weight above 0.
        """
        check_examples(self.preprocessor, examples)
        sure, rows = reliability(), []
        for some in chunked(judge(self, examples)):
            sure = sure.plus(reliability_of(some))
            rows += [(*each.expected, *each.predicted, each.weight) for each in some]
        expected, predicted, weights = zip(*rows, strict=True)
        if not any(weights):
            raise InputError("Some example must have a weight above 0. Received: a weight of 0 of each")
        f1 = f1_score(expected, predicted, average="macro", zero_division=0, sample_weight=weights)
        accuracy = accuracy_score(expected, predicted, sample_weight=weights)
        return {"accuracy": float(accuracy), "f1": float(f1), "ece": sure.ece}

    def labels_of(self, example: Any, predicted: np.ndarray) -> tuple[list[str], list[str]]:
        return [example[1]], [self.preprocessor.labels.names[int(predicted)]]

    def vocabularies(self) -> dict[str, list[str]]:
        return {**super().vocabularies(), "labels": self.preprocessor.labels.names}

    @staticmethod
    def line(answer: Mapping[str, Any]) -> str:
        """An answer as one line of text."""
        return f"{answer['label']}\t{answer['score']:.4f}" + ("\tabstain" if answer["abstain"] else "")
