"""The fused recurrence: equal to the loop in all that it runs, the same whatever stands beside a row, and optional."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from parity import KINDS, MASK
from tensorflow.core.protobuf import saved_model_pb2

from seq_models.layers import GRU, LSTM, Bidirectional, GRUCell, LSTMCell, engines
from seq_models.layers.engines.fused import build

pytestmark = pytest.mark.skipif(build.problem() is not None, reason=f"the kernels need {build.problem()}")
every_kind = pytest.mark.parametrize("kind", KINDS)
# The last two: all threads take the same rows.
SHAPES = [(1, 3, 2, 1), (5, 7, 3, 17), (13, 4, 9, 64), (30, 2, 5, 33), (3, 1, 1, 130), (1, 5, 2, 370), (3, 4, 2, 365)]
OPTIONS = [{}, {"go_backwards": True}, {"recurrent_dropout": 0.3}, {"use_bias": False}, {"zero_output_for_mask": True}]
OPTIONS += [{"weight_dropout": 0.4}]


def normal(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def layer_of(kind, D, H, engine, **options):
    """A layer with random weights, the same for every engine, and small: else rounding would grow from step to step."""
    layer = KINDS[kind].layer(
        H, engine=engine, seed=3, return_sequences=True, return_state=True, **KINDS[kind].options, **options
    )
    layer.build((None, None, D))
    for k, variable in enumerate(layer.trainable_variables):
        variable.assign(normal(*variable.shape, seed=k) / np.sqrt(variable.shape[0] if len(variable.shape) == 2 else 4))
    return layer


def outputs_and_gradients(layer, x, states, mask, training, graph=False):
    def call(x, states):
        with tf.GradientTape() as tape:
            tape.watch([x, states])
            outputs = layer(x, initial_state=states, mask=mask, training=training)
            loss = sum(tf.reduce_sum(y * tf.cos(tf.reshape(tf.range(float(tf.size(y))), y.shape))) for y in outputs)
        return outputs, tape.gradient(loss, [x, *states, *layer.trainable_variables])

    return tf.nest.flatten((tf.function(call) if graph else call)(x, states))


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@every_kind
def test_outputs_states_and_all_gradients_are_those_of_the_loop(kind, options, masked):
    for B, T, D, H in SHAPES[:: 3 if options else 1]:
        x, mask = normal(B, T, D), tf.constant(np.random.default_rng(5).random((B, T)) > 0.4) if masked else None
        for training in (False, True):
            results = []
            for engine in ("fused", "loop"):
                layer = layer_of(kind, D, H, engine, **options)
                states = [normal(B, H, seed=7 + k) for k in range(len(layer.state_size))]
                results.append(outputs_and_gradients(layer, x, states, mask, training))
            for ours, expected in zip(*results, strict=True):
                np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4 * (1 + np.abs(expected).max()))


@every_kind
def test_a_graph_gives_what_eager_execution_gives_with_static_shapes(kind):
    layer = layer_of(kind, 3, 17, "fused")
    x, states = normal(5, 4, 3), [normal(5, 17, seed=k) for k in range(len(layer.state_size))]
    eager, graph = (outputs_and_gradients(layer, x, states, None, True, graph) for graph in (False, True))
    for one, other in zip(eager, graph, strict=True):
        np.testing.assert_array_equal(one, other)
    function = tf.function(layer).get_concrete_function(tf.TensorSpec([None, None, 3]))
    assert [output.shape.as_list() for output in function.outputs][:2] == [[None, None, 17], [None, 17]]


@every_kind
def test_a_row_is_the_same_to_the_last_bit_whatever_rows_are_beside_it(kind):
    layer, x = layer_of(kind, 4, 35, "fused"), normal(29, 6, 4)
    together = layer(x)[0]
    for rows in (slice(0, 1), slice(3, 5), slice(7, 20)):
        np.testing.assert_array_equal(layer(x[rows])[0], together[rows])


@every_kind
def test_a_second_derivative_is_that_of_the_loop(kind):
    x, results = normal(2, 3, 2), []
    for engine in ("fused", "loop"):
        layer = layer_of(kind, 2, 5, engine)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.square(layer(x, training=True)[0]))
            penalty = tf.reduce_sum(tf.square(inner.gradient(y, x)))
        results.append(outer.gradient(penalty, [x, *layer.trainable_variables]))
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4)


@every_kind
def test_a_gradient_that_is_taken_twice_is_the_same(kind):
    layer, x = layer_of(kind, 3, 20, "fused"), normal(4, 5, 3)
    with tf.GradientTape(persistent=True) as tape:
        y = tf.reduce_sum(tf.square(layer(x, training=True)[0]))
    first, again = (tape.gradient(y, layer.trainable_variables) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_batch_without_rows_is_none():
    outputs = [output.shape.as_list() for output in layer_of("lstm", 2, 4, "fused")(tf.zeros((0, 3, 2)))]
    assert outputs == [[0, 3, 4], [0, 4], [0, 4]]


def test_not_a_number_stays_one():
    x = normal(3, 4, 2).numpy()
    x[1, 2] = np.nan
    outputs = layer_of("lstm", 2, 20, "fused")(x)[0].numpy()
    assert np.isnan(outputs[1, 2:]).all() and np.isfinite(outputs[1, :2]).all() and np.isfinite(outputs[[0, 2]]).all()


@pytest.mark.parametrize(
    "cell, facts, why",
    [
        (LSTMCell(2, "relu"), {}, "activation=tanh"),
        (GRUCell(2, recurrent_activation="relu"), {}, "recurrent_activation=sigmoid"),
        (LSTMCell(2, dtype="float64"), {}, "float32. Received: float64"),
        (LSTMCell(2, dtype="mixed_bfloat16"), {}, "float32. Received: bfloat16"),
        (keras.layers.LSTMCell(2), {}, "one of the cells of this package"),
        (LSTMCell(2), {"gpu": True}, "a CPU"),
        (LSTMCell(2), {"xla": True}, "a graph that XLA does not compile"),
        (LSTMCell(2), {"unroll": True}, "a loop that is not written out"),
    ],
)
def test_what_it_cannot_run_it_says(cell, facts, why):
    with pytest.raises(ValueError, match=f"engine='fused' needs {why}"):
        engines.choose(engines.Facts(cell, **facts), "fused")


@pytest.mark.parametrize("facts", [{}, {"training": True}, {"graph": True}, {"rows": 1}, {"masked": True}], ids=str)
@every_kind
def test_it_is_chosen_wherever_it_can_run_on_a_cpu(kind, facts):
    cell = KINDS[kind].cell(3, **KINDS[kind].options)
    assert engines.choose(engines.Facts(cell, **facts)) is engines.ENGINES["fused"]


@pytest.mark.parametrize("facts", [{"xla": True}, {"gpu": True}, {"exported": True}, {"unroll": True}], ids=str)
@every_kind
def test_elsewhere_another_engine_is_chosen(kind, facts):
    cell = KINDS[kind].cell(3, **KINDS[kind].options)
    assert engines.choose(engines.Facts(cell, **facts)) is not engines.ENGINES["fused"]


def operations_in(directory):
    """The operations of a SavedModel."""
    saved = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    [meta] = saved.meta_graphs
    nodes = [
        *meta.graph_def.node,
        *(node for function in meta.graph_def.library.function for node in function.node_def),
    ]
    return {node.op for node in nodes}


@every_kind
def test_a_saved_model_has_no_operation_that_only_this_machine_has(kind, tmp_path):
    layer = KINDS[kind].layer(4, **KINDS[kind].options)
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, layer(inputs))
    expected = model.predict(normal(2, 5, 3), verbose=0)
    assert layer.engine_used.name == "fused"
    model.export(tmp_path / "by keras", verbose=False)
    module = tf.Module()
    module.model = model
    module.call = tf.function(lambda x: model(x), input_signature=[tf.TensorSpec([None, None, 3])])
    tf.saved_model.save(module, str(tmp_path / "by tensorflow"))
    for directory in tmp_path.iterdir():
        assert not [name for name in operations_in(directory) if name.startswith("SeqModels")], directory
    saved = tf.saved_model.load(str(tmp_path / "by keras"))
    np.testing.assert_allclose(saved.serve(normal(2, 5, 3)), expected, rtol=1e-5, atol=1e-6)
    assert model.predict(normal(2, 5, 3), verbose=0) == pytest.approx(expected)


def test_a_model_of_keras_is_not_compiled_by_xla_which_has_no_such_operation():
    model = keras.Sequential([keras.Input((5, 3)), LSTM(4)])
    model.compile("sgd", "mse", jit_compile="auto")
    model.fit(normal(2, 5, 3), normal(2, 4), verbose=0)
    assert model.jit_compile is False and model.layers[0].supports_jit is False
    assert model.layers[0].engine_used == ("fused", "cudnn needs a GPU. Received: none")


def test_xla_is_seen_while_a_graph_is_traced():
    layer = GRU(3, engine="fused")
    layer.build((None, None, 4))
    with pytest.raises(ValueError, match="a graph that XLA does not compile. Received: jit_compile=True"):
        tf.function(layer, jit_compile=True)(normal(2, 3, 4))
    assert tf.function(layer)(normal(2, 3, 4)).shape == (2, 3)


# The build

# Without optimization, which takes a compiler most of its time.
LOOK = """
from seq_models.layers.engines.fused import build
build.FLAGS = tuple(flag for flag in build.FLAGS if flag != "-O3")
print(build.problem())
"""


def process_with(**environment):
    """A fresh process that looks for what is compiled."""
    environment = {**os.environ, **environment, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run([sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=True)


def problem_with(**environment):
    return process_with(**environment).stdout.strip()


@pytest.mark.slow
def test_without_a_compiler_that_works_another_engine_is_left(tmp_path):
    assert problem_with(CXX="no-such-compiler", XDG_CACHE_HOME=str(tmp_path)).startswith("a C++ compiler, as c++")
    assert problem_with(CXX="false", XDG_CACHE_HOME=str(tmp_path)).startswith("a C++ compiler that takes its source")
    assert not list((tmp_path / "seq_models").iterdir())


@pytest.mark.slow
def test_what_is_compiled_is_kept_and_a_cache_that_cannot_be_written_costs_time_and_one_sentence(tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    done = process_with(XDG_CACHE_HOME=str(in_the_way))
    assert done.stdout == "None\n"
    [said] = [line for line in done.stderr.splitlines() if line.startswith("seq-models: ")]
    assert f"{in_the_way / 'seq_models'} cannot keep compiled kernels" in said
    done = process_with(XDG_CACHE_HOME=str(tmp_path))
    assert done.stdout == "None\n" and "seq-models: " not in done.stderr
    [library] = (tmp_path / "seq_models").iterdir()
    changed = library.stat().st_mtime_ns
    assert problem_with(XDG_CACHE_HOME=str(tmp_path)) == "None"
    assert library.stat().st_mtime_ns == changed


def test_an_engine_that_is_not_built_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(build, "problem", lambda: "a C++ compiler")
    monkeypatch.setattr("seq_models.layers.engines.fused.engine.problem", build.problem)
    with pytest.raises(ValueError, match="engine='fused' needs a C.. compiler"):
        LSTM(3, engine="fused")(normal(2, 3, 4))


@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"zero_output_for_mask": True}], ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@every_kind
def test_where_only_the_last_output_is_wanted_no_other_is_kept(kind, masked, options):
    layers = [layer_of(kind, 3, 17, engine, **options) for engine in ("fused", "loop")]
    x = normal(*MASK.shape, 3)
    states = [normal(len(MASK), 17, seed=k) for k in range(len(tf.nest.flatten(layers[0].cell.state_size)))]
    mask = MASK if masked else None
    for layer in layers:
        layer.return_sequences = False
    for training in (False, True):
        fused, loop = (outputs_and_gradients(layer, x, states, mask, training) for layer in layers)
        for one, other in zip(fused, loop, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    function = tf.function(layers[0]).get_concrete_function(x)
    [forward] = [o for o in function.graph.get_operations() if o.type.startswith("SeqModels")]
    assert forward.get_attr("whole") is False


@every_kind
def test_two_directions_where_nobody_said_whether_it_is_training(kind):
    fused, loop = (Bidirectional(KINDS[kind].layer(4, engine=e, **KINDS[kind].options)) for e in ("fused", "loop"))
    x = normal(*MASK.shape, 3)
    loop.build(x.shape)
    fused.build(x.shape)
    fused.set_weights(loop.get_weights())
    np.testing.assert_allclose(fused(x, mask=MASK), loop(x, mask=MASK), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_no_sanitizer_objects_and_threads_change_no_bit(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "checks"))
    results = importlib.import_module("fused_sanitizers").results
    runs = results(["-march=native", "-fsanitize=address,undefined"], (1, 3))
    assert [run.returncode for run in runs] == [0, 0], runs
    assert runs[0].stdout == runs[1].stdout
