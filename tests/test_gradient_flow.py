"""The norms of the Jacobians between steps are those of automatic differentiation, and do what the texts say."""

import doctest
import importlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

import seq_models as sm
from seq_models.layers import GRU, LSTM, Bidirectional, GRUCell, SimpleRNN, derivatives, gradient_flow

B, T, D, H = 3, 6, 2, 4
LAYERS = {
    "tanh": (SimpleRNN, {}),
    "relu": (SimpleRNN, {"activation": "relu"}),
    "sigmoid": (SimpleRNN, {"activation": "sigmoid"}),
    "linear without bias": (SimpleRNN, {"activation": "linear", "use_bias": False}),
    "lstm": (LSTM, {}),
    "lstm of relu": (LSTM, {"activation": "relu"}),
    "gru": (GRU, {"reset_after": True}),
    "gru without bias": (GRU, {"reset_after": True, "use_bias": False}),
    "gru, reset before": (GRU, {"reset_after": False}),
}
every_layer = pytest.mark.parametrize("layer_class, options", LAYERS.values(), ids=LAYERS)


def inputs(B=B, T=T, D=D):
    return np.random.default_rng(3).normal(size=(B, T, D))


def built(layer, scale=0.7):
    """The layer with random weights, so that no bias is zero."""
    random = np.random.default_rng(4)
    layer.build((None, None, D))
    layer.set_weights([scale * random.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def keras_cell(layer):
    """The cell of that name in `keras.layers`, with the same weights, in float64."""
    config = {**layer.cell.get_config(), "dtype": "float64", "name": "reference"}
    cell = getattr(keras.layers, type(layer.cell).__name__).from_config(config)
    cell.build((None, D))
    cell.set_weights(layer.get_weights())
    return cell


def jacobians_by_autodiff(layer, x):
    """∂s_T/∂s_t of each state s, h first, for the distances 0 to T: a list of arrays (T+1, B, H, H)."""
    cell, H = keras_cell(layer), layer.units
    start = [tf.zeros((len(x), H), "float64") + 0 for _ in range(2 if isinstance(layer, LSTM) else 1)]
    with tf.GradientTape(persistent=True) as tape:
        trajectory = [start]
        tape.watch(trajectory[0])
        for t in range(x.shape[1]):
            _, states = cell(x[:, t], trajectory[-1])
            trajectory.append([tf.identity(s) for s in states])
        last = trajectory[-1]
    unconnected = tf.UnconnectedGradients.ZERO
    return [
        np.stack([tape.batch_jacobian(last[s], states[s], unconnected).numpy() for states in reversed(trajectory)])
        for s in range(len(last))
    ]


def spectral(jacobians):
    """(T+1, B, H, H) -> (B, T+1)."""
    return np.array([[np.linalg.svd(row)[1].max() for row in rows] for rows in jacobians]).T


# Exactness


@pytest.mark.slow
@every_layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_norms_are_those_of_automatic_differentiation(layer_class, options, dtype):
    layer = built(layer_class(H, dtype=dtype, **options))
    x = inputs()
    flow = gradient_flow(layer, x)
    tolerance = 1e-9 if dtype == "float64" else 2e-5  # the products with W are in the dtype of the layer
    jacobians = jacobians_by_autodiff(layer, x)
    np.testing.assert_allclose(flow.norms, spectral(jacobians[0]), rtol=tolerance, atol=1e-300)
    if layer_class is LSTM:
        np.testing.assert_allclose(flow.cell_norms, spectral(jacobians[1]), rtol=tolerance)
    else:
        assert flow.cell_norms is None and flow.cell_mean is None


@every_layer
def test_a_layer_that_reads_backwards_counts_from_the_beginning(layer_class, options):
    layer, turned = (built(layer_class(H, go_backwards=backwards, **options)) for backwards in (False, True))
    x = inputs()
    np.testing.assert_allclose(gradient_flow(turned, x[:, ::-1]).norms, gradient_flow(layer, x).norms, rtol=1e-6)


@every_layer
def test_shapes_and_the_norm_of_the_identity_at_distance_0(layer_class, options):
    flow = gradient_flow(layer_class(H, **options), inputs())
    assert flow.distances.tolist() == list(range(T + 1))
    assert flow.norms.shape == (B, T + 1)
    assert flow.norms.dtype == "float64"
    np.testing.assert_array_equal(flow.norms[:, 0], np.ones(B))
    if layer_class is LSTM:
        assert flow.cell_norms.shape == (B, T + 1)
        np.testing.assert_array_equal(flow.cell_norms[:, 0], np.ones(B))


def test_the_layer_is_built_if_it_is_not_and_left_as_it_was():
    layer = GRU(H, dropout=0.5, recurrent_dropout=0.5, stateful=True)
    first = gradient_flow(layer, inputs())
    weights = layer.get_weights()
    second = gradient_flow(layer, inputs())
    np.testing.assert_array_equal(first.norms, second.norms)
    for before, after in zip(weights, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_mean_is_the_geometric_one_over_the_rows():
    flow = gradient_flow(built(LSTM(H)), inputs())
    np.testing.assert_allclose(flow.mean, np.prod(flow.norms, axis=0) ** (1 / B))
    np.testing.assert_allclose(flow.cell_mean, np.prod(flow.cell_norms, axis=0) ** (1 / B))


def test_a_row_through_which_nothing_comes_makes_the_mean_zero():
    dead = SimpleRNN(H, activation="relu", bias_initializer=keras.initializers.Constant(-100.0))
    flow = gradient_flow(dead, inputs())
    assert flow.mean.tolist() == [1.0] + [0.0] * T


# The bound


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "linear"])
@pytest.mark.parametrize("scale", [0.1, 0.7, 2.0])
def test_no_norm_of_a_simple_rnn_exceeds_the_bound(activation, scale):
    flow = gradient_flow(built(SimpleRNN(H, activation=activation), scale), inputs(T=30))
    assert flow.bound[0] == 1
    assert np.all(flow.norms <= flow.bound * (1 + 1e-9))


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.1])
def test_a_linear_network_with_a_multiple_of_an_orthogonal_matrix_meets_the_bound(factor):
    layer = SimpleRNN(H, "linear", recurrent_initializer=keras.initializers.Orthogonal(gain=factor), dtype="float64")
    flow = gradient_flow(layer, inputs(T=50))
    np.testing.assert_allclose(flow.bound, factor ** np.arange(51.0), rtol=1e-9)
    np.testing.assert_allclose(flow.norms, np.tile(flow.bound, (B, 1)), rtol=1e-9)


