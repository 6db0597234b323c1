"""Texts and their probability."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from seq_models import decoding, networks
from seq_models.errors import positive
from seq_models.tasks import generation
from seq_models.tasks.carried import CarriedStates
from seq_models.tasks.signature import Signature, array, questions_of, strings
from seq_models.tasks.task import STRINGS, answered, check_texts, unbatch
from seq_models.tasks.text_writer import CONTROL, TextWriter
from seq_models.text.codec import append, dense
from seq_models.text.continuation import continued
from seq_models.text.preprocessors import LanguageModelPreprocessor
from seq_models.text.streams import SEGMENT, Consecutive, RandomSegments, make_stream
from seq_models.text.vocabulary import END, SPECIAL_TOKENS
from seq_models.training.options import BATCH_ROWS, StreamTrainingOptions

PROMPT, CONTINUATION = 3, 30  # tokens, of a sample
READ = 512  # tokens of a stream that are read at once where nothing is learned
NEXT = 10  # words that are offered as the next one


@keras.saving.register_keras_serializable(package="seq_models")
class LanguageModel(TextWriter):
    """Gives a text a probability, and goes on with it. Examples: texts. Options: see `Task.from_examples`.

    Texts that it is asked about may have any length: they are read in windows that hand on the states.

    Example:
        >>> model = LanguageModel.from_examples(["the cat sat", "the dog sat"], units=8)
        >>> sorted(model.predict_text(["the cat sat"])[0])
        ['lengths', 'log_probability', 'perplexity']
        >>> model.score_tokens(["the cat sat"])[0]["tokens"]
        ['the', 'cat', 'sat', '</s>']
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
        given = {"batch_size": batch_size, "batch_tokens": batch_tokens, "segment_length": segment_length}
        positive(**{name: value for name, value in given.items() if value is not None})
        length = SEGMENT if segment_length is None else segment_length
        rows = batch_size or (BATCH_ROWS if batch_tokens is None else max(batch_tokens // length, 1))
        if shuffle and segments == "random":
            kind: Consecutive | RandomSegments = RandomSegments(rows, length)
        else:
            kind = Consecutive(rows, length, shuffle and vary_segments)
        return make_stream(self.preprocessor, examples, kind, seed, **{"training": shuffle, **more})

    def compile(self, optimizer: Any = "adam", *args: Any, **kwargs: Any) -> None:
        accumulate = kwargs.get("accumulate", 1)
        if accumulate != 1 and self.preprocessor.stream:
            raise ValueError(
                "accumulate must be 1 where states are carried from batch to batch. "
                f"Received: accumulate={accumulate!r} with corpus=stream"
            )
        super().compile(optimizer, *args, **kwargs)

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

    # Scoring

    def respond(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Texts (B,) -> log_probability (B,) = Σ_t log P(w_t | w_<t), natural, the end token included; perplexity (B,)
        = exp(-log_probability / lengths); lengths (B,)."""
        return self._scores(self.preprocessor.tokenize(text))[0]

    def _scores(self, tokens):
        """Tokens, ragged (B, None) -> the answer of `respond`, and log P(w_t | w_<t) of every token (B, T)."""
        inputs, targets = self.preprocessor.encode_tokens(tokens)
        log_p = decoding.log_probabilities(self.network, dense(inputs), dense(targets))  # (B, T)
        total, lengths = tf.reduce_sum(log_p, axis=1), tf.cast(targets.row_lengths(), tf.int32)
        perplexity = tf.exp(-total / tf.cast(lengths, total.dtype))
        return {"log_probability": total, "perplexity": perplexity, "lengths": lengths}, log_p

    def token_scores(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """`score_tokens` in the graph: texts (B,) -> the outputs of `respond`; tokens (B, T), strings, the end token
        included; log_probabilities (B, T), 0 beyond a row's `lengths`; bits_per_character (B,)."""
        tokens = self.preprocessor.tokenize(text)
        answer, log_p = self._scores(tokens)
        characters = tf.strings.length(self.preprocessor.codec.clean(text), unit="UTF8_CHAR")
        bits = -answer["log_probability"] / math.log(2)
        return {
            **answer,
            "tokens": dense(append(tokens, SPECIAL_TOKENS[END])),
            "log_probabilities": log_p,
            "bits_per_character": bits / tf.cast(tf.maximum(characters, 1), bits.dtype),
        }

    def score_tokens(self, texts: Sequence[str], batch_size: int = 64) -> list[dict[str, Any]]:
        """Where the probability of texts goes, token by token.

        Args:
            texts: A list of strings of any length.
            batch_size: Texts that are read at once.
        Returns:
            A list of dictionaries: tokens, as they were read, the end token last; log_probabilities, natural, of each,
            of an unknown one that of `<unk>`; log_probability, their sum; perplexity = exp(-log_probability / lengths);
            bits_per_character, -log_2 P of the text with its end token by the number of characters of the text as it is
            normalized, the end token no character (an empty text counts as one).
        Raises:
            ValueError: If an argument is not of this kind.
        """
        positive(batch_size=batch_size)
        check_texts("texts", texts)
        return answered(texts, batch_size, lambda some: self._token_scores(tf.constant(some, tf.string)))

    @functools.cached_property
    def _token_scores(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """`token_scores`, traced once."""
        return tf.function(self.token_scores, input_signature=[STRINGS], autograph=False)

    # Generation

    def generate(
        self,
        prompts: Sequence[str],
        max_length: int = 40,
        temperature: float = 1.0,
        seed: int = 0,
        top_k: int = 0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        min_length: int = 0,
        beam_width: int | None = None,
    ) -> list[dict[str, Any]]:
        """Texts that go on from prompts.

        Args:
            prompts: A list of strings of any length, "" for a text from its start.
            max_length: The largest number of tokens that are added, the end token included.
            temperature: 0 for the most probable token each time, 1 for sampling from the model, between them less
                surprising samples.
            seed: Of the sampling; row k draws from seed + k.
            top_k: Only the so many most probable tokens are drawn from; 0 for all.
            top_p: Only the most probable tokens that have so much probability together are drawn from; 1 for all.
            repetition_penalty: Above 1 makes what is in the text already less probable.
            min_length: The least number of tokens that are added, the end token included.
            beam_width: Adds the most probable tokens that a beam search of this width finds; nothing is drawn then, and
                the options of drawing must have their defaults.
        Returns:
            A list of dictionaries: text, the prompt as it was written with what was added; score, the log probability
            of the latter by the model.
        Raises:
            ValueError: If an argument is not of this kind.
        """
        check_texts("prompts", prompts)
        options = {
            "temperature": temperature,
            "max_length": max_length,
            "top_k": top_k,
            "top_p": top_p,
            "repetition_penalty": repetition_penalty,
            "min_length": min_length,
        }
        generation.check(seed, options)
        if beam_width is not None:
            generation.check_beam(beam_width, len(self.preprocessor.codec.vocabulary), options)
            inputs = tf.constant(prompts, tf.string), tf.constant(max_length), tf.constant(min_length)
            return unbatch(self._search(beam_width)(*inputs))
        rows = range(len(prompts))
        values: dict[str, Any] = {name: [value] * len(rows) for name, value in options.items()}
        values |= {"prompt": prompts, "seed": [seed + row for row in rows]}
        answer = self._generate(*(tf.constant(values[spec.name], spec.dtype) for spec in generation.INPUTS))
        return unbatch({name: tensor for name, tensor in answer.items() if name != "lengths"})

    @functools.cached_property
    def _generate(self) -> Callable[..., dict[str, tf.Tensor]]:
        """`generate_rows`, traced once."""
        return tf.function(self.generate_rows, input_signature=generation.INPUTS, autograph=False)

    def search_rows(
        self, prompt: tf.Tensor, max_length: tf.Tensor, min_length: tf.Tensor, beam_width: int
    ) -> dict[str, tf.Tensor]:
        """`generate` with a beam in the graph: prompts (B,), numbers () -> text, score, each (B,)."""
        codec, read = self.preprocessor.codec, self.preprocessor.tokenize(prompt)
        first, states = decoding.read_prompts(self.network, dense(self.preprocessor.encode_tokens(read)[0]))
        changes = lambda of: [decoding.min_length(min_length[None], END)]  # noqa: E731, ARG005
        found = decoding.beam_search(
            self.network.step, first, states, END, max_length, beam_width, forbidden=CONTROL, changes=changes
        )
        text = continued(codec, prompt, read, codec.written(found.tokens[:, 0]))
        return {"text": text, "score": found.log_p[:, 0]}

    @functools.cached_property
    def _search(self) -> Callable[[int], Callable[..., dict[str, tf.Tensor]]]:
        """`search_rows` for a width, each traced once."""
        number = tf.TensorSpec([], tf.int32)

        @functools.cache
        def traced(beam_width):
            rows = functools.partial(self.search_rows, beam_width=beam_width)
            return tf.function(rows, input_signature=[strings("prompt"), number, number], autograph=False)

        return traced

    def generate_rows(self, prompt: tf.Tensor, seed: tf.Tensor, *options: tf.Tensor) -> dict[str, tf.Tensor]:
        """`generate` in the graph, each row with options of its own, all (B,) in the order of `generation.INPUTS` ->
        text, score, lengths, each (B,).

        What a row becomes does not depend on the rows beside it. `lengths` counts the tokens that were added.
        """
        seed, *options = (tf.broadcast_to(each, tf.shape(prompt)) for each in (seed, *options))
        values = {spec.name: each for spec, each in zip(generation.INPUTS[2:], options, strict=True)}
        generation.check_in_graph(seed, values)
        read = self.preprocessor.tokenize(prompt)
        ids = dense(self.preprocessor.encode_tokens(read)[0])  # <s> and the prompt
        first, states = decoding.read_prompts(self.network, ids)
        choose, changes = generation.chooser(seed, values["temperature"]), generation.changes(ids, values)
        tokens, lengths, score = self.write(first, states, choose, values["max_length"], changes)
        codec = self.preprocessor.codec
        text = continued(codec, prompt, read, codec.written(tokens))
        return {"text": text, "score": score, "lengths": lengths}

    # Token by token

    def next_words(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Texts (B,) -> words (B, K), the most probable next tokens, and probabilities (B, K).

        K is `NEXT`, or as many tokens as there are; `</s>` is the end of the text.
        """
        return self._most_probable(decoding.read_prompts(self.network, self.preprocessor.inputs(text))[0])

    def start(self, prompt: tf.Tensor) -> dict[str, tf.Tensor]:
        """Prompts (B,) -> the outputs of `next_words`, and states (B, D), what the model remembers: for `step`."""
        logits, states = decoding.read_prompts(self.network, self.preprocessor.inputs(prompt))
        return {**self._most_probable(logits), "states": decoding.packed(states)}

    def step(self, token: tf.Tensor, states: tf.Tensor) -> dict[str, tf.Tensor]:
        """One token more of each text: tokens (B,), strings as `words` has them, and the states (B, D) of the answer
        before, of `start` or of this -> the same outputs after it.

        A client that wants a text as it comes asks `start` once and this once for each token, and ends at `</s>`, which
        is no token of a text. A token that the vocabulary lacks is `<unk>`.
        """
        codec = self.preprocessor.codec
        before = decoding.unpacked(states, self.network.start(token[:, None]))
        logits, after = self.network.step(codec.vocabulary.ids(codec.clean(token)), before)
        return {**self._most_probable(logits), "states": decoding.packed(after)}

    def _most_probable(self, logits):
        """Logits (B, V) -> words and probabilities (B, K)."""
        probabilities = tf.nn.softmax(tf.cast(decoding.forbid(logits, CONTROL), tf.float32))
        vocabulary = self.preprocessor.codec.vocabulary
        top, tokens = tf.math.top_k(probabilities, min(NEXT, len(vocabulary) - len(SPECIAL_TOKENS) + 1))
        return {"words": vocabulary.lookup(tokens), "probabilities": top}

    @property
    def _states_spec(self):
        """Of the states of `step`."""
        like = decoding.packed(self.network.start(tf.zeros([1, 1], tf.int32)))
        return tf.TensorSpec([None, like.shape[1]], like.dtype, name="states")

    def signatures(self) -> dict[str, Signature]:
        def prompts(texts):
            return {"prompt": array(texts), **generation.trial_values(len(texts))}

        def steps(texts):
            words = array([text.split()[0] if text.split() else text for text in texts])
            return {"token": words, "states": np.asarray(self.start(tf.constant(words, tf.string))["states"])}

        text, prompt = [strings("text")], [strings("prompt")]
        return {
            **super().signatures(),
            "score_tokens": Signature(self.token_scores, text, questions_of("text")),
            "generate": Signature(self.generate_rows, generation.INPUTS, prompts, generation.DEFAULTS),
            "next_words": Signature(self.next_words, text, questions_of("text")),
            "start": Signature(self.start, prompt, questions_of("prompt")),
            "step": Signature(self.step, [strings("token"), self._states_spec], steps),
        }

    # Watching

    def samples(self, examples: Sequence[str]) -> list[dict[str, str]]:
        """Texts, and how the model goes on after the first words of each: the most probable token each time."""
        examples = list(map(self.question, examples))
        first = self.preprocessor.tokenize(tf.constant(examples))[:, :PROMPT]
        prompts = [prompt.decode() for prompt in self.preprocessor.codec.tokenizer.detokenize(first).numpy()]
        texts = [answer["text"] for answer in self.generate(prompts, CONTINUATION, temperature=0)]
        rows = zip(examples, prompts, texts, strict=True)
        return [{"text": text, "prompt": prompt, "generated": generated} for text, prompt, generated in rows]

    def score(self, examples: Iterable[str]) -> dict[str, float]:
        """Perplexity over all tokens, end tokens included; unknown words count as `<unk>`.

        A stream is read from its beginning to its end, so that each word has all those before it.
        """
        if not self.compiled:
            self.compile()
        whole: dict[str, Any] = {"batch_size": 1, "segment_length": READ} if self.preprocessor.stream else {}
        scores = self.evaluate(self.dataset(examples, **whole), return_dict=True, verbose=0)
        return {"perplexity": scores["perplexity"], "cross_entropy": scores["loss"]}

    @staticmethod
    def line(answer: Mapping[str, Any]) -> str:
        """An answer as one line of text."""
        return f"{answer['log_probability']:z.4f}\t{answer['perplexity']:.4f}"
