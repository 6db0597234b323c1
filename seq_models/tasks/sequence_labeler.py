"""Tokens to labels."""

import keras
import numpy as np
import tensorflow as tf
from seqeval.metrics import f1_score

from seq_models import networks
from seq_models.tasks.signature import Signature, array
from seq_models.tasks.task import Task
from seq_models.text.preprocessors import SequenceLabelerPreprocessor
from seq_models.training.metrics import TokenAccuracy


@keras.saving.register_keras_serializable(package="seq_models")
class SequenceLabeler(Task, networks.SequenceLabeler):
    """Gives every token a label. Examples: (tokens, labels). Options: see `Task.from_examples`.

    With `characters` (the default) words are also read character by character, by `character_units` each way.

    Example:
        >>> examples = [(["time", "flies"], ["NOUN", "VERB"])] * 4
        >>> model = SequenceLabeler.from_examples(examples, units=8, characters=False)
        >>> model.predict_text(["time flies"])[0]["tokens"]
        ['time', 'flies']
    """

    task_name = "labeler"
    preprocessor_class = SequenceLabelerPreprocessor
    network_class = networks.SequenceLabeler
    derived = ("vocabulary_size", "labels", "character_vocabulary_size")

    @staticmethod
    def sizes(preprocessor):
        sizes = {"vocabulary_size": len(preprocessor.codec.vocabulary), "labels": len(preprocessor.labels)}
        if preprocessor.characters is not None:
            sizes["character_vocabulary_size"] = len(preprocessor.characters.vocabulary)
        return sizes

    def make_metrics(self):
        return [TokenAccuracy()]

    def respond(self, text):
        """Texts (B,) -> tokens, tags (B, T), scores (B, T): the tags' probabilities, lengths (B,).

        Beyond a row's length there are empty strings and zeros.
        """
        return self.label(self.preprocessor.codec.tokenize(text))

    def respond_to_tokens(self, tokens):
        """`respond` for texts that are cut already: tokens (B, T), "" after the last one of a text."""
        tokens = tf.RaggedTensor.from_tensor(tokens, padding="")[:, : self.preprocessor.codec.max_length - 1]
        return self.label(tokens.with_values(self.preprocessor.codec.clean(tokens.values)))

    def label(self, tokens):
        """`respond` for tokens, ragged (B, None)."""
        lengths = tf.cast(tokens.row_lengths(), tf.int32)
        logits = self(self.preprocessor.inputs_of_tokens(tokens), training=False)[:, :-1]  # but for the end token
        probabilities = tf.nn.softmax(logits)
        real = tf.sequence_mask(lengths, tf.shape(logits)[1])
        tags = self.preprocessor.labels.lookup(tf.argmax(probabilities, axis=-1))
        return {
            "tokens": tokens.to_tensor(),
            "tags": tf.where(real, tags, ""),
            "scores": tf.where(real, tf.reduce_max(probabilities, axis=-1), 0),
            "lengths": lengths,
        }

    def signatures(self):
        def cut(texts):
            rows = [text.split() for text in array(texts)]
            longest = max(map(len, rows), default=0)
            return {
                "tokens": np.array([row + [b""] * (longest - len(row)) for row in rows], object).reshape(-1, longest)
            }

        tokens = tf.TensorSpec([None, None], tf.string, name="tokens")
        return {**super().signatures(), "tokens": Signature(self.respond_to_tokens, [tokens], cut)}

    def samples(self, examples):
        """What the model says of examples, beside what is expected."""
        names = np.array(self.preprocessor.labels.names)
        inputs, _, _ = self.batch(examples)
        predicted = names[tf.argmax(self(inputs, training=False), axis=-1)]
        lines = [
            [self.line({"tokens": tokens[: len(row)], "tags": tags[: len(row)]}) for tags in (labels, row.tolist())]
            for (tokens, labels), row in ((e, row[: len(e[0])]) for e, row in zip(examples, predicted, strict=True))
        ]
        return [{"expected": expected, "predicted": line} for expected, line in lines]

    def score(self, examples):
        """Accuracy per token in [0, 1], and entity F1 [1] if the labels are BIO tags.

        References:
            [1] Tjong Kim Sang and De Meulder 2003, by seqeval: an entity counts if its span and its type are right.
        """
        names = np.array(self.preprocessor.labels.names)
        gold, guess = [], []
        for inputs, targets, weights in self.dataset(examples):
            predicted = np.argmax(self.predict_on_batch(inputs), axis=-1)
            for row, other, real in zip(targets.numpy(), predicted, weights.numpy() > 0, strict=True):
                gold.append(names[row[real]].tolist())
                guess.append(names[other[real]].tolist())
        right = [a == b for row, other in zip(gold, guess, strict=True) for a, b in zip(row, other, strict=True)]
        scores = {"accuracy": float(np.mean(right))}
        if all(name == "O" or name[:2] in ("B-", "I-") for name in names):
            scores["entity_f1"] = float(f1_score(gold, guess, zero_division=0))
        return scores

    def vocabularies(self):
        characters = self.preprocessor.characters
        spelled = {} if characters is None else {"characters": characters.vocabulary.tokens}
        return {**super().vocabularies(), **spelled, "labels": self.preprocessor.labels.names}

    @staticmethod
    def line(answer):
        """An answer as one line of text."""
        return " ".join(f"{token}/{tag}" for token, tag in zip(answer["tokens"], answer["tags"], strict=True))
