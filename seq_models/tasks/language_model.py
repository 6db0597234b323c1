"""Texts and their probability."""

import keras
import numpy as np
import tensorflow as tf

from seq_models import decoding, models
from seq_models.tasks.task import Task, unbatch
from seq_models.text.codec import dense
from seq_models.text.preprocessors import LanguageModelPreprocessor
from seq_models.text.vocabulary import END, without_control

PROMPT, CONTINUATION = 3, 30  # tokens, of a sample


@keras.saving.register_keras_serializable(package="seq_models")
class LanguageModel(Task, models.LanguageModel):
    """Gives a text a probability, and goes on with it. Examples: texts. Options: see `Task.from_examples`.

    Example:
        >>> model = LanguageModel.from_examples(["the cat sat", "the dog sat"], units=8)
        >>> sorted(model.predict_text(["the cat sat"])[0])
        ['lengths', 'log_probability', 'perplexity']
    """

    task_name = "language-model"
    preprocessor_class = LanguageModelPreprocessor
    network_class = models.LanguageModel
    derived = ("vocabulary_size",)
    monitor, mode = "val_perplexity", "min"

    @staticmethod
    def sizes(preprocessor):
        return {"vocabulary_size": len(preprocessor.codec.vocabulary)}

    def get_metrics_result(self):
        """The logs, with perplexity = exp(loss)."""
        logs = super().get_metrics_result()
        return {**logs, "perplexity": tf.exp(logs["loss"])}

    def respond(self, text):
        """Texts (B,) -> log_probability (B,) = Σ_t log P(w_t | w_<t), natural, the end token included; perplexity (B,)
        = exp(-log_probability / lengths); lengths (B,)."""
        inputs, targets, weights = self.preprocessor.encode(text)
        logits = tf.cast(self(dense(inputs), training=False), tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(dense(targets), logits)
        log_probability = -tf.reduce_sum(losses * dense(weights), axis=-1)
        lengths = tf.cast(targets.row_lengths(), tf.int32)
        perplexity = tf.exp(-log_probability / tf.cast(lengths, tf.float32))
        return {"log_probability": log_probability, "perplexity": perplexity, "lengths": lengths}

    def generate(self, prompts, max_length=40, temperature=1.0, seed=0):
        """Texts that go on from prompts.

        Args:
            prompts: A list of strings, "" for a text from its start.
            max_length: The largest number of tokens that are added, the end token included.
            temperature: 0 for the most probable token each time, 1 for sampling from the model, between them less
                surprising samples.
            seed: Of the sampling.
        Returns:
            A list of dictionaries: text, the prompt with what was added; score, the log probability of the latter.
        """
        if temperature < 0:
            raise ValueError(f"temperature must be 0 or more. Received: temperature={temperature!r}")
        uniform = np.random.default_rng(seed).random((len(prompts), max_length), dtype=np.float32)
        choose = decoding.sampler(uniform, temperature) if temperature else decoding.greedy
        return unbatch(
            {k: v.numpy() for k, v in tf.function(self.go_on)(tf.constant(prompts), choose, max_length).items()}
        )

    def go_on(self, prompt, choose, max_length):
        """`generate` in the graph: prompts (B,) -> text (B,), score (B,)."""
        ids = self.preprocessor.encode(prompt)[0]  # <s> and the prompt
        first, states = self.read(ids.to_tensor(), tf.cast(ids.row_lengths(), tf.int32))

        def step(tokens, states):
            logits, states = self.step(tokens, states)
            return without_control(logits), states

        tokens, _, score = decoding.generate(step, choose, without_control(first), states, END, max_length)
        return {"text": self.preprocessor.codec.decode(tf.concat([ids.to_tensor(), tokens], axis=1)), "score": score}

    def samples(self, examples):
        """Texts, and how the model goes on after the first words of each: the most probable token each time."""
        first = dense(self.preprocessor.codec.encode(tf.constant(examples))[:, :PROMPT])
        prompts = self.preprocessor.codec.decode(first)
        texts = self.go_on(prompts, decoding.greedy, CONTINUATION)["text"].numpy()
        rows = zip(examples, prompts.numpy(), texts, strict=True)
        return [{"text": text, "prompt": p.decode(), "continued": c.decode()} for text, p, c in rows]

    def score(self, examples):
        """Perplexity over all tokens, end tokens included; unknown words count as `<unk>`."""
        if not self.compiled:
            self.compile()
        scores = self.evaluate(self.dataset(examples), return_dict=True, verbose=0)
        return {"perplexity": scores["perplexity"], "cross_entropy": scores["loss"]}

    @staticmethod
    def line(answer):
        """An answer as one line of text."""
        return f"{answer['log_probability']:.4f}\t{answer['perplexity']:.4f}"
