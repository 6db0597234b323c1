"""Tokens to labels."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from seq_models import networks
from seq_models.errors import positive
from seq_models.messages import say
from seq_models.tasks.judging import judge
from seq_models.tasks.signature import Signature, array
from seq_models.tasks.task import Task, answered, brief, is_list
from seq_models.text.codec import chunked
from seq_models.text.counting import check_examples
from seq_models.text.entities import counts_of_entities, has_entities, scheme_of
from seq_models.text.preprocessors import SequenceLabelerPreprocessor
from seq_models.text.schemes import legal_transitions
from seq_models.training.metrics import EntityF1, TokenAccuracy

TOKENS = tf.TensorSpec([None, None], tf.string, name="tokens")
MISSED = ""  # the label of a token that is not read


@keras.saving.register_keras_serializable(package="seq_models")
class SequenceLabeler(Task):
    """Gives every token a label. Examples: (tokens, labels). Options: see `Task.from_examples`.

    Tags of entities are brought into one scheme (`scheme`), and get a CRF (`head`), so that no answer breaks its rules.
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
        sizes: dict[str, Any] = {
            "vocabulary_size": len(preprocessor.codec.vocabulary),
            "labels": len(preprocessor.labels),
        }
        if preprocessor.characters is not None:
            sizes["character_vocabulary_size"] = len(preprocessor.characters.vocabulary)
        if preprocessor.scheme is not None:
            sizes["legal"] = legal_transitions(preprocessor.labels.names, preprocessor.scheme)
        return sizes

    @classmethod
    def from_examples(cls, examples: Iterable[Any], **options: Any) -> Self:
        model = super().from_examples(examples, **options)
        scheme, others = scheme_of(model.preprocessor.labels.names)
        if others:
            received = ", ".join(map(repr, others[:5]))
            say(f"Entities are not scored: all tags must be of one scheme, as {scheme}. Received: {received}")
        return model

    @property
    def monitor(self) -> str:
        """Entity F1 if the labels are tags of entities, else accuracy."""
        return "val_entity_f1" if has_entities(self.preprocessor.labels.names) else "val_accuracy"

    def make_metrics(self) -> list[keras.Metric]:
        labels = self.preprocessor.labels.names
        return [TokenAccuracy(), *([EntityF1(labels)] if has_entities(labels) else [])]

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

    def predict_text(self, texts: Sequence[str | Sequence[str]], batch_size: int = 64) -> list[dict[str, Any]]:
        """As `Task.predict_text`; texts may also be cut already, lists of tokens, which stay as they are.

        Args:
            texts: A list of strings, or of lists of tokens, none of them empty.
            batch_size: Texts that are answered at once.
        Raises:
            ValueError: If an argument is not of this kind.
        """
        if not is_list(texts) or all(isinstance(text, str) for text in texts):
            return super().predict_text(texts, batch_size)  # type: ignore[arg-type] # strings, or refused
        positive(batch_size=batch_size)
        if not all(is_list(text) and all(isinstance(token, str) and token for token in text) for text in texts):
            expected = "a list of strings, or of lists of tokens, none of them empty"
            raise ValueError(f"texts must be {expected}. Received: texts={brief(texts)}")
        return answered(texts, batch_size, lambda some: self._answer_tokens(tf.constant(padded(some), tf.string)))

    @functools.cached_property
    def _answer_tokens(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """`respond_to_tokens`, traced once."""
        return tf.function(self.respond_to_tokens, input_signature=[TOKENS], autograph=False)

    def label(self, tokens: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        """`respond` for tokens, ragged (B, None)."""
        read = self.preprocessor.codec.cut(tokens)
        head, hidden = self.network.head, self.hidden(self.preprocessor.inputs_of_tokens(read))
        predicted, probabilities = head.predict(hidden)[:, :-1], head.probabilities(hidden)[:, :-1]  # but for the end
        real = tf.sequence_mask(read.row_lengths(), tf.shape(predicted)[1])
        tags, scores = self.preprocessor.labels.lookup(predicted), tf.gather(probabilities, predicted, batch_dims=2)
        words = tokens.to_tensor()
        unread = [[0, 0], [0, tf.shape(words)[1] - tf.shape(tags)[1]]]
        return {
            "tokens": words,
            "tags": tf.pad(tf.where(real, tags, MISSED), unread, constant_values=MISSED),
            "scores": tf.pad(tf.where(real, scores, 0), unread),
            "lengths": tf.cast(tokens.row_lengths(), tf.int32),
        }

    def signatures(self) -> dict[str, Signature]:
        def cut(texts):
            return {"tokens": padded([text.split() for text in array(texts)])}

        return {**super().signatures(), "tokens": Signature(self.respond_to_tokens, [TOKENS], cut)}

    def samples(self, examples: Sequence[tuple[list[str], list[str]]]) -> list[dict[str, str]]:
        """What the model says of examples, beside what is expected."""
        _, predicted, _ = self.compare_rows(*self.batch(examples))
        rows = np.array(self.preprocessor.labels.names)[predicted.numpy()]
        shown = []
        for (tokens, labels, *_), row in zip(examples, rows, strict=True):
            read = min(len(tokens), len(row))  # a long example is read in part
            sides = {"expected": list(self.preprocessor.written(labels)[:read]), "predicted": row[:read].tolist()}
            shown.append({side: self.line({"tokens": tokens[:read], "tags": tags}) for side, tags in sides.items()})
        return shown

    def score(self, examples: Iterable[tuple[list[str], list[str]]]) -> dict[str, float]:
        """Accuracy per token in [0, 1], and precision, recall and F1 of entities [1] if the labels are their tags.

        A label that was not seen in training, and one of a token that is cut off, counts as missed.

        References:
            [1] Tjong Kim Sang and De Meulder 2003, the program conlleval: an entity counts if its span and type are
            right.
        """
        check_examples(self.preprocessor, examples)
        right, tokens = 0.0, 0.0
        counts: np.ndarray = np.zeros(3, int)  # of entities that are there, predicted, and both
        with_entities = has_entities(self.preprocessor.labels.names)
        for some in chunked(judge(self, examples)):
            for each in some:
                right += each.weight * sum(map(str.__eq__, each.expected, each.predicted))
                tokens += each.weight * len(each.expected)
            if with_entities:
                sides = [each.expected for each in some], [each.predicted for each in some]
                counts += counts_of_entities(*sides)
        scores = {"accuracy": right / tokens if tokens else 0.0}
        if with_entities:
            there, predicted, correct = counts.tolist()
            precision, recall = (correct / max(number, 1) for number in (predicted, there))
            f1 = 2 * correct / max(there + predicted, 1)
            scores |= {"entity_precision": precision, "entity_recall": recall, "entity_f1": f1}
        return scores

    def labels_of(self, example: Any, predicted: np.ndarray) -> tuple[list[str], list[str]]:
        expected, names = list(self.preprocessor.labels_of(example)), self.preprocessor.labels.names
        found = [names[number] for number in predicted[: self.preprocessor.codec.max_length - 1].tolist()]
        found = found[: len(expected)]
        return expected, found + [MISSED] * (len(expected) - len(found))

    def vocabularies(self) -> dict[str, list[str]]:
        characters = self.preprocessor.characters
        spelled = {} if characters is None else {"characters": characters.vocabulary.tokens}
        return {**super().vocabularies(), **spelled, "labels": self.preprocessor.labels.names}

    @staticmethod
    def line(answer: Mapping[str, Any]) -> str:
        """An answer as one line of text."""
        return " ".join(f"{token}/{tag}" for token, tag in zip(answer["tokens"], answer["tags"], strict=True))


def padded(texts: Sequence[Sequence[str | bytes]]) -> np.ndarray:
    """Lists of tokens -> an array (N, longest), with "" after the last token of each."""
    longest = max(map(len, texts), default=0)
    rows = [[*text, *[""] * (longest - len(text))] for text in texts]
    return np.array(rows, object).reshape(len(rows), longest)
