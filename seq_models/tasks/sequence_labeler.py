"""Tokens to labels."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from seqeval.metrics import f1_score

from seq_models import networks
from seq_models.tasks.signature import Signature, array
from seq_models.tasks.task import Task, unbatch
from seq_models.text.codec import chunked
from seq_models.text.datasets import BATCH_SIZE, check_examples
from seq_models.text.given import Given
from seq_models.text.preprocessors import SequenceLabelerPreprocessor

TOKENS = tf.TensorSpec([None, None], tf.string, name="tokens")
MISSED = ""  # the label of a token that is not read


@keras.saving.register_keras_serializable(package="seq_models")
class SequenceLabeler(Task):
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
    preprocessor: SequenceLabelerPreprocessor
    network_class = networks.SequenceLabeler

    @staticmethod
    def sizes(preprocessor: Any) -> dict[str, Any]:
        sizes = {"vocabulary_size": len(preprocessor.codec.vocabulary), "labels": len(preprocessor.labels)}
        if preprocessor.characters is not None:
            sizes["character_vocabulary_size"] = len(preprocessor.characters.vocabulary)
        return sizes

    def respond(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Texts (B,) -> tokens, tags (B, T), scores (B, T): the tags' probabilities, lengths (B,).

        Beyond a row's length there are empty strings and zeros. So are the tags and scores of tokens beyond
        `max_length`, which are not read.
        """
        return self.label(self.preprocessor.tokenize(text))

    def respond_to_tokens(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        """`respond` for texts that are cut already: tokens (B, T), "" after the last one of a text."""
        tokens = tf.RaggedTensor.from_tensor(tokens, padding="")
        return self.label(tokens.with_values(self.preprocessor.codec.normalize(tokens.values)))

    def predict_tokens(self, tokens: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
        """Answers to texts that are cut already, a list of dictionaries: what `respond_to_tokens` says of each."""
        longest = max(map(len, tokens), default=0)
        return unbatch(self._answer_tokens(tf.constant([[*row, *[""] * (longest - len(row))] for row in tokens])))

    @functools.cached_property
    def _answer_tokens(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """`respond_to_tokens`, traced once."""
        return tf.function(self.respond_to_tokens, input_signature=[TOKENS])

    def label(self, tokens: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        """`respond` for tokens, ragged (B, None)."""
        read = self.preprocessor.codec.cut(tokens)
        hidden = self.hidden(self.preprocessor.inputs_of_tokens(read))
        probabilities = self.network.head.probabilities(hidden)[:, :-1]  # but for the end token
        real = tf.sequence_mask(read.row_lengths(), tf.shape(probabilities)[1])
        tags = self.preprocessor.labels.lookup(tf.argmax(probabilities, axis=-1))
        words = tokens.to_tensor()
        unread = [[0, 0], [0, tf.shape(words)[1] - tf.shape(tags)[1]]]
        return {
            "tokens": words,
            "tags": tf.pad(tf.where(real, tags, MISSED), unread, constant_values=MISSED),
            "scores": tf.pad(tf.where(real, tf.reduce_max(probabilities, axis=-1), 0), unread),
            "lengths": tf.cast(tokens.row_lengths(), tf.int32),
        }

    def signatures(self) -> dict[str, Signature]:
        def cut(texts):
            rows = [text.split() for text in array(texts)]
            longest = max(map(len, rows), default=0)
            padded = [row + [b""] * (longest - len(row)) for row in rows]
            return {"tokens": np.array(padded, object).reshape(-1, longest)}

        return {**super().signatures(), "tokens": Signature(self.respond_to_tokens, [TOKENS], cut)}

    def samples(self, examples: Sequence[tuple[list[str], list[str]]]) -> list[dict[str, str]]:
        """What the model says of examples, beside what is expected."""
        inputs, _, _ = self.batch(examples)
        rows = np.array(self.preprocessor.labels.names)[self.predict_targets(inputs)]
        shown = []
        for (tokens, labels), row in zip(examples, rows, strict=True):
            read = min(len(tokens), len(row))  # a long example is read in part
            sides = {"expected": labels[:read], "predicted": row[:read].tolist()}
            shown.append({side: self.line({"tokens": tokens[:read], "tags": tags}) for side, tags in sides.items()})
        return shown

    def score(self, examples: Iterable[tuple[list[str], list[str]]]) -> dict[str, float]:
        """Accuracy per token in [0, 1], and entity F1 [1] if the labels are BIO tags.

        Tokens beyond `max_length` count as missed: as wrong, and as no part of an entity.

        References:
            [1] Tjong Kim Sang and De Meulder 2003, by seqeval: an entity counts if its span and its type are right.
        """
        names = np.array(self.preprocessor.labels.names)
        expected, predicted = [], []
        check_examples(self.preprocessor, examples)
        for chunk in chunked(Given(examples, self.preprocessor.example_type), BATCH_SIZE):
            inputs, _, _ = self.batch(chunk)
            for (_, labels), row in zip(chunk, self.predict_targets(inputs), strict=True):
                read = min(len(labels), self.preprocessor.codec.max_length - 1)
                expected.append(list(labels))
                predicted.append(names[row[:read]].tolist() + [MISSED] * (len(labels) - read))
        right = [a == b for pair in zip(expected, predicted, strict=True) for a, b in zip(*pair, strict=True)]
        scores = {"accuracy": float(np.mean(right))}
        if all(name == "O" or name[:2] in ("B-", "I-") for name in names):
            predicted = [[name if name != MISSED else "O" for name in row] for row in predicted]
            scores["entity_f1"] = float(f1_score(expected, predicted, zero_division=0))
        return scores

    def vocabularies(self) -> dict[str, list[str]]:
        characters = self.preprocessor.characters
        spelled = {} if characters is None else {"characters": characters.vocabulary.tokens}
        return {**super().vocabularies(), **spelled, "labels": self.preprocessor.labels.names}

    @staticmethod
    def line(answer: Mapping[str, Any]) -> str:
        """An answer as one line of text."""
        return " ".join(f"{token}/{tag}" for token, tag in zip(answer["tokens"], answer["tags"], strict=True))
