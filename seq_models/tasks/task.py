"""What the four tasks share: a network together with its text."""

import dataclasses
import functools
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf

from seq_models.errors import InputError, options_from_outside, positive, shortened
from seq_models.files import written_whole
from seq_models.networks import Network
from seq_models.options import Options, grouped
from seq_models.tasks.calibration import Calibration, calibrate, finish_run
from seq_models.tasks.pretrained import begin, coverage, sized, with_vectors
from seq_models.tasks.signature import Signature, questions_of, strings
from seq_models.text.datasets import make_dataset
from seq_models.text.options import EmbeddingOptions
from seq_models.text.preprocessors import Preprocessor
from seq_models.text.progress import watched
from seq_models.text.vectors import write_vectors
from seq_models.training.metrics import TokenAccuracy, mean_of_rows
from seq_models.training.options import TrainingOptions
from seq_models.training.precision import precision
from seq_models.training.run_directory import RunDirectory
from seq_models.training.token_training import TokenTraining

STRINGS = strings("text")


class Task(TokenTraining):
    """A network of `seq_models.networks` with the preprocessor of its texts: strings in, strings out.

    A task fulfils the protocol `TextModel`. A task class adds

        network_class, preprocessor_class        what `from_examples` makes
        sizes(preprocessor)                      what the network needs to know of the text
        monitor                                  the validation score that decides which epoch is best
        make_metrics()                           its metrics of (targets, predictions, weights)
        respond(text)                            the answer to strings (B,), in the graph: what is served
        score(examples)                          the scores of the task's field
        samples(examples)                        examples beside the model's answers, dictionaries of strings to show

    Args:
        network: The network.
        preprocessor: A preprocessor of the task.
    Attributes:
        coverage: Of a new model whose embeddings begin with vectors, how many words these have, by embedding.
    """

    task_name: ClassVar[str]
    network_class: ClassVar[type[Network]]
    preprocessor_class: ClassVar[type[Preprocessor]]
    training_options_class: ClassVar[type[TrainingOptions]] = TrainingOptions
    embedding_options_class: ClassVar[type[EmbeddingOptions]] = EmbeddingOptions
    sample_texts: Sequence[str] = ()
    coverage: Mapping[str, dict[str, Any]] = MappingProxyType({})

    def __init__(self, network: Network, preprocessor: Preprocessor, name: str | None = None):
        super().__init__(network, name=name)
        self.preprocessor = preprocessor
        self.token_metrics = self.make_metrics()

    @classmethod
    def from_examples(cls, examples: Iterable[Any], **options: Any) -> Self:
        """A new model for examples: builds vocabularies and labels from them.

        Args:
            examples: An iterable that can be read again and again.
            options: The options of the text (`tokenizer`, `vocabulary_size`, `min_count`, `lowercase`, `max_length`,
                …), of the network (`cell`, `units`, `layers`, …) and of what embeddings begin with (`vectors`, …).
        Raises:
            ValueError: If there is no such option, a value is not what it should be, or there is no example.
        """
        made = cls.split_options(options)
        text, network, embeddings = made.pop("text"), made.pop("network"), made.pop("embeddings")
        preprocessor = cls.preprocessor_class.learned(examples, text)
        preprocessor, beginnings = with_vectors(preprocessor, embeddings)
        sizes = {**cls.sizes(preprocessor), **dataclasses.asdict(sized(network, embeddings))}
        model = cls(cls.network_class(**sizes), preprocessor, **made)
        begin(model.network, beginnings)
        model.coverage = coverage(beginnings)
        return model

    @classmethod
    def option_groups(cls) -> dict[str, Any]:
        """The classes of all its options by what they are about: the tables of a configuration file."""
        text, network = cls.preprocessor_class.options_class, cls.network_class.options_class
        more = {"embeddings": cls.embedding_options_class, "training": cls.training_options_class}
        return {"text": text, "network": network, **more}

    @classmethod
    def split_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Options of a model by name -> those of each group but the training's. Raises: see `from_examples`."""
        groups = cls.option_groups()
        values = grouped(options, groups)
        for name, value in values.pop("training", {}).items():
            raise ValueError(f"{name} must be left to the training. Received: {name}={value!r} for a model")
        return {name: groups[name](**values[name]) for name in values}

    def own_options(self) -> dict[str, Options]:
        """What options of its own it has, by the names of their groups: those that are about how it answers."""
        others = [name for name in self.option_groups() if name not in ("text", "network", "embeddings", "training")]
        return {name: getattr(self, name) for name in others}

    @classmethod
    def train_into(
        cls,
        directory: str | Path,
        train_data: Iterable[Any],
        valid_data: Iterable[Any],
        options: dict[str, dict[str, Any]],
        data: dict[str, Any],
    ) -> RunDirectory:
        """Trains a model into a run directory; goes on with what is there.

        Args:
            options: Of each of `option_groups` the values that are given, by name.
            data: What config.toml says of the data, plain values; `from` is a run to begin with.
        Raises:
            InputError: If the data, the directory or an option is not what it should be.
        """
        from seq_models.training.trainer import train  # with TensorBoard and Matplotlib, which nothing else here needs

        groups = (values for group, values in options.items() if group != "training")
        model_options = {name: value for values in groups for name, value in values.items()}
        data = dict(data)
        from_run = data.pop("from", None)
        with options_from_outside():
            training = cls.training_options_class(**options["training"])
        return train(cls, train_data, valid_data, directory, training, model_options, data, from_run)

    @staticmethod
    def sizes(preprocessor: Any) -> dict[str, Any]:
        """The arguments of the network that follow from the text."""
        raise NotImplementedError

    def make_metrics(self) -> list[keras.Metric]:
        """What validation reports beside the loss."""
        return [TokenAccuracy()]

    @property
    def monitor(self) -> str:
        """The name of the validation score that decides which epoch is best."""
        return "val_accuracy"

    def monitors(self) -> list[str]:
        """The names of the scores that a training may be told to go by."""
        return ["val_loss", *(f"val_{metric.name}" for metric in self.token_metrics), *self.answer_scores()]

    def answer_scores(self) -> dict[str, Callable[[Sequence[Any]], float]]:
        """Scores, "val_…", that take answers to examples: functions of a list of these.

        Answers take time, so that validation reports such a score only where a training goes by it.
        """
        return {}

    def fit(self, x=None, *args, class_weight=None, **kwargs):
        """As `TokenTraining.fit`; `class_weight` may have the names of labels instead of numbers.

        Raises a ValueError that names the way if x holds texts.
        """
        check_batches("fit", x)
        check_batches("fit", kwargs.get("validation_data"))
        labels = self.preprocessor.labels
        numbers = {} if labels is None else {name: number for number, name in enumerate(labels.names)}
        named = {numbers.get(label, label): weight for label, weight in (class_weight or {}).items()}
        return super().fit(x, *args, class_weight=named, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """As `keras.Model.evaluate`. Raises a ValueError that names the way if x holds texts."""
        check_batches("evaluate", x)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As `keras.Model.predict`: logits, of a `dataset` in the order of its examples, shuffled or not.

        Raises a ValueError that names the way if x holds texts.
        """
        check_batches("predict", x)
        return super().predict(getattr(x, "in_order", lambda: x)(), *args, **kwargs)

    def dataset(
        self, examples: Iterable[Any], batch_size: int | None = None, shuffle: bool = False, seed: int = 0, **more: Any
    ) -> tf.data.Dataset:
        """A `tf.data.Dataset` for `fit` and `evaluate`. Arguments and errors: see `make_dataset`.

        What is shuffled is to be trained on: `training` is what `shuffle` is, if it is not given.
        """
        return make_dataset(self.preprocessor, examples, batch_size, shuffle, seed, **{"training": shuffle, **more})

    def batch(self, examples: Sequence[Any]) -> tuple:
        """A list of examples, not empty, as one batch in their order: (inputs, targets, weights), padded tensors."""
        if not examples:
            raise ValueError("examples must hold at least one. Received: none")
        batch = self.preprocessor.stack(self.preprocessor.rows(examples))
        return tf.nest.map_structure(tf.convert_to_tensor, batch)

    def texts(self, inputs: Any) -> list[str]:
        """The texts of a batch of inputs again; of a pair the source. Unknown words are `<unk>`."""
        ids, *_ = tf.nest.flatten(inputs)
        return [text.decode() for text in self.preprocessor.codec.decode(ids).numpy()]

    @classmethod
    def question(cls, example: Any) -> str:
        """The text of an example that the model is asked about."""
        return cls.preprocessor_class.example_type.question(example)

    def hidden(self, inputs: Any) -> tf.Tensor:
        """The last hidden states, without dropout; the head says what they mean."""
        return self.network.body(inputs, training=False)

    def labels_of(self, example: Any, predicted: np.ndarray) -> tuple[list[str], list[str]]:
        """The labels of an example, and those that predictions (of one row of a batch) are; see `Judged`."""
        return [], []

    @functools.cached_property
    def compare_rows(self) -> Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]]:
        """A batch -> of each row (B,) the mean loss, the predictions, how many tokens were read, and the probabilities
        of predictions that are labels; traced once."""

        def compare(inputs, targets, weights):
            hidden = self.hidden(inputs)
            losses, predicted = self._compare(hidden, targets)
            tokens = tf.math.count_nonzero(tf.nest.flatten(inputs)[0], axis=1) - 1  # without the end
            confidence = tf.zeros([tf.shape(tokens)[0], 0])
            if self.preprocessor.labels is not None:
                confidence = self.confidence(self.network.head.probabilities(hidden), predicted)
            return mean_of_rows(losses, self.loss_weights(targets, weights)), predicted, tokens, confidence

        return tf.function(compare, input_signature=self.preprocessor.spec, autograph=False)

    def confidence(self, probabilities: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
        """The probabilities of what is predicted, those of each row first ones of its row; see `Judged`."""
        return tf.gather(probabilities, predicted, batch_dims=predicted.shape.rank)

    def respond(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Texts (B,) -> the answers."""
        raise NotImplementedError

    def predict_text(self, texts: Sequence[str], batch_size: int = 64) -> list[dict[str, Any]]:
        """Answers to texts, a list of dictionaries: what `respond` says of each.

        Args:
            texts: A list of strings.
            batch_size: Texts that are answered at once.
        Raises:
            ValueError: If an argument is not of this kind.
        """
        positive(batch_size=batch_size)
        check_texts("texts", texts)
        return answered(texts, batch_size, lambda some: self._answer(tf.constant(some, tf.string)))

    @functools.cached_property
    def _answer(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """`respond`, traced once."""
        return tf.function(self.respond, input_signature=[STRINGS], autograph=False)

    def signatures(self) -> dict[str, Signature]:
        """What an export answers to, by name; `serving_default` is `respond`."""
        return {"serving_default": Signature(self.respond, [STRINGS], questions_of("text"))}

    def calibrate(self, examples: Iterable[Any], accuracy: float | None = None) -> Calibration:
        """Makes the model as sure as it is right, and abstain if so asked; see `calibrate`."""
        return calibrate(self, examples, accuracy)

    def finish(self, run: RunDirectory, examples: Iterable[Any]) -> None:
        """What is left to do when a training has ended: to calibrate the best model, where that can be done.

        Args:
            run: The run directory.
            examples: Those that the model was validated with.
        """
        if self.network.head.calibrated:
            finish_run(run, examples)

    def vocabularies(self) -> dict[str, list[str]]:
        """The vocabularies and labels by name."""
        return {"vocabulary": self.preprocessor.codec.vocabulary.tokens}

    def embeddings(self) -> dict[str, tuple[list[str], np.ndarray]]:
        """The embedding of each vocabulary by the name of its layer: (tokens, floats (V, E))."""
        found = {}
        for name, tokens in self.vocabularies().items():
            if "vocabulary" in name:
                layer = name.replace("vocabulary", "embedding")
                found[layer] = tokens, tf.convert_to_tensor(self.network.get_layer(layer).embeddings).numpy()
        return found

    def write_vectors(self, path: str | Path, embedding: str | None = None) -> None:
        """Writes an embedding as a file of vectors, which the option `vectors` of a new model takes.

        Args:
            path: A new file, .vec or .txt.
            embedding: Which one of `embeddings`; the first if left out.
        Raises:
            InputError: If there is no such embedding, or the path is not of this kind.
        """
        found = self.embeddings()
        name = next(iter(found), None) if embedding is None else embedding
        if name not in found:
            raise InputError(f"embedding must be one of {', '.join(found) or 'none'}. Received: {name}")
        write_vectors(path, *found[name])

    def save_run(self, directory: str | Path) -> None:
        """Saves the model as a run directory that the command line and `load_run` read.

        Raises:
            InputError: If the directory holds something else.
        """
        run = RunDirectory(directory)
        run.start({"data": {"task": self.task_name}, "network": self.network.options.written()})
        self.write_files(run)

    def write_files(self, run: RunDirectory) -> None:
        """Writes what a run directory holds of a model."""
        run.write_vocabularies(self)
        run.write_sample_texts(self.sample_texts)
        run.write_coverage(self.coverage)
        with written_whole(run.model) as aside:
            self.save(aside)

    def in_float64(self) -> Self:
        """A model with the same weights whose layers calculate with float64."""
        with precision("float64"):
            twin = type(self).from_config(self.get_config())
        twin.set_weights(self.get_weights())
        return twin

    def get_config(self):
        own = {name: options.written() for name, options in self.own_options().items()}
        return {**super().get_config(), "preprocessor": self.preprocessor.get_config(), **own}

    @classmethod
    def from_config(cls, config):
        if "network" not in config:
            raise InputError(
                "A saved model must be of seq_models 0.2 or later; train it anew with the options in its config.toml. "
                "Received: a model of 0.1"
            )
        network = keras.saving.deserialize_keras_object(config["network"])
        groups = cls.option_groups()
        own = {name: groups[name](**config[name]) for name in config.keys() & groups.keys() - {"network"}}
        return cls(network, cls.preprocessor_class.from_config(config["preprocessor"]), config["name"], **own)


def check_texts(name: str, texts: Any) -> None:
    """Raises a ValueError if an argument of this name is no list of strings."""
    if not is_list(texts) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{name} must be a list of strings. Received: {name}={brief(texts)}")


def is_list(value: Any) -> bool:
    """Whether a value is a list, or may pass for one, as an array or a column of a table."""
    return hasattr(value, "__getitem__") and getattr(value, "ndim", 1) == 1 and not isinstance(value, str | Mapping)


def check_batches(verb: str, data: Any) -> None:
    """Raises a ValueError if data for a verb of Keras hold texts, which the verbs of a task take."""
    if _holds_texts(data):
        raise ValueError(
            f"{verb} takes batches of ids, those of model.dataset(examples); texts as they are go to "
            "model.predict_text(texts), and examples to model.score(examples). "
            f"Received: {type(data).__name__}, {brief(data)}"
        )


def brief(value: Any) -> str:
    """A value as Python writes it, on one line."""
    return shortened(" ".join(reprlib.repr(value).split()), 60)


def _holds_texts(data):
    if hasattr(data, "element_spec"):
        return any(getattr(spec, "dtype", None) == tf.string for spec in tf.nest.flatten(data.element_spec))
    if isinstance(data, list | tuple | Mapping):
        items = list(data.values() if isinstance(data, Mapping) else data)
        return not items or any(map(_holds_texts, items[:3]))  # (inputs, targets, weights) are three
    if data is None or isinstance(data, Iterator | keras.utils.PyDataset):
        return False
    return data.dtype == tf.string if tf.is_tensor(data) else np.asarray(data).dtype.kind in "OSU"


def answered(texts: Sequence[Any], size: int, answer: Callable[[Any], dict[str, tf.Tensor]]) -> list[dict[str, Any]]:
    """The answers to texts, so many of which are answered at once."""
    rows = []
    starts = range(0, len(texts), size)
    for start in watched(starts, "answering") if len(starts) > 1 else starts:
        rows += unbatch(answer(texts[start : start + size]))
    return rows


def unbatch(answer: dict[str, tf.Tensor]) -> list[dict[str, Any]]:
    """A dictionary of tensors with a row an answer -> a list of dictionaries of plain values.

    The lists of an answer that has `tokens` are cut to its `lengths`.
    """
    answer = {name: np.asarray(tensor) for name, tensor in answer.items()}
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
