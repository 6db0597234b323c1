"""What the command line and the export ask of a model is the protocol `TextModel`, gradients or not."""

import inspect
import math
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy import TEXTS, small

import seq_models as sm
from seq_models.tasks import TASKS
from seq_models.tasks.signature import Signature, questions_of, strings
from seq_models.tasks.text_model import TextModel
from seq_models.text.codec import dense
from seq_models.text.options import TextOptions
from seq_models.text.preprocessors import LanguageModelPreprocessor


class Unigram:
    """P(w) = count(w) / count: a language model without gradients, and no Keras model."""

    task_name = "language-model"
    sample_texts = TEXTS[:2]

    def __init__(self, texts):
        self.preprocessor = LanguageModelPreprocessor.from_examples(texts, TextOptions(tokenizer="whitespace"))
        counts = Counter(token for text in texts for token in [*text.split(), "</s>"])
        shares = [counts[token] / counts.total() or 1e-9 for token in self.preprocessor.codec.vocabulary.tokens]
        self.weights = [keras.Variable(np.log(shares).astype("float32"), trainable=False)]

    def respond(self, text):
        _, targets, weights = self.preprocessor.encode(text)
        log_p = tf.gather(self.weights[0].value, dense(targets))
        return {"log_probability": tf.reduce_sum(log_p * dense(weights), axis=1)}

    def predict_text(self, texts):
        found = self.respond(tf.constant(texts))["log_probability"].numpy()
        return [{"log_probability": float(log_p)} for log_p in found]

    def line(self, answer):
        return f"{answer['log_probability']:.4f}"

    def score(self, examples):
        return {"log_probability": sum(answer["log_probability"] for answer in self.predict_text(examples))}

    def samples(self, examples):
        return [{"text": text, "answer": self.line(a)} for text, a in zip(examples, self.predict_text(examples))]  # noqa: B905

    def signatures(self):
        return {"serving_default": Signature(self.respond, [strings("text")], questions_of("text"))}

    def vocabularies(self):
        return {"vocabulary": self.preprocessor.codec.vocabulary.tokens}

    def in_float64(self):
        raise NotImplementedError

    def save_run(self, directory):
        raise NotImplementedError


@pytest.mark.parametrize("task", TASKS)
def test_every_task_fulfils_the_protocol_with_its_signatures(task):
    model = small(task)
    assert isinstance(model, TextModel)
    for name, asked in inspect.getmembers(TextModel, inspect.isfunction):
        if not name.startswith("_"):
            given = inspect.signature(getattr(model, name)).parameters
            assert (
                list(given)[: len(inspect.signature(asked).parameters) - 1]
                == list(inspect.signature(asked).parameters)[1:]
            )


def test_a_model_without_gradients_is_exported_as_any_other(tmp_path):
    model = Unigram(TEXTS)
    assert isinstance(model, TextModel)
    served = tf.saved_model.load(str(sm.export(model, tmp_path / "unigram"))).signatures["serving_default"]
    [answer] = served(text=tf.constant(["a b"]))["log_probability"].numpy()
    tokens = [token for text in TEXTS for token in [*text.split(), "</s>"]]
    expected = sum(math.log(tokens.count(token) / len(tokens)) for token in ("a", "b", "</s>"))
    assert answer == pytest.approx(expected, rel=1e-5)