@pytest.mark.parametrize("activation, steepest", [("tanh", 1), ("relu", 1), ("sigmoid", 0.25), ("linear", 1)])
def test_the_bound_is_a_power_of_the_norm_of_the_weights_times_the_steepest_slope(activation, steepest):
    layer = built(SimpleRNN(H, activation=activation))
    largest = np.linalg.svd(layer.get_weights()[1])[1].max()
    expected = (steepest * largest) ** np.arange(T + 1)
    np.testing.assert_allclose(gradient_flow(layer, inputs()).bound, expected, rtol=1e-5)


def test_gated_cells_have_no_bound():
    assert gradient_flow(LSTM(H), inputs()).bound is None
    assert gradient_flow(GRU(H), inputs()).bound is None


def test_every_activation_with_a_derivative_has_its_steepest_slope():
    assert derivatives.STEEPEST.keys() == derivatives.DERIVATIVES.keys()
    z = np.linspace(-5, 5, 2001)
    for g, steepest in derivatives.STEEPEST.items():
        slopes = np.array(derivatives.DERIVATIVES[g](g(tf.constant(z))))
        assert slopes.max() == pytest.approx(steepest)


# What the texts say


def test_a_tanh_network_with_small_weights_vanishes():
    layer = SimpleRNN(H, recurrent_initializer=keras.initializers.Orthogonal(gain=0.5))
    flow = gradient_flow(layer, inputs(T=300))
    assert np.all(np.diff(flow.mean) < 0)
    assert np.all(flow.norms[:, -1] < 1e-80)  # far below what float32 holds
    assert np.all(flow.norms[:, -1] > 0)


