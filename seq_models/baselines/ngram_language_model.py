"""The n-gram language model: the baseline that recurrence is held against."""

import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from seq_models.baselines.counts import count_ngrams
from seq_models.baselines.memory import GB, free_memory
from seq_models.baselines.ngram_network import NgramNetwork
from seq_models.baselines.ngram_options import NgramOptions, NgramPreprocessor
from seq_models.errors import InputError, options_from_outside
from seq_models.messages import say
from seq_models.tasks.language_model import LanguageModel
from seq_models.text.codec import chunked
from seq_models.text.progress import watched
from seq_models.text.streams import unweighted_texts
from seq_models.text.vocabulary import START
from seq_models.training.identity import Identity
from seq_models.training.lock import locked
from seq_models.training.metrics import mean_of_rows
from seq_models.training.run_directory import RunDirectory

SAMPLE_TEXTS = 8  # to try an export with
NO_WORDS = 2  # of a vocabulary: no text holds <pad> or <s>
BYTES = 64  # of a token for each length of n-grams, at most, and once more for the text itself


@keras.saving.register_keras_serializable(package="seq_models")
class NgramLanguageModel(LanguageModel):
    """Gives a text a probability by counting, and goes on with it [1, chapter 3].

        P(w_1 … w_m </s>) = Π_t P(w_t | w_{t-n+1} … w_{t-1})        w_0 = <s>

    Examples: texts, each a sentence with a history of its own. Vocabulary, `<unk>`, `</s>` and perplexity are those of
    `LanguageModel`, so their figures can be compared. There is nothing to fit: `from_examples` counts.

    Example:
        >>> model = NgramLanguageModel.from_examples(["the cat sat", "the dog sat"], order=2, smoothing="additive")
        >>> sorted(model.predict_text(["the cat sat"])[0])
        ['lengths', 'log_probability', 'perplexity']
        >>> model.generate(["the cat"], temperature=0)[0]["text"]
        'the cat sat'

    References:
        [1] Jurafsky and Martin, Speech and Language Processing. The smoothings: see `Additive`, `Backoff`, `KneserNey`.
    """

    task_name = "ngram"
    preprocessor_class = NgramPreprocessor
    network_class = NgramNetwork

    @classmethod
    def option_groups(cls) -> dict[str, Any]:
        groups = super().option_groups()
        return {name: groups[name] for name in ("text", "network")}

    @classmethod
    def from_examples(cls, examples: Iterable[str], **options: Any) -> Self:
        """A new model, with the counts of examples.

        Args:
            examples: An iterable that can be read again and again.
            options: The options of the text (`tokenizer`, `vocabulary_size`, `min_count`, `lowercase`, …) and of
                `NgramOptions`.
        Raises:
            ValueError: If there is no such option, a value is not what it should be, there is no example, or the counts
                would take more memory than there is.
        """
        text, network = cls.split_options(options).values()
        preprocessor = cls.preprocessor_class.learned(examples, text)
        V = len(preprocessor.codec.vocabulary)
        tables = count_ngrams(read_ids(preprocessor, examples, network), network.order, V)
        if len(tables) < network.order:
            say(
                f"no text has more than {len(tables) - 1} tokens, the end token included, so order={network.order} is "
                f"as order={len(tables)}."
            )
        model = cls(cls.network_class(V, [len(table) for table in tables[1:]], **asdict(network)), preprocessor)
        model.network.head.assign(tables, network.make_smoothing().estimate(tables, V - NO_WORDS))
        return model

    @classmethod
    def train_into(
        cls,
        directory: str | Path,
        train_data: Iterable[str],
        valid_data: Iterable[str],
        options: dict[str, dict[str, Any]],
        data: dict[str, Any],
    ) -> RunDirectory:
        """Counts into a run directory; see `Task.train_into`. To count once is an epoch."""
        if "from" in data:
            raise InputError(f"from must be left out: an n-gram model counts anew. Received: from={data['from']!r}")
        run, identity = RunDirectory(directory), Identity(train=train_data, valid=valid_data)
        values = {name: value for group in options.values() for name, value in group.items()}
        with options_from_outside():
            text, network = cls.split_options(values).values()
        config = {"data": {"task": cls.task_name, **data, **identity.contents}}
        config |= {"text": text.written(), "network": network.written()}
        run.check(config, network.operational())
        identity.check(run)
        if run.read_metrics()["finished"] and run.model.exists():
            run.check_model()
            say(f"{run.path} has these counts already and stays as it is.")
            return run
        with locked(run.path), identity.blamed():
            model = cls.from_examples(train_data, **values)
            best = {"epoch": 1, **{f"val_{name}": score for name, score in model.score(valid_data).items()}}
            model.sample_texts = list(map(model.question, itertools.islice(valid_data, SAMPLE_TEXTS)))
            identity.check_unchanged()
            run.start(config, network.operational())
            model.write_files(run)
            run.write_metrics({"epochs": [best], "best": best, "finished": True})
        return run

    def embeddings(self) -> dict[str, tuple[list[str], np.ndarray]]:
        """None: words are counted."""
        return {}

    @functools.cached_property
    def compare_rows(self) -> Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]]:
        """As `Task.compare_rows` without predictions: to find the most probable of all words takes much more."""

        def compare(inputs, targets, weights):
            losses = tf.cast(-self.network.head.log_probability(self.hidden(inputs), targets), tf.float32)
            no_predictions = tf.zeros([tf.shape(targets)[0], 0], tf.int32)
            tokens = tf.math.count_nonzero(inputs, axis=1) - 1  # without the end
            return mean_of_rows(losses, weights), no_predictions, tokens, tf.cast(no_predictions, tf.float32)

        return tf.function(compare, reduce_retracing=True)


def read_ids(preprocessor: NgramPreprocessor, examples: Iterable[str], options: NgramOptions) -> np.ndarray:
    """All texts one after the other, `<s> w_1 … w_m </s>` each: integers (N,).

    Raises:
        InputError: If there is no example, one has a weight, or counting so many tokens may take too much memory.
    """
    encode = tf.function(preprocessor.codec.encode, input_signature=[tf.TensorSpec([None], tf.string)])
    limit = free_memory() if options.max_memory is None else options.max_memory
    parts: list[np.ndarray] = []
    count = 0
    for chunk in watched(chunked(unweighted_texts(preprocessor, examples)), "reading tokens"):
        rows = encode(tf.constant(chunk, tf.string))
        parts.append(np.insert(rows.values.numpy(), rows.row_splits.numpy()[:-1], START))
        count += len(parts[-1])
        if (needed := count * BYTES * options.order / GB) > limit:
            raise InputError(
                f"There must be memory for the n-grams up to order={options.order} of all tokens, {needed:.2g} GB at "
                f"most for the first {count:,}; a smaller order takes less. Received: {limit:.2g} GB"
            )
    return np.concatenate(parts)
