"""Texts to labels."""

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import accuracy_score, f1_score

from seq_models import networks
from seq_models.tasks.task import Task, unbatch
from seq_models.text.preprocessors import SequenceClassifierPreprocessor
from seq_models.training.metrics import TokenAccuracy


@keras.saving.register_keras_serializable(package="seq_models")
class SequenceClassifier(Task, networks.SequenceClassifier):
    """Gives a text one label. Examples: (text, label). Options: see `Task.from_examples`.

    Example:
        >>> examples = [("good food", "positive"), ("bad food", "negative")] * 4
        >>> model = SequenceClassifier.from_examples(examples, units=8, pooling="mean")
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(model.dataset(examples), verbose=0)
        >>> sorted(model.predict_text(["good food"])[0])
        ['label', 'probabilities', 'score']
    """

    task_name = "classifier"
    preprocessor_class = SequenceClassifierPreprocessor
    network_class = networks.SequenceClassifier
    derived = ("vocabulary_size", "labels")

    @staticmethod
    def sizes(preprocessor):
        return {"vocabulary_size": len(preprocessor.codec.vocabulary), "labels": len(preprocessor.labels)}

    def make_metrics(self):
        return [TokenAccuracy()]

    def respond(self, text):
        """Texts (B,) -> label (B,), score (B,): its probability, probabilities (B, L) in the order of the labels."""
        probabilities = tf.nn.softmax(self(self.preprocessor.inputs(text), training=False))
        label = self.preprocessor.labels.lookup(tf.argmax(probabilities, axis=-1))
        return {"label": label, "score": tf.reduce_max(probabilities, axis=-1), "probabilities": probabilities}

    def samples(self, examples):
        """What the model says of examples, beside what is expected."""
        texts, labels = zip(*examples, strict=True)
        answers = unbatch({name: tensor.numpy() for name, tensor in self.respond(tf.constant(texts)).items()})
        return [
            {"text": text, "expected": label, "predicted": f"{answer['label']} ({answer['score']:.2f})"}
            for text, label, answer in zip(texts, labels, answers, strict=True)
        ]

    def score(self, examples):
        """Accuracy and macro-averaged F1 in [0, 1] on labeled examples."""
        gold, guess = [], []
        for inputs, targets, _ in self.dataset(examples):
            gold.append(targets.numpy())
            guess.append(np.argmax(self.predict_on_batch(inputs), axis=-1))
        gold, guess = np.concatenate(gold), np.concatenate(guess)
        f1 = f1_score(gold, guess, average="macro", zero_division=0)
        return {"accuracy": float(accuracy_score(gold, guess)), "f1": float(f1)}

    def vocabularies(self):
        return {**super().vocabularies(), "labels": self.preprocessor.labels.names}

    @staticmethod
    def line(answer):
        """An answer as one line of text."""
        return f"{answer['label']}\t{answer['score']:.4f}"
