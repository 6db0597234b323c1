"""Texts to texts of another length."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seq_models import decoding, networks
from seq_models.errors import InputError, positive
from seq_models.tasks.searching import WIDEST, SearchOptions, Wanted, search
from seq_models.tasks.signature import Signature, array, questions_of, strings
from seq_models.tasks.task import STRINGS, answered, brief, check_texts
from seq_models.tasks.text_writer import TextWriter
from seq_models.tasks.translation_scores import translation_scores
from seq_models.text.codec import append, decoded, dense
from seq_models.text.continuation import continued
from seq_models.text.counting import check_examples
from seq_models.text.given import Given
from seq_models.text.options import PairEmbeddingOptions
from seq_models.text.preprocessors import EncoderDecoderPreprocessor
from seq_models.text.vocabulary import END, PAD, SPECIAL_TOKENS, START, UNKNOWN
from seq_models.training.options import TranslationTrainingOptions
from seq_models.training.scheduled_sampling import ScheduledSampling

SAMPLE = 50  # tokens of a sample's answer
WAYS = 5  # to translate a text, in an export
SCORES = {"bleu": "up", "bleu_lowercased": "up", "chrf": "up", "ter": "down", "exact_match": "up"}  # the better way
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
    training_options_class = TranslationTrainingOptions
    scheduled_sampling: ScheduledSampling | None = None

    @staticmethod
    def sizes(preprocessor: Any) -> dict[str, Any]:
        sides = {"source": preprocessor.source, "target": preprocessor.target}
        return {f"{side}_vocabulary_size": len(codec.vocabulary) for side, codec in sides.items()}

    def __init__(
        self,
        network: networks.Network,
        preprocessor: Any,
        name: str | None = None,
        search: SearchOptions = SearchOptions(),  # noqa: B008  it is frozen
    ):
        super().__init__(network, preprocessor, name)
        self.search = search
        self.wanted(1)  # what cannot be is said now

    @classmethod
    def option_groups(cls) -> dict[str, Any]:
        return {**super().option_groups(), "search": SearchOptions}

    @classmethod
    def split_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        made = super().split_options(options)
        if made["network"].share_embeddings:
            if not made["text"].joint_vocabulary:
                raise ValueError("share_embeddings needs joint_vocabulary=True. Received: joint_vocabulary=False")
            for name, path in made["embeddings"].files().items():
                raise ValueError(f"{name} must be left out with share_embeddings. Received: {name}={path!r}")
        return made

    # Training

    def compile(
        self, *args: Any, scheduled_sampling: Mapping[str, Any] | ScheduledSampling | None = None, **kwargs: Any
    ) -> None:
        """As `TokenTraining.compile`.

        Args:
            scheduled_sampling: The arguments of a `ScheduledSampling`, or None: the decoder is always told the target.
        """
        super().compile(*args, **kwargs)
        given = scheduled_sampling
        self.scheduled_sampling = ScheduledSampling(**given) if isinstance(given, Mapping) else given

    def get_compile_config(self):
        config, sampling = super().get_compile_config(), self.scheduled_sampling
        return {**config, "scheduled_sampling": sampling._asdict()} if config and sampling else config

    def read(self, inputs: Any, training: bool) -> tf.Tensor:
        if training and self.scheduled_sampling is not None:
            inputs = self.partly_drawn(*inputs)
        return super().read(inputs, training)

    def partly_drawn(self, source: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids (B, S) and (B, T) as a step of scheduled sampling has them: of the target some that the model draws.

        What it draws it is told at the next step, so that this is a loop over `step` before that of the training,
        without dropout; no gradient goes through a draw, as in the paper. `<s>` and padding stay, and neither they nor
        the end are drawn.
        """
        sampling: Any = self.scheduled_sampling
        step, network = self.optimizer.iterations, self.network
        uniform = sampling.uniform(tf.stack([2, *tf.unstack(tf.shape(target))]), step)  # (2, B, T)
        told = (uniform[0] < sampling.truth(step)) | (target == PAD)
        draw = decoding.sampler(uniform[1])

        def choose(logits, t):
            drawn = tf.cast(draw(logits, t), target.dtype)
            return tf.where(told[:, t + 1], target[:, t + 1], drawn)

        first, states = network.step(target[:, 0], network.start(source))
        length = tf.shape(target)[1] - 1
        after, *_ = decoding.generate(network.step, choose, first, states, END, length, (PAD, START, END))
        return source, tf.concat([target[:, :1], tf.cast(after, target.dtype)], axis=1)

    # Translating

    def respond(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Texts (B,) -> translation (B,), searched for as `search` says, score (B,), its log probability, and lengths
        (B,), its tokens. The translation of a text of no words is empty."""
        return first_ways(self.ways(text, self.wanted(1)))

    def ways(self, text: tf.Tensor, wanted: Wanted, prefix: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Texts (B,) -> the n best translations (B, n), the best one first, their log_probabilities (B, n), the scores
        that they are ranked by (B, n), and lengths (B, n).

        Where there are no more, translations are empty, and log_probabilities and scores the lowest number.

        Args:
            wanted: What is asked for, n among it.
            prefix: How the translations begin (B,), or None. A word of it that the vocabulary lacks is read as `<unk>`,
                and stands in the translation as it is written in the prefix.
        """
        source, target, n = self.preprocessor.source, self.preprocessor.target, wanted.best
        begun = None if prefix is None else target.tokenize(prefix)
        forced = None if begun is None else dense(target.vocabulary.ids(begun))
        found = search(self.network, self.preprocessor.inputs(text), wanted, forced)
        as_rows = [tf.shape(text)[0] * n, tf.shape(found.tokens)[2]]
        ids, unknown = tf.reshape(found.tokens, as_rows), None
        if wanted.search.replace_unknown:
            tokens = append(source.tokenize(text), "").to_tensor()  # as long as the ids
            unknown = tf.reshape(tf.gather(tokens, found.attended, batch_dims=1), as_rows)
        if prefix is None:
            texts = target.decode(ids, unknown)
        else:
            begun = tf.gather(begun, tf.repeat(tf.range(tf.shape(text)[0]), n))
            rest = tf.where(tf.range(tf.shape(ids)[1]) < tf.cast(begun.row_lengths(), tf.int32)[:, None], PAD, ids)
            texts = continued(target, tf.repeat(prefix, n), begun, target.written(rest, unknown))
        is_way = found.scores > decoding.LOW
        lowest = found.scores.dtype.min  # JSON has no infinity
        return {
            "translations": tf.where(is_way, tf.reshape(texts, tf.shape(is_way)), ""),
            "log_probabilities": tf.where(is_way, found.log_p, lowest),
            "scores": tf.where(is_way, found.scores, lowest),
            "lengths": found.lengths,
        }

    def translate(
        self,
        texts: Sequence[str],
        batch_size: int = 64,
        max_length: int | None = None,
        prefixes: Sequence[str] | None = None,
        forbidden: Sequence[str] = (),
        **search: Any,
    ) -> list[dict[str, Any]]:
        """Translations of texts.

        Args:
            texts: A list of strings.
            batch_size: Texts that are translated at once.
            max_length: The largest number of tokens, the end included; that of the model's texts if left out.
            prefixes: How each translation begins, a list of strings; a word that the target's vocabulary lacks is read
                as `<unk>`, and stays as it is written.
            forbidden: Words that no translation has, each one token of the target's vocabulary. A prefix may have them.
            search: Options that are others than those of `self.search`, see `SearchOptions`.
        Returns:
            A list of dictionaries: translation; score, its log probability, in which control tokens and forbidden words
            have no part; lengths, the number of its tokens. Where nothing is left that may be written the translation
            is empty, and the score the lowest number.
        Raises:
            ValueError: If an argument is not of this kind, or two contradict each other.
        """
        wanted = self.wanted(1, max_length, forbidden, **search)
        return self._translated(texts, batch_size, wanted, prefixes, first_ways)

    def n_best(
        self,
        texts: Sequence[str],
        n: int = WAYS,
        batch_size: int = 64,
        max_length: int | None = None,
        prefixes: Sequence[str] | None = None,
        forbidden: Sequence[str] = (),
        **search: Any,
    ) -> list[dict[str, Any]]:
        """The n best translations of each text, fewer where no more are found.

        Args:
            n: A positive integer, at most `beam_width`, which is n if that of the model is smaller and none is given.
            texts, batch_size, max_length, prefixes, forbidden, search: As of `translate`.
        Returns:
            A dictionary for each text of lists, the best translation first: translations; log_probabilities, natural;
            scores, log probability by length penalty with the coverage penalty, which they are sorted by; lengths.
        Raises:
            ValueError: If an argument is not of this kind, or two contradict each other.
        """
        positive(n=n)
        wide = {"beam_width": max(n, self.search.beam_width)}
        wanted = self.wanted(n, max_length, forbidden, **{**wide, **search})
        answers = self._translated(texts, batch_size, wanted, prefixes, dict)
        counts = [sum(log_p > tf.float32.min for log_p in answer["log_probabilities"]) for answer in answers]
        return [
            {name: values[:count] for name, values in answer.items()}
            for count, answer in zip(counts, answers, strict=True)
        ]

    def predict_text(self, texts: Sequence[str], batch_size: int = 64) -> list[dict[str, Any]]:
        """As `translate`, searched for as `self.search` says."""
        return self.translate(texts, batch_size)

    def wanted(self, best: int, max_length: int | None = None, forbidden: Sequence[str] = (), **search: Any) -> Wanted:
        """What is asked of a search for so many translations of each text. Arguments and errors: see `translate`."""
        target, options = self.preprocessor.target, dataclasses.replace(self.search, **search)
        max_length = target.max_length if max_length is None else max_length
        positive(max_length=max_length)
        width, V = options.beam_width, len(target.vocabulary)
        if width > V:
            raise ValueError(f"beam_width must be at most {V}, the tokens of the target. Received: beam_width={width}")
        for name in ("coverage_penalty", "replace_unknown"):
            if getattr(options, name) and not self.network.attends:
                raise ValueError(f"{name} needs a model with context='attention'. Received: one without attention")
        if best > width:
            raise ValueError(f"n must be at most beam_width. Received: n={best}, beam_width={width}")
        if options.min_length > max_length:
            received = f"min_length={options.min_length}, max_length={max_length}"
            raise ValueError(f"min_length must be at most max_length. Received: {received}")
        return Wanted(options, best, max_length, self._ids_of(forbidden))

    def _ids_of(self, words):
        """The ids of words of the target, each one token."""
        check_texts("forbidden", words)
        ids = self.preprocessor.target.vocabulary.ids(self.preprocessor.target.tokenize(list(words))) if words else []
        for word, found in zip(words, ids, strict=True):
            if found.shape != (1,) or found[0] == UNKNOWN:
                raise ValueError(
                    f"forbidden must be words that are one token of the target's vocabulary. Received: {word!r}"
                )
        return tuple(int(found[0]) for found in ids)

    def _translated(self, texts, batch_size, wanted, prefixes, form):
        """What a form of `ways` says of texts, a list of dictionaries."""
        positive(batch_size=batch_size)
        check_texts("texts", texts)
        columns = [texts]
        if prefixes is not None:
            check_texts("prefixes", prefixes)
            self._check_prefixes(prefixes, len(texts), wanted.max_length)
            columns.append(prefixes)
        ways = self._traced_ways(wanted, len(columns))
        rows = list(zip(*columns, strict=True))
        return answered(
            rows, batch_size, lambda some: form(ways(*(tf.constant(c, tf.string) for c in zip(*some, strict=True))))
        )

    def _check_prefixes(self, prefixes, count, max_length):
        if len(prefixes) != count:
            raise ValueError(f"prefixes must be as many as texts, {count}. Received: {len(prefixes)}")
        lengths = self.preprocessor.target.lengths(list(prefixes)).numpy().tolist() if count else []
        for prefix, length in zip(prefixes, lengths, strict=True):
            if length > max_length:
                raise ValueError(
                    f"prefixes must have fewer tokens than max_length, {max_length}. "
                    f"Received: {length - 1} in {brief(prefix)}"
                )

    @functools.cached_property
    def _traced_ways(self) -> Callable[[Wanted, int], Callable[..., dict[str, tf.Tensor]]]:
        """`ways` for what is asked and the number of inputs, each traced once."""

        @functools.cache
        def traced(wanted, inputs):
            def ways(text, prefix=None):
                return self.ways(text, wanted, prefix)

            return tf.function(ways, input_signature=[strings("text"), strings("prefix")][:inputs], autograph=False)

        return traced

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

        width = self.search.beam_width
        if width > WIDEST:
            raise InputError(f"beam_width must be at most {WIDEST} in an export. Received: beam_width={width}")
        n = min(WAYS, len(self.preprocessor.target.vocabulary))
        several = self.wanted(n, beam_width=max(n, width))
        attention = {"attention": Signature(self.attention_of_pairs, PAIR, pairs)} if self.network.attends else {}
        return {
            **super().signatures(),
            "n_best": Signature(lambda text: self.ways(text, several), [STRINGS], questions_of("text")),
            "score": Signature(self.score_pairs, PAIR, pairs),
            **attention,
        }

    def samples(self, examples: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        """What the model says of examples, beside what is expected."""
        sources, targets = zip(*(example[:2] for example in examples), strict=True)
        greedy = SearchOptions().written()
        answers = self.translate(sources, max_length=min(SAMPLE, self.preprocessor.target.max_length), **greedy)
        rows = zip(sources, targets, answers, strict=True)
        return [{"source": source, "expected": target, "predicted": a["translation"]} for source, target, a in rows]

    def attention(self, examples: Sequence[tuple[str, str]]) -> list[tuple[np.ndarray, list[str], list[str]]]:
        """Where the decoder looks as it is told the target.

        Args:
            examples: A list of examples.
        Returns:
            A list of (weights (T, S), source tokens, target tokens), end tokens included.
        Raises:
            ValueError: If the decoder has no attention.
        """
        if not self.network.attends:
            received = f"context={self.network.get_config()['context']!r}"
            raise ValueError(f"attention needs a model with context='attention'. Received: {received}")
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
        """BLEU, chrF and TER with their signatures, see `translation_scores`, and the share of exact answers.

        An answer is exact if it is the target cut into tokens and joined again, as answers are.
        """
        check_examples(self.preprocessor, examples)
        return self.scores_of(list(Given(examples, self.preprocessor.example_type)))

    def scores_of(self, examples: Sequence[tuple[str, str]]) -> dict[str, float | str]:
        """`score` of a list of examples that are known to be right."""
        sources, targets = zip(*(example[:2] for example in examples), strict=True)
        return self._scores(self.predict_text(list(sources)), targets)

    def greedy_scores(self, examples: Sequence[tuple[str, str]]) -> dict[str, float | str]:
        """`scores_of` greedy answers, which are cut at twice the length of the longest target."""
        sources, targets = zip(*(example[:2] for example in examples), strict=True)
        longest = 2 * int(tf.reduce_max(self.preprocessor.target.lengths(list(targets))))
        max_length = min(longest, self.preprocessor.target.max_length)
        return self._scores(self.translate(list(sources), max_length=max_length, **SearchOptions().written()), targets)

    def _scores(self, answers, targets):
        answers = [answer["translation"] for answer in answers]
        exact = np.mean(self.preprocessor.target.respaced(answers) == self.preprocessor.target.respaced(targets))
        return {**translation_scores(answers, targets), "exact_match": float(exact)}

    def answer_scores(self) -> dict[str, Callable[[Sequence[tuple[str, str]]], float]]:
        """Each of `greedy_scores`."""

        def score(name, examples):
            return float(self.greedy_scores(examples)[name])

        return {f"val_{name}": functools.partial(score, name) for name in SCORES}

    def directions(self) -> dict[str, str]:
        return {**super().directions(), **SCORES}

    def vocabularies(self) -> dict[str, list[str]]:
        if self.network.get_config()["share_embeddings"]:
            return super().vocabularies()
        sides = {"source": self.preprocessor.source, "target": self.preprocessor.target}
        return {f"{side}_vocabulary": codec.vocabulary.tokens for side, codec in sides.items()}

    @staticmethod
    def ranked(answer: Mapping[str, Any]) -> list[tuple[float, str]]:
        """An answer of `n_best`: score and text of each translation."""
        return list(zip(answer["scores"], answer["translations"], strict=True))

    @staticmethod
    def line(answer: Mapping[str, Any]) -> str:
        """An answer as one line of text."""
        return answer["translation"]


def first_ways(answer: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The best of the `ways` of each text: translation, score, lengths, each (B,)."""
    names = {"translation": "translations", "score": "log_probabilities", "lengths": "lengths"}
    return {name: answer[of_ways][:, 0] for name, of_ways in names.items()}
