"""Which engine runs a call, and that another one gives the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from parity import MASK, B, D, H, T, as_json, assert_same, every_kind, measure, normal, ours, states_of

from seq_models.layers import GRU, LSTM, Bidirectional, GRUCell, LSTMCell, SimpleRNNCell, engines
from seq_models.layers.engines import loop
from seq_models.layers.engines.fused import engine as fused
from seq_models.layers.recurrent import Recurrent

PLAIN = [name for name in engines.ENGINES if name not in ("cudnn", "fused")]  # the others have tests of their own
WHOLE = {"return_sequences": True, "return_state": True}
IN_A_GRAPH = {"graph": True}
CHOICES = [
    ({}, "loop"),
    ({"training": True}, "loop"),
    ({"rows": 100}, "loop"),
    ({"unroll": True}, "steps"),
    (IN_A_GRAPH, "halves"),
    ({**IN_A_GRAPH, "training": True}, "halves"),
    ({**IN_A_GRAPH, "rows": 32}, "halves"),
    ({**IN_A_GRAPH, "rows": 31}, "loop"),
    ({**IN_A_GRAPH, "rows": 1}, "loop"),
    ({**IN_A_GRAPH, "gpu": True}, "cudnn"),
    ({**IN_A_GRAPH, "gpu": True, "use_cudnn": False}, "loop"),
    ({**IN_A_GRAPH, "beside": True}, "loop"),
    ({**IN_A_GRAPH, "unroll": True}, "steps"),
]


class Counting(engines.Loop):
    """A loop that can run an LSTM only, and keeps what it was given."""

    def __init__(self):
        self.runs = []

    def why_not(self, facts):
        return None if isinstance(facts.cell, LSTMCell) else "an LSTM"

    def run(self, run):
        self.runs.append(run)
        return super().run(run)


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch):
    """What is chosen where nothing can be compiled; test_fused.py has the rest."""
    monkeypatch.setattr(fused, "problem", lambda: "a C++ compiler")


@pytest.fixture
def chosen(monkeypatch):
    """The facts of each call of a layer and the name of the engine that ran it."""
    calls, choose = [], engines.choose

    def noted(facts, engine):
        calls.append((facts, {each: name for name, each in engines.ENGINES.items()}[choose(facts, engine)]))
        return choose(facts, engine)

    monkeypatch.setattr(engines, "choose", noted)
    return calls


# The choice


@pytest.mark.parametrize("facts, engine", CHOICES)
def test_the_choice_of_an_engine(facts, engine):
    assert engines.choose(engines.Facts(LSTMCell(64), **facts)) is engines.ENGINES[engine]


@pytest.mark.parametrize(
    "rows, units, engine", [(None, 63, "loop"), (8, 256, "halves"), (7, 256, "loop"), (1, 9999, "loop")]
)
def test_rows_are_halved_where_a_step_is_work_enough(rows, units, engine):
    assert engines.choose(engines.Facts(GRUCell(units), graph=True, rows=rows)) is engines.ENGINES[engine]


@pytest.mark.parametrize("facts", [{}, IN_A_GRAPH], ids=["eager", "graph"])
@pytest.mark.parametrize(
    "cell",
    [SimpleRNNCell(H, "elu"), LSTMCell(H, recurrent_activation="hard_sigmoid"), GRUCell(H, tf.math.sin)],
    ids=["elu", "hard_sigmoid", "no activation of Keras"],
)
def test_a_cell_without_known_derivatives_runs_step_by_step(cell, facts):
    assert engines.choose(engines.Facts(cell, **facts)) is engines.ENGINES["steps"]


@pytest.mark.parametrize("engine", PLAIN)
@pytest.mark.parametrize("facts, _", CHOICES)
def test_a_name_is_the_engine_of_that_name_where_it_can_run_the_call(facts, _, engine):
    facts = engines.Facts(LSTMCell(H), **facts)
    if facts.unroll and engine != "steps":
        with pytest.raises(ValueError, match=f"engine='{engine}' needs a loop that is not written out. Received: unr"):
            engines.choose(facts, engine)
    else:
        assert engines.choose(facts, engine) is engines.ENGINES[engine]


@pytest.mark.parametrize("options", [{}, {"dropout": 0.5}, {"recurrent_dropout": 0.5}, {"go_backwards": True}], ids=str)
@pytest.mark.parametrize("activation", ["relu", None, "sigmoid"])
@every_kind
def test_every_known_derivative_and_dropout_stay_on_the_loop(kind, activation, options, chosen):
    ours(kind, activation=activation, **options)(normal(B, T, D), mask=MASK, training=True)
    assert [(engine, facts.training) for facts, engine in chosen] == [("loop", True)]


def test_the_facts_are_those_of_the_call(chosen, monkeypatch):
    monkeypatch.setattr(loop, "ENOUGH", 8 * H)
    layer, unrolled, both = ours("lstm"), ours("gru", unroll=True), Bidirectional(ours("gru"))
    layer(normal(B, T, D))
    unrolled(normal(2, T, D), training=True)
    for rows in (None, 9, 7):
        tf.function(lambda x: (layer(x), both(x))).get_concrete_function(tf.TensorSpec([rows, T, D]))
    expected = [("loop", B, False, False), ("steps", 2, False, False)]
    for rows, engine in ((None, "halves"), (9, "halves"), (7, "loop")):
        expected += [(engine, rows, True, False), ("loop", rows, True, True), ("loop", rows, True, True)]
    assert [(engine, facts.rows, facts.graph, facts.beside) for facts, engine in chosen] == expected
    assert [facts.cell for facts, _ in chosen[:2]] == [layer.cell, unrolled.cell]
    assert [facts.training for facts, _ in chosen[:2]] == [False, True]
    assert [facts.unroll for facts, _ in chosen[:2]] == [False, True]
    assert not any(facts.gpu for facts, _ in chosen)


def test_a_gpu_is_seen(chosen, monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: ["gpu:0"] if kind == "gpu" else ["cpu:0"])
    tf.function(ours("lstm")).get_concrete_function(tf.TensorSpec([None, T, D]))
    assert [(engine, facts.gpu) for facts, engine in chosen] == [("cudnn", True)]


def test_after_two_directions_a_layer_halves_its_rows_again(chosen, monkeypatch):
    monkeypatch.setattr(loop, "ENOUGH", 8 * H)
    layer, both = ours("lstm"), Bidirectional(ours("lstm"))
    tf.function(lambda x: layer(x) + layer(x + both(x)[:, :1, None])).get_concrete_function(tf.TensorSpec([None, T, D]))
    assert [engine for _, engine in chosen] == ["halves", "loop", "loop", "halves"]


# The argument


@pytest.mark.slow
@pytest.mark.parametrize(
    "mask, options, graph",
    [(None, {}, False), (MASK, {"go_backwards": True, "zero_output_for_mask": True}, False), (MASK, {}, True)],
    ids=["no-mask", "mask-backwards-zero-output", "mask-graph"],
)
@every_kind
def test_every_engine_gives_the_same_outputs_states_and_gradients(kind, mask, options, graph):
    layers = [ours(kind, engine=engine, dtype="float64", **options, **WHOLE) for engine in ("auto", *PLAIN)]
    x, states = normal(B, T, D), states_of(layers[0])
    inputs = [x.astype("float64"), [state.astype("float64") for state in states]]
    expected = measure(layers[0], *inputs, mask, training=True)
    for layer in layers[1:]:
        layer.set_weights(layers[0].get_weights())
        assert_same(measure(layer, *inputs, mask, compiled={} if graph else None, training=True), expected, 1e-12)
    with engines.using(engines.ForwardLoop()):
        forward = layers[0](x, initial_state=states, mask=mask)
    for k, output in enumerate(forward):
        np.testing.assert_allclose(output, expected[f"output {k}"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}], ids=["dropout", "recurrent"])
@every_kind
def test_every_engine_drops_the_same(kind, options):
    x = normal(B, T, D)
    layers = [ours(kind, engine=engine, seed=7, **options) for engine in PLAIN]
    outputs = []
    for layer in layers:
        layer.set_weights(layers[0].get_weights())
        outputs.append(layer(x, training=True))
    with engines.using(engines.ForwardLoop()):
        layers[0].cell.seed_generator.state.assign([7, 0])
        outputs.append(layers[0](x, training=True))
    assert np.abs(outputs[0] - layers[0](x)).max() > 1e-3
    for output in outputs[1:]:
        np.testing.assert_allclose(output, outputs[0], rtol=1e-5, atol=1e-6)


@every_kind
def test_only_training_keeps_the_gates(kind):
    layer = ours(kind, engine="loop")

    def kept(training):
        function = tf.function(lambda x: layer(x, training=training))
        operations = function.get_concrete_function(tf.TensorSpec([None, T, D])).graph.get_operations()
        [loop] = [operation for operation in operations if "While" in operation.type]
        return len(loop.outputs)

    assert kept(True) - kept(False) == 2 * layer.cell.gradient().gates  # carried, and stacked over the steps


def test_an_engine_is_kept_with_the_options():
    layer = LSTM(H, engine="halves")
    assert as_json(layer)["config"]["engine"] == "halves"
    assert keras.saving.deserialize_keras_object(as_json(layer)).engine == "halves"
    assert as_json(LSTM(H))["config"]["engine"] == "auto"


def test_an_engine_that_is_none_is_refused_when_the_layer_is_made():
    with pytest.raises(
        ValueError, match="engine must be one of auto, cudnn, fused, halves, loop, steps. Received: engine='gpu'"
    ):
        LSTM(H, engine="gpu")


@pytest.mark.parametrize("engine", ["loop", "halves"])
def test_an_engine_that_cannot_run_a_layer_says_why(engine):
    x = normal(B, T, D)
    with pytest.raises(ValueError, match=f"engine='{engine}' needs a loop that is not written out. Received: unroll=T"):
        LSTM(H, engine=engine, unroll=True)(x)
    needed = "needs activations among linear, relu, sigmoid, tanh. Received: activation='tanh', recurrent_activation="
    with pytest.raises(ValueError, match=f"engine='{engine}' {needed}'elu'"):
        LSTM(H, engine=engine, recurrent_activation="elu")(x)


# The scope


def test_a_scope_asks_for_an_engine_which_runs_what_it_can():
    counting, x = Counting(), normal(B, T, D)
    lstm, gru = LSTM(H, engine="steps"), GRU(H, activation="elu")
    with engines.using(counting):
        lstm(x)
        gru(x)
        inside = keras.layers.RNN(LSTMCell(H))  # a layer of Keras
        inside(x)
    assert [run.layer for run in counting.runs] == [lstm]
    lstm(x)
    assert len(counting.runs) == 1


def test_the_first_of_several_that_can_is_taken_and_an_inner_scope_hides_the_outer_one():
    first, second, inner, x = Counting(), Counting(), Counting(), normal(B, T, D)
    layer = LSTM(H)
    with pytest.raises(KeyError), engines.using(first, second):
        layer(x)
        with engines.using(inner):
            layer(x)
        layer(x)
        raise KeyError
    layer(x)
    assert [len(each.runs) for each in (first, second, inner)] == [2, 0, 1]


def test_an_engine_is_asked_for_what_the_layer_wants():
    counting = Counting()
    for options, wanted in (({}, False), ({"return_state": True}, True), ({"stateful": True}, True)):
        with engines.using(counting):
            LSTM(H, **options)(normal(B, T, D))
        assert counting.runs[-1].last_states is wanted


def test_the_rows_of_a_run_are_rows_of_all_that_it_holds():
    whole = engines.Run(
        LSTM(H), *(normal(B, 2), [normal(B, 3), normal(B, 4)], normal(B, 5), normal(B, 6), normal(B, 7))
    )
    part = whole.of_rows(slice(2, 4))
    for name in ("sequences", "mask", "keep_inputs", "keep"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[2:4])
    for state, expected in zip(part.states, whole.states, strict=True):
        np.testing.assert_array_equal(state, expected[2:4])


def test_no_layer_of_ours_is_without_a_choice():
    """What stands in `Recurrent` runs every layer: no subclass has a loop of its own."""
    assert all("inner_loop" not in vars(each) and "call" not in vars(each) for each in Recurrent.__subclasses__())
