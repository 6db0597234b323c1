"""Our layers and cells take what those of `keras.layers` take, also what is old, and have what they have."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from parity import (
    KINDS,
    MASK,
    OPTIONS,
    B,
    D,
    H,
    T,
    as_json,
    assert_same,
    measure,
    normal,
    ours,
    pair,
    states_of,
)

from seq_models.layers import GRU, LSTM, Bidirectional, SimpleRNN

CHECK = Path(__file__).parents[1] / "checks" / "keras_tests.py"
CLASSES = [(KINDS[kind], role) for kind in ("simple-rnn", "lstm", "gru") for role in ("layer", "cell")]
every_class = pytest.mark.parametrize(
    "ours, theirs",
    [(getattr(kind, role), getattr(kind, f"keras_{role}")) for kind, role in CLASSES],
    ids=lambda keras_class: keras_class.__name__,
)
every_implementation = pytest.mark.parametrize("implementation", [0, 1, 2])
every_gated_kind = pytest.mark.parametrize("kind", ["lstm", "gru", "gru-reset-before"])


@pytest.mark.slow
def test_the_tests_of_keras_pass_on_our_layers():
    """All but those of the slowest kind, of which one is left; the script without an expression runs them all."""
    select = "not test_basics or (LSTMTest and test_basics)"
    done = subprocess.run([sys.executable, CHECK, "--select", select], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    passed, failed, listed, _ = map(int, done.stdout.partition("\nall")[2].split()[:4])
    assert passed > 30 and (failed, listed) == (0, 2)


# Arguments by place


@every_class
def test_all_arguments_by_place_are_those_of_keras(ours, theirs):
    names = [name for name in inspect.signature(theirs).parameters if name != "kwargs"]
    values = [OPTIONS[name] for name in names]
    config, expected = (as_json(each(*values, name="x"))["config"] for each in (ours, theirs))
    if theirs is keras.layers.SimpleRNN:
        expected["activity_regularizer"] = as_json(OPTIONS["activity_regularizer"])  # which it takes and drops
    assert {name: config[name] for name in expected} == expected


@every_class
def test_an_argument_too_many_or_twice_or_too_few_is_a_type_error_as_in_keras(ours, theirs):
    too_many = len(inspect.signature(theirs).parameters)
    for arguments, options in [([3] * too_many, {}), ([3, "tanh"], {"activation": "relu"}), ([], {"use_bias": False})]:
        for each in (ours, theirs):
            with pytest.raises(TypeError):
                each(*arguments, **options)


@pytest.mark.parametrize("layer", [SimpleRNN, LSTM, GRU])
def test_a_class_derived_from_a_layer_has_arguments_of_its_own(layer):
    class Doubled(layer):
        def __init__(self, units, activation="relu", times=2, **options):
            super().__init__(units * times, activation, **options)

    doubled = Doubled(H, "tanh", 3, return_sequences=True)
    assert (doubled.units, doubled.return_sequences, doubled.engine) == (3 * H, True, "auto")


# What a layer has


@every_class
def test_a_class_has_all_public_attributes_of_that_of_keras(ours, theirs):
    mine, keras_one = ours(H), theirs(H)
    for each in (mine, keras_one):
        each.build((B, T, D) if isinstance(each, keras.layers.RNN) else (B, D))
    names = {name for name in dir(keras_one) if not name.startswith("_") and hasattr(keras_one, name)}
    assert {name for name in names if not hasattr(mine, name)} == set()
    assert len(names) > 50


def test_both_directions_have_all_public_attributes_of_those_of_keras():
    both, keras_one = Bidirectional(LSTM(H)), keras.layers.Bidirectional(keras.layers.LSTM(H))
    names = {name for name in dir(keras_one) if not name.startswith("_") and hasattr(keras_one, name)}
    assert {name for name in names if not hasattr(both, name)} == set()
    assert inspect.signature(Bidirectional) == inspect.signature(keras.layers.Bidirectional)


@pytest.mark.parametrize("kind", ["simple-rnn", "lstm", "gru"])
def test_the_paths_of_weights_are_those_of_keras(kind):
    for _ in range(2):  # whatever was made before
        layer, keras_layer = KINDS[kind].layer(H, name="x"), KINDS[kind].keras_layer(H, name="x")
        both, keras_both = (
            each(one, name="both") for each, one in ((Bidirectional, layer), (keras.layers.Bidirectional, keras_layer))
        )
        for mine, keras_one in ((layer, keras_layer), (both, keras_both)):
            mine.build((B, T, D))
            keras_one.build((B, T, D))
            assert [weight.path for weight in mine.weights] == [weight.path for weight in keras_one.weights]


# implementation=


def with_given_masks(layer, inputs_mask, states_mask):
    """The layer, dropping what it is told to: in Keras by the same mask for each gate, where it asks for several."""
    cell = layer.cell
    count = getattr(cell, "dropout_mask_count", None)
    masks = [mask if count is None else [mask] * count for mask in (inputs_mask, states_mask)]
    cell.get_dropout_mask, cell.get_recurrent_dropout_mask = (lambda _, m=m: m for m in masks)
    return layer


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("rates", [{}, {"dropout": 0.5}, {"recurrent_dropout": 0.5}], ids=["none", "inputs", "states"])
@every_implementation
@every_gated_kind
def test_an_implementation_and_its_dropout_are_those_of_keras(kind, implementation, rates, training):
    masks = [2.0 * (np.random.random(shape) < 0.5).astype("float32") for shape in ((B, D), (B, H))]
    # use_cudnn=False, because Keras fails where cuDNN may be and there is a dropout mask for each gate.
    options = {"implementation": implementation, "use_cudnn": False, "return_sequences": True, **rates}
    layer, keras_layer = (with_given_masks(each, *masks) for each in pair(kind, **options))
    x, states = normal(B, T, D), states_of(layer)
    measured = measure(layer, x, states, MASK, training=training)
    assert_same(measured, measure(keras_layer, x, states, MASK, training=training))
    if training and rates:
        without = measure(layer, x, states, MASK)
        assert np.abs(measured["output 0"] - without["output 0"]).max() > 1e-3


@every_gated_kind
def test_every_implementation_drops_the_same(kind):
    layers = [ours(kind, implementation=n, dropout=0.4, recurrent_dropout=0.3, seed=5) for n in (0, 1, 2)]
    x, states = normal(B, T, D), states_of(layers[0])
    for layer in layers:
        layer.set_weights(layers[0].get_weights())
    first, *others = (measure(layer, x, states, training=True) for layer in layers)
    for other in others:
        assert_same(other, first, 0)


@every_implementation
@every_gated_kind
def test_an_implementation_is_kept_as_in_keras(kind, implementation):
    """By the cell; neither writes it into its configuration, and both read it from an old one."""
    layer, keras_layer = pair(kind, implementation=implementation)
    assert layer.cell.implementation == keras_layer.cell.implementation == implementation
    config = layer.get_config()
    assert "implementation" not in {**config, **keras_layer.get_config(), **layer.cell.get_config()}
    old = json.loads(json.dumps({**config, "implementation": implementation}))
    for read in (type(layer).from_config(old), type(layer.cell)(H, implementation=implementation)):
        assert getattr(read, "cell", read).implementation == implementation
    assert type(layer).from_config(old).get_config() == config


@pytest.mark.parametrize("value", [3, -1, None, "1", 1.5], ids=repr)
@every_gated_kind
def test_another_implementation_is_one_sentence(kind, value):
    for each in (KINDS[kind].layer, KINDS[kind].cell):
        with pytest.raises(
            ValueError, match=rf"^implementation must be 0, 1 or 2. Received: implementation={value!r}$"
        ):
            each(H, implementation=value)


def test_a_network_without_gates_has_no_implementation_as_in_keras():
    theirs = "Unrecognized keyword arguments.*implementation"
    ours = "SimpleRNN must be given its own options, as .*Received: implementation=1"
    for each, message in ((SimpleRNN, ours), (keras.layers.SimpleRNN, theirs)):
        with pytest.raises(ValueError, match=message):
            each(H, implementation=1)
