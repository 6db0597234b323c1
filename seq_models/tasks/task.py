"""What the four tasks share: a network together with its text."""

import functools
import inspect

import numpy as np
import tensorflow as tf

from seq_models.tasks.signature import Signature, about, strings
from seq_models.text.codec import dense
from seq_models.text.datasets import make_dataset
from seq_models.training.run_directory import RunDirectory
from seq_models.training.token_training import TokenTraining

STRINGS = strings("text")


class Task(TokenTraining):
    """A network of `seq_models.networks` together with the preprocessor of its texts: strings in, strings out.

    A task class adds to its network

        preprocessor_class, sizes(preprocessor)  what the network needs to know of the text
        monitor, mode                            the validation score that decides which epoch is best
        respond(text)                            the answer to strings (B,), in the graph: what is served
        score(examples)                          the scores of the task's field
        samples(examples)                        examples beside the model's answers, dictionaries of strings to show

    Args:
        preprocessor: A preprocessor of the task.
        options: Arguments of the network, the sizes left out.
    """

    preprocessor_class = None
    monitor, mode = "val_accuracy", "max"
    golden = ()  # texts to try an export with

    def __init__(self, preprocessor, **options):
        super().__init__(**self.sizes(preprocessor), **options)
        self.preprocessor = preprocessor
        self.task_options = options

    @classmethod
    def from_examples(cls, examples, **options):
        """A new model for examples: builds vocabularies and labels from them.

        Args:
            examples: An iterable that can be read again and again.
            options: Those of the text (`tokenizer`, `vocabulary_size`, `min_count`, `lowercase`, `max_length`, …) and
                those of the network (`cell`, `units`, `layers`, …).
        Raises:
            ValueError: If there is no such option or a value is not what it should be.
        """
        known = cls.option_names()
        for name in options:
            if name not in known:
                raise ValueError(f"The options of {cls.__name__} are {', '.join(known)}. Received: {name}")
        text, network = cls.preprocessor_class.options_class.split(options)
        return cls(cls.preprocessor_class.learned(examples, text), **network)

    @classmethod
    def option_names(cls):
        """Names of all options of `from_examples`."""
        network = inspect.signature(cls.network_class.__init__).parameters
        text = cls.preprocessor_class.options_class.names()
        return (*text, *(name for name in network if name not in ("self", "kwargs", *cls.derived, *text)))

    def compile(self, optimizer="adam", **kwargs):
        """As `keras.Model.compile`; the task brings its loss and its metrics. Arguments: see `TokenTraining`."""
        super().compile(optimizer, weighted_metrics=self.make_metrics(), **kwargs)

    def make_metrics(self):
        return []

    def dataset(self, examples, batch_size=None, shuffle=False, seed=0, **options):
        """A `tf.data.Dataset` for `fit` and `evaluate`. Arguments and errors: see `make_dataset`."""
        return make_dataset(self.preprocessor, examples, batch_size, shuffle, seed, **options)

    def batch(self, examples):
        """A list of examples as one batch, in their order: (inputs, targets, weights), padded tensors."""
        batch = self.preprocessor.stack(self.preprocessor.rows(examples))
        return tf.nest.map_structure(tf.convert_to_tensor, batch)

    def texts(self, inputs):
        """The texts of a batch of inputs again, strings; of a pair the source. Unknown words are `<unk>`."""
        ids, *_ = tf.nest.flatten(inputs)
        return [text.decode() for text in self.read_codec().decode(ids).numpy()]

    def read_codec(self):
        """That of the texts that the model reads."""
        return self.preprocessor.codec

    def predict_text(self, texts, batch_size=64):
        """Answers to texts, a list of dictionaries: what `respond` says of each.

        Args:
            texts: A list of strings.
            batch_size: Texts that are answered at once.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts must be a list of strings. Received: texts={texts!r}")
        rows = []
        for start in range(0, len(texts), batch_size):
            answer = self._answer(tf.constant(texts[start : start + batch_size], tf.string))
            rows += unbatch({name: tensor.numpy() for name, tensor in answer.items()})
        return rows

    @functools.cached_property
    def _answer(self):
        """`respond`, traced once."""
        return tf.function(self.respond, input_signature=[STRINGS])

    def signatures(self):
        """What an export answers to, a `Signature` by name; `serving_default` is `respond`."""
        return {"serving_default": Signature(self.respond, [STRINGS], about("text"))}

    @classmethod
    def text_of(cls, example):
        """The text of an example that the model is asked about."""
        return cls.preprocessor_class.example_type.question(example)

    def vocabularies(self):
        """The vocabularies and labels by name, lists of strings."""
        return {"vocabulary": self.preprocessor.codec.vocabulary.tokens}

    def embeddings(self):
        """The embedding of each vocabulary by the name of its layer: (tokens, floats (V, E))."""
        found = {}
        for name, tokens in self.vocabularies().items():
            if "vocabulary" in name:
                layer = name.replace("vocabulary", "embedding")
                found[layer] = tokens, tf.convert_to_tensor(self.get_layer(layer).embeddings).numpy()
        return found

    def save_run(self, directory):
        """Saves the model as a run directory that the command line and `load_run` read.

        Raises:
            InputError: If the directory holds something else.
        """
        run = RunDirectory(directory)
        run.start({"data": {"task": self.task_name}, "model": self.task_options})
        run.write_vocabularies(self)
        run.write_golden(self.golden)
        self.save(run.model)

    def get_config(self):
        return {"name": self.name, "preprocessor": self.preprocessor.get_config(), **self.task_options}

    @classmethod
    def from_config(cls, config):
        preprocessor = cls.preprocessor_class.from_config(config.pop("preprocessor"))
        return cls(preprocessor, **config)


def log_probability(logits, targets, weights):
    """Σ_t w_t log P(y_t) of each row (B,), natural: logits (B, T, V), targets and weights ragged (B, None)."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(dense(targets), tf.cast(logits, tf.float32))
    return -tf.reduce_sum(losses * dense(weights), axis=-1)


def unbatch(answer):
    """A dictionary of arrays with a row an answer -> a list of dictionaries of plain values.

    Rows are cut to their `lengths` where the answer has these.
    """
    rows = []
    for index in range(len(next(iter(answer.values())))):
        row = {name: _plain(array[index]) for name, array in answer.items()}
        if "tokens" in row:
            row = {name: value[: row["lengths"]] if isinstance(value, list) else value for name, value in row.items()}
        rows.append(row)
    return rows


def _plain(value):
    """Plain Python values: bytes are texts."""
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.decode() if isinstance(value, bytes) else value