def test_a_linear_network_with_larger_weights_explodes():
    flow = gradient_flow(SimpleRNN(H, "linear", recurrent_initializer=keras.initializers.Identity(1.1)), inputs(T=100))
    np.testing.assert_allclose(flow.norms[:, -1], 1.1**100, rtol=1e-5)


def test_a_norm_beyond_floating_point_is_infinite():
    layer = SimpleRNN(H, "linear", recurrent_initializer=keras.initializers.Identity(1e3))
    flow = gradient_flow(layer, inputs(T=120))
    assert np.all(np.isinf(flow.norms[:, -1])) and np.isinf(flow.bound[-1])
    np.testing.assert_allclose(flow.norms[:, 100], 1e300, rtol=1e-6)


def test_an_irnn_in_positive_states_keeps_the_gradient():
    layer = SimpleRNN(
        H, "relu", recurrent_initializer="identity", kernel_initializer="ones", bias_initializer="zeros"
    )  # h_t = h_{t-1} + Σ x_t
    flow = gradient_flow(layer, np.abs(inputs(T=100)) + 0.1)
    np.testing.assert_array_equal(flow.norms, np.ones((B, 101)))


@pytest.mark.slow
def test_the_cell_state_carries_the_gradient_while_the_forget_gate_is_open():
    H, T = 4, 100

    def flow(forget_bias):
        layer = built(LSTM(H), scale=0.002)
        kernel, recurrent, bias = layer.get_weights()
        bias[H : 2 * H] = forget_bias
        layer.set_weights([kernel, recurrent, bias])
        return gradient_flow(layer, inputs(T=T))

    opened, closed = flow(8.0), flow(-2.0)
    assert np.all(np.abs(opened.cell_norms - 1) < 0.25)
    assert np.all(closed.cell_norms[:, -1] < 1e-60)
    # What goes into the cell at the first step back is carried on: h_T feels an early h nearly as much as a late one.
    assert np.all(opened.norms[:, -1] > 0.5 * opened.norms[:, 1])


def test_a_gru_that_keeps_its_state_carries_the_gradient():
    layer = built(GRU(H), scale=0.002)
    kernel, recurrent, bias = layer.get_weights()
    bias[:, :H] = 5.0  # z is near 1: h' = z h + (1 - z) n
    layer.set_weights([kernel, recurrent, bias])
    assert np.all(np.abs(gradient_flow(layer, inputs(T=100)).norms - 1) < 0.1)


# Mistakes

MISTAKES = [
    (lambda: keras.layers.LSTM(H), inputs(), "layer must be a SimpleRNN, LSTM or GRU of seq_models.layers"),
    (lambda: Bidirectional(LSTM(H)), inputs(), "layer must be a SimpleRNN, LSTM or GRU of seq_models.layers"),
    (lambda: GRUCell(H), inputs(), "layer must be a SimpleRNN, LSTM or GRU of seq_models.layers"),
    (
        lambda: SimpleRNN(H, "elu"),
        inputs(),
        "activations among linear, relu, sigmoid, tanh. Received: activation='elu'",
    ),
    (lambda: GRU(H, recurrent_activation="hard_sigmoid"), inputs(), "recurrent_activation='hard_sigmoid'"),
    (lambda: LSTM(H), inputs()[0], r"sequences must have shape \(B, T, D\).*Received: sequences.shape=\(6, 2\)"),
    (lambda: LSTM(H), inputs(T=0), r"with T ≥ 1. Received: sequences.shape=\(3, 0, 2\)"),
    (lambda: built(LSTM(H)), inputs(D=5), r"shape \(B, T, 2\).*Received: sequences.shape=\(3, 6, 5\)"),
]


