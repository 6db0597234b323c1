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
from seq_models.tasks.calibration import reliability, reliability_of
from seq_models.tasks.judging import judge
from seq_models.tasks.signature import Signature, array, questions_of
from seq_models.tasks.task import STRINGS, Task, answered, brief, is_list, unbatch
from seq_models.text.codec import chunked
from seq_models.text.counting import check_examples
from seq_models.text.entities import entities_by_row, has_entities, scheme_of
from seq_models.text.preprocessors import SequenceLabelerPreprocessor
from seq_models.text.schemes import legal_transitions
from seq_models.training.metrics import EntityF1, TokenAccuracy

TOKENS = tf.TensorSpec([None, None], tf.string, name="tokens")
MISSED = ""  # the label of a token that is not read
WAYS = 5  # to label a text, in an export


@keras.saving.register_keras_serializable(package="seq_models")
class SequenceLabeler(Task):
    """Gives every token a label. Examples: (tokens, labels). Options: see `Task.from_examples`.

    Tags of entities are brought into one scheme (`scheme`), and get a CRF (`head`), so that no answer breaks its rules.
    With `characters` (the default) words are also read character by character, by `character_units` each way. They may
    also be told by `capitals`, `word_shape`, `prefixes` and `suffixes`, each of which has an embedding.

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
        if preprocessor.features is not None:
            sizes["feature_vocabulary_size"] = len(preprocessor.features.vocabulary)
            sizes["features"] = len(preprocessor.feature_names)
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
        """Texts (B,) -> tokens, tags (B, T), scores (B, T): the tags' probabilities, abstain (B, T): whether these are
        not enough for an answer, lengths (B,).

        Beyond a row's length there are empty strings, zeros and False. So are the tags and scores of tokens beyond
        `max_length`, which are not read.
        """
        return self.label(self.preprocessor.tokenize(text))

    def respond_to_tokens(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        """`respond` for texts that are cut already: tokens (B, T), "" after the last one of a text."""
        return self.label(self._normalized(tokens))

    def predict_text(self, texts: Sequence[str | Sequence[str]], batch_size: int = 64) -> list[dict[str, Any]]:
        """As `Task.predict_text`; texts may also be cut already, lists of tokens, which stay as they are.

        Args:
            texts: A list of strings, or of lists of tokens, none of them empty.
            batch_size: Texts that are answered at once.
        Raises:
            ValueError: If an argument is not of this kind.
        """
        if are_strings(texts):
            return super().predict_text(texts, batch_size)  # type: ignore[arg-type]
        positive(batch_size=batch_size)
        return answered(texts, batch_size, lambda some: self._answer_tokens(tf.constant(padded(some), tf.string)))

    def n_best(self, texts: Sequence[str | Sequence[str]], n: int = WAYS, batch_size: int = 64) -> list[dict[str, Any]]:
        """The n most probable ways to label each text, fewer where there are no more.

        Args:
            texts: As of `predict_text`.
            n: A positive integer.
            batch_size: Texts that are answered at once.
        Returns:
            A dictionary for each text: tokens; tags, a list for each way, the best one first; log_probabilities, the
            natural logarithm of the probability of each way.
        Raises:
            ValueError: If an argument is not of this kind.
        """
        positive(n=n, batch_size=batch_size)
        best = self._tokenized(texts, lambda tokens: self._n_best(tokens, tf.constant(n)))
        starts = range(0, len(texts), batch_size)
        return [way for start in starts for way in ways_of_rows(best(texts[start : start + batch_size]))]

    def predict_marginals(self, texts: Sequence[str | Sequence[str]], batch_size: int = 64) -> list[dict[str, Any]]:
        """The probability of every label of every token.

        Args:
            texts, batch_size: As of `predict_text`.
        Returns:
            A dictionary for each text: tokens; labels, all that there are; probabilities, of each token a list with one
            for each label.
        Raises:
            ValueError: If an argument is not of this kind.
        """
        positive(batch_size=batch_size)
        answers = answered(texts, batch_size, self._tokenized(texts, self._marginals))
        return [{**answer, "labels": self.preprocessor.labels.names} for answer in answers]

    @functools.cached_property
    def _marginals(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """`marginals` of tokens (B, T), "" after the last one of a text, without the labels; traced once."""

        def answer(tokens):
            found = self.marginals(self._normalized(tokens))
            return {name: found[name] for name in ("tokens", "probabilities", "lengths")}

        return tf.function(answer, input_signature=[TOKENS], autograph=False)

    def _tokenized(self, texts, answer):
        """From some of the texts to the answer to their tokens (B, T), whichever of both kinds they are."""
        if not are_strings(texts):
            return lambda some: answer(tf.constant(padded(some), tf.string))
        return lambda some: answer(self.preprocessor.tokenize(tf.constant(some, tf.string)).to_tensor())

    @functools.cached_property
    def _answer_tokens(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """`respond_to_tokens`, traced once."""
        return tf.function(self.respond_to_tokens, input_signature=[TOKENS], autograph=False)

    @functools.cached_property
    def _n_best(self) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
        """`ways` of tokens (B, T), "" after the last one of a text, traced once."""

        def answer(tokens, n):
            return self.ways(self._normalized(tokens), n)

        return tf.function(answer, input_signature=[TOKENS, tf.TensorSpec([], tf.int32)], autograph=False)

    def _normalized(self, tokens):
        """Tokens (B, T), "" after the last one of a text -> ragged (B, None), in the form that the model reads."""
        tokens = tf.RaggedTensor.from_tensor(tokens, padding="")
        return tokens.with_values(self.preprocessor.codec.normalize(tokens.values))

    def label(self, tokens: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        """`respond` for tokens, ragged (B, None)."""
        head, hidden = self.network.head, self.hidden(self._inputs(tokens))
        predicted, probabilities = head.predict(hidden), head.probabilities(hidden)
        scores = tf.gather(probabilities, predicted, batch_dims=2)
        return {
            "tokens": tokens.to_tensor(),
            "tags": self._of_tokens(tokens, self.preprocessor.labels.lookup(predicted)),
            "scores": self._of_tokens(tokens, scores),
            "abstain": self._of_tokens(tokens, head.abstains(scores)),
            "lengths": tf.cast(tokens.row_lengths(), tf.int32),
        }

    def marginals(self, tokens: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        """Tokens, ragged (B, None) -> tokens (B, T), probabilities (B, T, L) of the labels (B, L), lengths (B,)."""
        probabilities = self.network.head.probabilities(self.hidden(self._inputs(tokens)))
        return {
            "tokens": tokens.to_tensor(),
            "probabilities": self._of_tokens(tokens, probabilities),
            "labels": tf.tile(tf.constant([self.preprocessor.labels.names]), [tf.shape(probabilities)[0], 1]),
            "lengths": tf.cast(tokens.row_lengths(), tf.int32),
        }

    def ways(self, tokens: tf.RaggedTensor, n: int | tf.Tensor) -> dict[str, tf.Tensor]:
        """Tokens, ragged (B, None) -> tokens (B, T), the n most probable ways to label them: tags (B, n, T) and their
        log_probabilities (B, n), lengths (B,).

        Where there are no more ways tags are empty, and log_probabilities the lowest number.
        """
        numbers, log_p = self.network.chain(self._inputs(tokens)).n_best(n)
        is_way = tf.math.is_finite(log_p)
        tags = tf.where(is_way[..., None], self.preprocessor.labels.lookup(numbers), MISSED)  # (B, n, T)
        return {
            "tokens": tokens.to_tensor(),
            "tags": tf.transpose(self._of_tokens(tokens, tf.transpose(tags, (0, 2, 1))), (0, 2, 1)),
            "log_probabilities": tf.where(is_way, log_p, log_p.dtype.min),  # JSON has no infinity
            "lengths": tf.cast(tokens.row_lengths(), tf.int32),
        }

    def _inputs(self, tokens):
        return self.preprocessor.inputs_of_tokens(self.preprocessor.codec.cut(tokens))

    def _of_tokens(self, tokens, values):
        """Values (B, T', …) for what is read, the end too -> (B, T, …) for tokens; "" or 0 for those that are not."""
        read = self.preprocessor.codec.cut(tokens).row_lengths()
        real = tf.sequence_mask(read, tf.shape(values)[1])[(...,) + (None,) * (values.shape.rank - 2)]
        nothing = tf.constant(MISSED) if values.dtype == tf.string else tf.zeros([], values.dtype)
        values = tf.where(real, values, nothing)[:, :-1]
        unread = tf.cast(tokens.bounding_shape()[1], tf.int32) - tf.shape(values)[1]
        beyond = [[0, 0], [0, unread], *[[0, 0]] * (values.shape.rank - 2)]
        return tf.pad(values, beyond, constant_values=nothing)

    def signatures(self) -> dict[str, Signature]:
        def cut(texts):
            return {"tokens": padded([text.split() for text in array(texts)])}

        def once(texts):  # how a word is tagged at two places can be a tie, of which rounding would be the judge
            return {"text": array([b" ".join(dict.fromkeys(text.split())) for text in array(texts).tolist()])}

        def of_text(answer):
            return lambda text: answer(self.preprocessor.tokenize(text))

        return {
            **super().signatures(),
            "tokens": Signature(self.respond_to_tokens, [TOKENS], cut),
            "marginals": Signature(of_text(self.marginals), [STRINGS], questions_of("text")),
            "n_best": Signature(of_text(lambda tokens: self.ways(tokens, WAYS)), [STRINGS], once),
        }

    def samples(self, examples: Sequence[tuple[list[str], list[str]]]) -> list[dict[str, str]]:
        """What the model says of examples, beside what is expected."""
        _, predicted, *_ = self.compare_rows(*self.batch(examples))
        rows = np.array(self.preprocessor.labels.names)[predicted.numpy()]
        shown = []
        for (tokens, labels, *_), row in zip(examples, rows, strict=True):
            read = min(len(tokens), len(row))  # a long example is read in part
            sides = {"expected": list(self.preprocessor.written(labels)[:read]), "predicted": row[:read].tolist()}
            shown.append({side: self.line({"tokens": tokens[:read], "tags": tags}) for side, tags in sides.items()})
        return shown

    def score(self, examples: Iterable[tuple[list[str], list[str]]]) -> dict[str, float]:
        """Accuracy per token in [0, 1], precision, recall and F1 of entities [1] if the labels are their tags, and the
        expected calibration error of tokens (`ece`). All count by the weights of examples.

        A label that was not seen in training, and one of a token that is cut off, counts as missed.

        References:
            [1] Tjong Kim Sang and De Meulder 2003, the program conlleval: an entity counts if its span and type are
            right.
        """
        check_examples(self.preprocessor, examples)
        right, tokens, sure = 0.0, 0.0, reliability()
        counts: np.ndarray = np.zeros(3)  # of entities that are there, predicted, and both, by the weights of examples
        with_entities = has_entities(self.preprocessor.labels.names)
        for some in chunked(judge(self, examples)):
            sure = sure.plus(reliability_of(some))
            for each in some:
                right += each.weight * sum(map(str.__eq__, each.expected, each.predicted))
                tokens += each.weight * len(each.expected)
            if with_entities:
                sides = [each.expected for each in some], [each.predicted for each in some]
                counts += np.array([each.weight for each in some]) @ entities_by_row(*sides)
        scores = {"accuracy": right / tokens if tokens else 0.0}
        if with_entities:
            there, predicted, correct = counts.tolist()
            precision, recall = (correct / number if number else 0.0 for number in (predicted, there))
            f1 = 2 * correct / (there + predicted) if there + predicted else 0.0
            scores |= {"entity_precision": precision, "entity_recall": recall, "entity_f1": f1}
        return {**scores, "ece": sure.ece}

    def labels_of(self, example: Any, predicted: np.ndarray) -> tuple[list[str], list[str]]:
        expected, names = list(self.preprocessor.labels_of(example)), self.preprocessor.labels.names
        found = [names[number] for number in predicted[: self.preprocessor.codec.max_length - 1].tolist()]
        found = found[: len(expected)]
        return expected, found + [MISSED] * (len(expected) - len(found))

    def vocabularies(self) -> dict[str, list[str]]:
        parts = {"characters": self.preprocessor.characters, "features": self.preprocessor.features}
        more = {name: codec.vocabulary.tokens for name, codec in parts.items() if codec is not None}
        return {**super().vocabularies(), **more, "labels": self.preprocessor.labels.names}

    @classmethod
    def ranked(cls, answer: Mapping[str, Any]) -> list[tuple[float, str]]:
        """An answer of `n_best`: log probability and tagged text of each way."""
        lines = (cls.line({"tokens": answer["tokens"], "tags": tags}) for tags in answer["tags"])
        return list(zip(answer["log_probabilities"], lines, strict=True))

    @staticmethod
    def line(answer: Mapping[str, Any]) -> str:
        """An answer as one line of text."""
        silent = answer.get("abstain", [False] * len(answer["tags"]))
        rows = zip(answer["tokens"], answer["tags"], silent, strict=True)
        return " ".join(f"{token}/{tag}" + "?" * abstains for token, tag, abstains in rows)


def are_strings(texts: Any) -> bool:
    """Whether texts are strings, or else lists of tokens. Raises a ValueError if they are neither."""
    if is_list(texts):
        if all(isinstance(text, str) for text in texts):
            return True
        if all(is_list(text) and all(isinstance(token, str) and token for token in text) for text in texts):
            return False
    expected = "a list of strings, or of lists of tokens, none of them empty"
    raise ValueError(f"texts must be {expected}. Received: texts={brief(texts)}")


def ways_of_rows(answer: dict[str, tf.Tensor]) -> list[dict[str, Any]]:
    """`SequenceLabeler.ways` as a list of dictionaries of plain values, without the ways that are none."""
    counts = tf.math.count_nonzero(answer["log_probabilities"] > tf.float32.min, axis=1).numpy()
    texts = unbatch({name: answer[name] for name in ("tokens", "lengths")})
    ways = unbatch({name: answer[name] for name in ("tags", "log_probabilities")})
    rows = []
    for count, text, way in zip(counts, texts, ways, strict=True):
        tags = [tags[: text["lengths"]] for tags in way["tags"][:count]]
        rows.append({"tokens": text["tokens"], "tags": tags, "log_probabilities": way["log_probabilities"][:count]})
    return rows


def padded(texts: Sequence[Sequence[str | bytes]]) -> np.ndarray:
    """Lists of tokens -> an array (N, longest), with "" after the last token of each."""
    longest = max(map(len, texts), default=0)
    rows = [[*text, *[""] * (longest - len(text))] for text in texts]
    return np.array(rows, object).reshape(len(rows), longest)
