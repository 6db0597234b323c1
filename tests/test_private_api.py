"""What Keras and TensorFlow keep private is still there, and still called where we put something in its place."""

import inspect

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.config_pb2 import CallableOptions
from toy import dataset_of

from seq_models import private_api
from seq_models.networks import LanguageModel
from seq_models.training.strategy import make_strategy
from seq_models.training.token_training import TokenTraining

IDS = np.random.default_rng(0).integers(1, 9, (4, 3)).astype("int32")


def test_no_other_file_of_the_package_reaches_into_keras_or_tensorflow():
    package = private_api.__file__.rsplit("/", 1)[0]
    private = (
        "keras.src",
        "tensorflow.python",
        "_make_callable",
        "_compile_metrics",
        "_loss_tracker",
        "_flatten_layers",
    )
    for directory, _, names in tf.io.gfile.walk(package):
        for name in names:
            if name.endswith(".py") and name != "private_api.py":
                with open(f"{directory}/{name}", encoding="utf-8") as file:
                    text = file.read()
                assert not [word for word in private if word in text], f"{directory}/{name}"


def test_fit_calls_every_hook_that_is_overridden():
    called = []

    class Watched(TokenTraining):
        def _maybe_symbolic_build(self, iterator=None, data_batch=None):
            called.append(("build", iterator is not None))
            super()._maybe_symbolic_build(iterator, data_batch)

        def _make_function(self, step_function):
            called.append(("function", step_function.__name__))
            return super()._make_function(step_function)

        def _get_metrics_result_or_logs(self, logs):
            called.append(("logs", sorted(logs)))
            return super()._get_metrics_result_or_logs(logs)

    overridden = {
        name for name in vars(private_api.DistributedFit) if name.startswith("_") and name in dir(keras.Model)
    }
    assert overridden >= {"_maybe_symbolic_build", "_make_function", "_get_metrics_result_or_logs"}
    model = Watched(LanguageModel(9, units=4))
    model.compile("sgd", metrics=["accuracy"])
    data = dataset_of((IDS, IDS))
    model.fit(data, validation_data=data, verbose=0)
    assert ("build", True) in called
    assert [name for what, name in called if what == "function"] == ["train_step", "test_step"]
    assert [what for what, _ in called].count("logs") >= 2


def test_a_metric_that_a_user_adds_is_given_logits_and_weights():
    model = TokenTraining(LanguageModel(9, units=4))
    model.compile("sgd", weighted_metrics=["accuracy"])
    weights = np.float32([[1, 1, 0]] * 4)
    logs = model.evaluate(dataset_of((IDS, IDS, weights)), return_dict=True, verbose=0)
    right = model(IDS).numpy().argmax(axis=-1) == IDS
    assert abs(logs["accuracy"] - right[:, :2].mean()) < 1e-6


def test_the_epoch_iterator_has_what_is_changed_in_it():
    from keras.src.backend.tensorflow.trainer import TFEpochIterator

    for name in ("_get_iterator", "_interrupted_warning", "num_batches"):
        assert hasattr(TFEpochIterator, name)
    source = "".join(inspect.getsource(cls) for cls in TFEpochIterator.__mro__[:-1])
    for name in ("self._num_batches", "self._distributed_dataset", "self.data_adapter"):
        assert name in source


def test_an_epoch_ends_where_its_data_ends_whatever_the_first_one_had():
    lengths = iter([2, 5, 3])
    data = tf.data.Dataset.from_generator(
        lambda: iter([(IDS, IDS)] * next(lengths)), output_signature=(tf.TensorSpec([4, 3], tf.int32),) * 2
    )
    model = TokenTraining(LanguageModel(9, units=4))
    model.compile("sgd")
    steps = []
    ended = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: steps.append(int(model.optimizer.iterations.numpy()))
    )
    model.fit(data, epochs=3, verbose=0, callbacks=[ended])
    assert steps == [2, 7, 10]


def test_the_iterators_of_replicas_have_no_autotuner():
    from tensorflow.python.data.ops import multi_device_iterator_ops as multi_device

    stock, made = multi_device._create_device_dataset, []

    def watched(*arguments):
        made.append(stock(*arguments))
        return made[-1]

    strategy = make_strategy("mirrored")
    distributed = strategy.experimental_distribute_dataset(dataset_of(IDS))
    multi_device._create_device_dataset = watched
    try:
        with private_api._no_tuner_of_replicas():
            patched = multi_device._create_device_dataset
            assert patched is not watched
            next(iter(distributed))
        assert multi_device._create_device_dataset is watched
    finally:
        multi_device._create_device_dataset = stock
    assert len(made) == strategy.num_replicas_in_sync


def test_a_callable_runs_from_feeds_to_fetches():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        y = tf.identity(2 * x, name="y")
        run = private_api.callable_of_session(session, CallableOptions(feed=[x.name], fetch=[y.name]))
        np.testing.assert_array_equal(run(np.float32([1, 2]))[0], [2, 4])


def test_the_operations_are_those_of_tensorflow():
    operations = private_api.all_operations()
    assert {"MatMul", "BlockLSTMV2", "StatelessRandomUniform"} <= operations.keys()
    assert (operations["MatMul"], operations["Timestamp"]) == (False, True)


def test_an_export_is_seen_while_it_is_traced(tmp_path):
    seen = []

    class Seeing(keras.layers.Layer):
        def call(self, x):
            seen.append(private_api.being_exported())
            return x + 1

    model = keras.Sequential([keras.Input((3,)), Seeing()])
    model.predict(np.ones((2, 3)), verbose=0)
    assert seen and not any(seen)
    seen.clear()
    model.export(tmp_path, verbose=False)
    assert seen and all(seen)
    assert not private_api.being_exported()


def test_a_graph_for_xla_is_seen_while_it_is_traced():
    seen = []
    for compiled in (False, True):
        tf.function(lambda x: seen.append(private_api.compiled_by_xla()) or x, jit_compile=compiled)(tf.constant(1.0))
    assert seen == [False, True] and not private_api.compiled_by_xla()
