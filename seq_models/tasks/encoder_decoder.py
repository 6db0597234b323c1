"""Texts to texts of another length."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seq_models import decoding, networks
from seq_models.tasks.signature import Signature, array, strings
from seq_models.tasks.text_writer import TextWriter
from seq_models.tasks.translation_scores import translation_scores
from seq_models.text.codec import decoded, dense
from seq_models.text.counting import check_examples
from seq_models.text.given import Given
from seq_models.text.options import PairEmbeddingOptions
from seq_models.text.preprocessors import EncoderDecoderPreprocessor
from seq_models.text.vocabulary import SPECIAL_TOKENS, START

SAMPLE = 50  # tokens of a sample's answer
PAIR = [strings("source"), strings("target")]


@keras.saving.register_keras_serializable(package="seq_models")
class EncoderDecoder(TextWriter):
    """Writes a text for a text. Examples: (source, target). Options: see `Task.from_examples`.

    Example:
        >>> model = EncoderDecoder.from_examples([("a b", "b a"), ("a", "a")], units=8, max_length=5)
        >>> sorted(model.predict_text(["a b"])[0])
        ['lengths', 'score', 'translation']
    """

    task_name = "encoder-decoder"
    preprocessor_class = EncoderDecoderPreprocessor
    preprocessor: EncoderDecoderPreprocessor
    network_class = networks.EncoderDecoder
    embedding_options_class = PairEmbeddingOptions

    @staticmethod
    def sizes(preprocessor: Any) -> dict[str, Any]:
        sides = {"source": preprocessor.source, "target": preprocessor.target}
        return {f"{side}_vocabulary_size": len(codec.vocabulary) for side, codec in sides.items()}

    def respond(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Texts (B,) -> translation (B,) by greedy search, score (B,): its log probability, lengths (B,) in tokens."""
        return self.translate(text, self.preprocessor.target.max_length)

    def translate(self, text: tf.Tensor, max_length: int) -> dict[str, tf.Tensor]:
        """`respond`, with at most `max_length` tokens."""
        states = self.network.start(self.preprocessor.inputs(text))
        first, states = self.network.step(tf.fill([tf.shape(text)[0]], START), states)
        tokens, lengths, score = self.write(first, states, decoding.greedy, max_length)
        return {"translation": self.preprocessor.target.decode(tokens), "score": score, "lengths": lengths}

    def score_pairs(self, source: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        """Sources and targets (B,) -> log_probability (B,) = log P(target | source), natural, the end token included,
        and lengths (B,), the tokens of the targets."""
        inputs, targets, weights = self.preprocessor.encode(source, target)
        log_p = self.log_probability(tf.nest.map_structure(dense, inputs), dense(targets), dense(weights))
        return {"log_probability": log_p, "lengths": tf.cast(targets.row_lengths(), tf.int32)}

    def attention_of_pairs(self, source: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        """Sources and targets (B,) -> attention (B, T, S): where the decoder looks as it is told the target, with
        source_tokens (B, S), target_tokens (B, T) and their numbers, source_lengths and target_lengths (B,), all end
        tokens included; beyond these there are zeros and empty strings."""
        (sources, shifted), targets, _ = self.preprocessor.encode(source, target)
        attention = tf.cast(self.network.attend(dense(sources), dense(shifted)), tf.float32)
        lengths = {"source_lengths": sources, "target_lengths": targets}
        lengths = {name: tf.cast(ids.row_lengths(), tf.int32) for name, ids in lengths.items()}
        real = tf.sequence_mask(lengths["target_lengths"], tf.shape(attention)[1])
        sides = (self.preprocessor.source.vocabulary, sources), (self.preprocessor.target.vocabulary, targets)
        source_tokens, target_tokens = (vocabulary.lookup(ids).to_tensor() for vocabulary, ids in sides)
        attention = tf.where(real[:, :, None], attention, 0)
        return {"attention": attention, "source_tokens": source_tokens, "target_tokens": target_tokens, **lengths}

    def signatures(self) -> dict[str, Signature]:
        words = self.preprocessor.target.vocabulary.tokens[len(SPECIAL_TOKENS) :]

        def pairs(texts):
            targets = [" ".join(words[row : row + 5]) for row in range(len(texts))]
            return {"source": array(texts), "target": array(targets)}

        return {
            **super().signatures(),
            "score": Signature(self.score_pairs, PAIR, pairs),
            "attention": Signature(self.attention_of_pairs, PAIR, pairs),
        }

    def samples(self, examples: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        """What the model says of examples, beside what is expected."""
        sources, targets = zip(*(example[:2] for example in examples), strict=True)
        answers = self.translate(tf.constant(sources), SAMPLE)["translation"].numpy()
        rows = zip(sources, targets, answers, strict=True)
        return [{"source": source, "expected": target, "predicted": a.decode()} for source, target, a in rows]

    def attention(self, examples: Sequence[tuple[str, str]]) -> list[tuple[np.ndarray, list[str], list[str]]]:
        """Where the decoder looks as it is told the target.

        Args:
            examples: A list of examples.
        Returns:
            A list of (weights (T, S), source tokens, target tokens), end tokens included.
        """
        sources, targets = zip(*(example[:2] for example in examples), strict=True)
        found = self._attention_of_pairs(tf.constant(sources), tf.constant(targets))
        names = "attention", "source_tokens", "target_tokens", "source_lengths", "target_lengths"
        rows = zip(*(found[name].numpy() for name in names), strict=True)
        return [(alpha[:T, :S], decoded(x[:S]), decoded(y[:T])) for alpha, x, y, S, T in rows]

    @functools.cached_property
    def _attention_of_pairs(self) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
        """`attention_of_pairs`, traced once."""
        return tf.function(self.attention_of_pairs, input_signature=PAIR, autograph=False)

    def score(self, examples: Iterable[tuple[str, str]]) -> dict[str, float | str]:
        """BLEU and chrF in [0, 100] with their signatures, see `translation_scores`, and the share of exact answers.

        An answer is exact if it is the target cut into tokens and joined again, as answers are.
        """
        check_examples(self.preprocessor, examples)
        return self.scores_of(list(Given(examples, self.preprocessor.example_type)))

    def scores_of(self, examples: Sequence[tuple[str, str]]) -> dict[str, float | str]:
        """`score` of a list of examples that are known to be right."""
        sources, targets = zip(*(example[:2] for example in examples), strict=True)
        answers = [answer["translation"] for answer in self.predict_text(list(sources))]
        exact = np.mean(self.preprocessor.target.respaced(answers) == self.preprocessor.target.respaced(targets))
        return {**translation_scores(answers, targets), "exact_match": float(exact)}

    def vocabularies(self) -> dict[str, list[str]]:
        sides = {"source": self.preprocessor.source, "target": self.preprocessor.target}
        return {f"{side}_vocabulary": codec.vocabulary.tokens for side, codec in sides.items()}

    @staticmethod
    def line(answer: Mapping[str, Any]) -> str:
        """An answer as one line of text."""
        return answer["translation"]
