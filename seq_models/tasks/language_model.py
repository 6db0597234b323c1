"""Texts and their probability."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from seq_models import decoding, networks
from seq_models.tasks.carried import CarriedStates
from seq_models.tasks.signature import Signature, array, number, questions_of, strings
from seq_models.tasks.task import check_texts, unbatch
from seq_models.tasks.text_writer import CONTROL, TextWriter
from seq_models.text.codec import dense
from seq_models.text.preprocessors import LanguageModelPreprocessor
from seq_models.text.streams import SEGMENT, Consecutive, RandomSegments, make_stream
from seq_models.text.vocabulary import SPECIAL_TOKENS
from seq_models.training.options import BATCH_ROWS, StreamTrainingOptions

PROMPT, CONTINUATION = 3, 30  # tokens, of a sample
LARGEST_SEED = 2**31 - 2**20  # so that a seed and the number of a row fit into 32 bits
LONGEST = 512  # tokens that are added to a prompt
READ = 512  # tokens of a stream that are read at once where nothing is learned
NEXT = 10  # words that are offered as the next one
GENERATION = [strings("prompt"), number("seed", tf.int32), number("temperature", tf.float32)]
GENERATION += [number("max_length", tf.int32)]


@keras.saving.register_keras_serializable(package="seq_models")
class LanguageModel(TextWriter):
    """Gives a text a probability, and goes on with it. Examples: texts. Options: see `Task.from_examples`.

    Example:
        >>> model = LanguageModel.from_examples(["the cat sat", "the dog sat"], units=8)
        >>> sorted(model.predict_text(["the cat sat"])[0])
        ['lengths', 'log_probability', 'perplexity']
    """

    task_name = "language-model"
    preprocessor_class = LanguageModelPreprocessor
    preprocessor: LanguageModelPreprocessor
    network_class: ClassVar[type[networks.Network]] = networks.LanguageModel
    training_options_class = StreamTrainingOptions
    carried: CarriedStates | None = None

    @staticmethod
    def sizes(preprocessor: Any) -> dict[str, Any]:
        return {"vocabulary_size": len(preprocessor.codec.vocabulary)}

    def make_metrics(self) -> list[keras.Metric]:
        return []

    def dataset(
        self,
        examples: Iterable[str],
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        batch_tokens: int | None = None,
        segment_length: int | None = None,
        segments: str | None = None,
        vary_segments: bool = False,
        **more: Any,
    ) -> tf.data.Dataset:
        """As `Task.dataset`. Where the corpus is one text (`corpus=stream`), rows of a batch are segments of it.

        Args:
            batch_size: Of a stream the number of rows that read it at once, each a share of it.
            batch_tokens: Of a stream the tokens of a batch.
            segment_length: Tokens of a segment, 35 if left out.
            segments, vary_segments: "consecutive" or "random", see `Consecutive` and `RandomSegments`. Where nothing is
                shuffled, segments are consecutive and of one length.
        Raises:
            ValueError: If a segment is asked for where each text is read by itself.
        """
        if not self.preprocessor.stream:
            given = {"segment_length": segment_length, "segments": segments, "vary_segments": vary_segments or None}
            for name, value in given.items():
                if value is not None:
                    raise ValueError(f"{name} must be left out, or else corpus be stream. Received: {name}={value!r}")
            return super().dataset(examples, batch_size, shuffle, seed, batch_tokens=batch_tokens, **more)
        length = SEGMENT if segment_length is None else segment_length
        rows = batch_size or (BATCH_ROWS if batch_tokens is None else max(batch_tokens // length, 1))
        if shuffle and segments == "random":
            kind: Consecutive | RandomSegments = RandomSegments(rows, length)
        else:
            kind = Consecutive(rows, length, shuffle and vary_segments)
        return make_stream(self.preprocessor, examples, kind, seed, **{"training": shuffle, **more})

    def compile(self, *args: Any, accumulate: int = 1, **kwargs: Any) -> None:
        if accumulate != 1 and self.preprocessor.stream:
            raise ValueError(
                "accumulate must be 1 where states are carried from batch to batch. "
                f"Received: accumulate={accumulate!r} with corpus=stream"
            )
        super().compile(*args, accumulate=accumulate, **kwargs)

    def prepare(self) -> None:
        super().prepare()
        if self.preprocessor.stream and self.carried is None:
            with self.distribute_strategy.scope():
                self.carried = CarriedStates(self.network.start(tf.zeros((1, 1), tf.int32)))

    def carried_variables(self) -> list[tf.Variable]:
        return [] if self.carried is None else self.carried.variables

    def read(self, inputs: Any, training: bool) -> tf.Tensor:
        """The last hidden states; segments of a stream go on with the states after the batch before."""
        if self.carried is None or not isinstance(inputs, tuple | list):
            return super().read(inputs, training)
        tokens, fresh = inputs
        hidden, states = self.network.read(tokens, self.carried.before(fresh), training)
        self.carried.keep(states)
        return hidden

    def respond(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Texts (B,) -> log_probability (B,) = Σ_t log P(w_t | w_<t), natural, the end token included; perplexity (B,)
        = exp(-log_probability / lengths); lengths (B,)."""
        inputs, targets, weights = self.preprocessor.encode(text)
        log_p = self.log_probability(*map(dense, (inputs, targets, weights)))
        lengths = tf.cast(targets.row_lengths(), tf.int32)
        perplexity = tf.exp(-log_p / tf.cast(lengths, log_p.dtype))
        return {"log_probability": log_p, "perplexity": perplexity, "lengths": lengths}

    def generate(
        self, prompts: Sequence[str], max_length: int = 40, temperature: float = 1.0, seed: int = 0
    ) -> list[dict[str, Any]]:
        """Texts that go on from prompts.

        Args:
            prompts: A list of strings, "" for a text from its start.
            max_length: The largest number of tokens that are added, the end token included.
            temperature: 0 for the most probable token each time, 1 for sampling from the model, between them less
                surprising samples.
            seed: Of the sampling; row k draws from seed + k.
        Returns:
            A list of dictionaries: text, the prompt with what was added; score, the log probability of the latter.
        Raises:
            ValueError: If an argument is not of this kind.
        """
        check_texts("prompts", prompts)
        if not _is(Real, temperature) or not 0 <= temperature < math.inf:
            raise ValueError(f"temperature must be 0 or more. Received: temperature={temperature!r}")
        if not _is(Integral, max_length) or not 1 <= max_length <= LONGEST:
            raise ValueError(f"max_length must be 1 to {LONGEST}. Received: max_length={max_length!r}")
        if not _is(Integral, seed) or not 0 <= seed <= LARGEST_SEED:
            raise ValueError(f"seed must be an integer from 0 to {LARGEST_SEED}. Received: seed={seed!r}")
        rows = range(len(prompts))
        options = [seed + row for row in rows], [temperature] * len(rows), [max_length] * len(rows)
        inputs = zip((prompts, *options), GENERATION, strict=True)
        answer = self._generate(*(tf.constant(values, spec.dtype) for values, spec in inputs))
        return unbatch({name: tensor for name, tensor in answer.items() if name != "lengths"})

    @functools.cached_property
    def _generate(self) -> Callable[..., dict[str, tf.Tensor]]:
        """`generate_rows`, traced once."""
        return tf.function(self.generate_rows, input_signature=GENERATION, autograph=False)

    def generate_rows(
        self, prompt: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, max_length: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """`generate` in the graph, each row with options of its own, all (B,) -> text, score, lengths, each (B,).

        What a row becomes does not depend on the rows beside it. `lengths` counts the tokens that were added.
        """
        shape = tf.shape(prompt)
        seed, temperature, max_length = (tf.broadcast_to(each, shape) for each in (seed, temperature, max_length))
        tf.debugging.Assert(
            tf.reduce_all((max_length >= 1) & (max_length <= LONGEST)),
            [f"max_length must be 1 to {LONGEST}. Received:", max_length],
        )
        tf.debugging.Assert(tf.reduce_all(temperature >= 0), ["temperature must be 0 or more. Received:", temperature])
        uniform = tf.map_fn(
            lambda number: tf.random.stateless_uniform([LONGEST], [number, 0]), seed, fn_output_signature=tf.float32
        )
        sampled = decoding.sampler(uniform, tf.where(temperature > 0, temperature, 1)[:, None])

        def choose(logits, t):
            return tf.where(temperature > 0, sampled(logits, t), tf.cast(decoding.greedy(logits, t), tf.int32))

        return self.extend(prompt, choose, max_length)

    def extend(self, prompt: tf.Tensor, choose: Callable, max_length: int | tf.Tensor) -> dict[str, tf.Tensor]:
        """Prompts (B,) -> text, score, lengths, each (B,), by a `choose` and a `max_length` of `decoding.generate`."""
        ids = dense(self.preprocessor.encode(prompt)[0])  # <s> and the prompt
        first, states = decoding.read_prompts(self.network, ids)
        tokens, lengths, score = self.write(first, states, choose, max_length)
        text = self.preprocessor.codec.decode(tf.concat([ids, tokens], axis=1))
        return {"text": text, "score": score, "lengths": lengths}

    def next_words(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Texts (B,) -> words (B, K), the most probable next tokens, and probabilities (B, K).

        K is `NEXT`, or as many tokens as there are; `</s>` is the end of the text.
        """
        logits, _ = decoding.read_prompts(self.network, dense(self.preprocessor.encode(text)[0]))
        probabilities = tf.nn.softmax(tf.cast(decoding.forbid(logits, CONTROL), tf.float32))
        vocabulary = self.preprocessor.codec.vocabulary
        top, tokens = tf.math.top_k(probabilities, min(NEXT, len(vocabulary) - len(SPECIAL_TOKENS) + 1))
        return {"words": vocabulary.lookup(tokens), "probabilities": top}

    def signatures(self) -> dict[str, Signature]:
        def prompts(texts):
            rows = range(len(texts))
            return {
                "prompt": array(texts),
                "seed": np.array(rows, np.int32),
                "temperature": np.array([row % 3 / 2 for row in rows], np.float32),
                "max_length": np.array([1 + row % 8 for row in rows], np.int32),
            }

        defaults = {"seed": np.int32([0]), "temperature": np.float32([1]), "max_length": np.int32([40])}
        return {
            **super().signatures(),
            "generate": Signature(self.generate_rows, GENERATION, prompts, defaults),
            "next_words": Signature(self.next_words, [strings("text")], questions_of("text")),
        }

    def samples(self, examples: Sequence[str]) -> list[dict[str, str]]:
        """Texts, and how the model goes on after the first words of each: the most probable token each time."""
        examples = list(map(self.question, examples))
        first = dense(self.preprocessor.codec.encode(tf.constant(examples))[:, :PROMPT])
        prompts = [prompt.decode() for prompt in self.preprocessor.codec.decode(first).numpy()]
        texts = [answer["text"] for answer in self.generate(prompts, CONTINUATION, temperature=0)]
        rows = zip(examples, prompts, texts, strict=True)
        return [{"text": text, "prompt": prompt, "generated": generated} for text, prompt, generated in rows]

    def score(self, examples: Iterable[str]) -> dict[str, float]:
        """Perplexity over all tokens, end tokens included; unknown words count as `<unk>`.

        A stream is read from its beginning to its end, so that each word has all those before it.
        """
        if not self.compiled:
            self.compile()
        whole = {"batch_size": 1, "segment_length": READ} if self.preprocessor.stream else {}
        scores = self.evaluate(self.dataset(examples, **whole), return_dict=True, verbose=0)
        return {"perplexity": scores["perplexity"], "cross_entropy": scores["loss"]}

    @staticmethod
    def line(answer: Mapping[str, Any]) -> str:
        """An answer as one line of text."""
        return f"{answer['log_probability']:.4f}\t{answer['perplexity']:.4f}"


def _is(kind, value):
    """Whether a value is a number of a kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)