@pytest.mark.parametrize("make, x, message", MISTAKES)
def test_a_mistake_is_one_sentence(make, x, message):
    with pytest.raises(ValueError, match=message):
        gradient_flow(make(), x)


# The picture


def flows():
    layers = {"tanh": SimpleRNN(H), "relu": SimpleRNN(H, "relu"), "LSTM": LSTM(H), "GRU": GRU(H)}
    return {name: gradient_flow(layer, inputs()) for name, layer in layers.items()}


def test_the_plot_has_a_line_for_each_flow_and_is_written(tmp_path):
    drawn = flows()
    figure = sm.plot_gradient_flow(drawn, tmp_path / "flow.png")
    assert isinstance(figure, Figure)
    assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")
    [axes] = figure.axes
    assert axes.get_yscale() == "log"
    lines = {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}
    for name, flow in drawn.items():
        np.testing.assert_array_equal(lines[name].get_ydata(), flow.mean)
        np.testing.assert_array_equal(lines[name].get_xdata(), flow.distances)
    others = lines.keys() - drawn.keys()
    bounds = {"tanh, bound": drawn["tanh"].bound, "relu, bound": drawn["relu"].bound}
    for name, bound in bounds.items():
        np.testing.assert_array_equal(lines[name].get_ydata(), bound)
        assert lines[name].get_linestyle() == "--"
    [of_cell] = others - bounds.keys()
    assert of_cell.startswith("LSTM")
    np.testing.assert_array_equal(lines[of_cell].get_ydata(), drawn["LSTM"].cell_mean)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(labels) == sorted(lines)


def test_the_plot_draws_into_axes_that_are_given():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert sm.plot_gradient_flow(flows(), axes=right) is figure
    assert not left.get_lines() and right.get_lines()


def test_the_plot_takes_what_vanishes_and_what_is_infinite(tmp_path):
    dead = SimpleRNN(H, activation="relu", bias_initializer=keras.initializers.Constant(-100.0))
    huge = SimpleRNN(H, "linear", recurrent_initializer=keras.initializers.Identity(1e3))
    figure = sm.plot_gradient_flow({n: gradient_flow(layer, inputs(T=120)) for n, layer in (("0", dead), ("∞", huge))})
    figure.savefig(tmp_path / "flow.png")
    assert np.all(np.isfinite(figure.axes[0].get_ylim()))


def test_nothing_to_plot_is_a_mistake():
    with pytest.raises(ValueError, match="flows must hold at least one GradientFlow. Received: flows={}"):
        sm.plot_gradient_flow({})


# The documentation and the benchmark


def test_the_example_of_the_docstring_holds():
    outcome = doctest.testmod(importlib.import_module("seq_models.layers.gradient_flow"))
    assert outcome.attempted > 0 and outcome.failed == 0


BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "long_memory.py"


@pytest.mark.slow
def test_the_benchmark_runs_at_a_small_size(tmp_path):
    out = tmp_path / "long_memory.json"
    command = [sys.executable, BENCHMARK, "--length", "6", "--steps", "20", "--cells", "SimpleRNN", "LSTM"]
    done = subprocess.run([*command, "--out", out], check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
    result = json.loads(out.read_text("utf-8"))
    assert list(result["cells"]) == ["SimpleRNN", "LSTM"]
    for cell, record in result["cells"].items():
        assert record["steps"] == 20 and record["seconds"] > 0
        assert [step for step, _ in record["curve"]] == [20]
        assert f"| {cell} | {record['mse']:.4f} | 20 |" in done.stdout
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_what_was_measured_is_what_the_texts_say():
    result = json.loads((BENCHMARK.parent / "results" / "long_memory.json").read_text("utf-8"))
    errors = {cell: record["mse"] for cell, record in result["cells"].items()}
    assert "200 steps" in result["task"]
    assert errors["SimpleRNN"] > 0.15
    assert max(errors["LSTM"], errors["GRU"], errors["IRNN"]) < 0.01
    for record in result["cells"].values():
        assert all(early < late for (early, _), (late, _) in itertools.pairwise(record["curve"]))
