"""A fourth unit is one file and one line of `UNITS`: it then works wherever the others do, and as they do."""

import json

import numpy as np
import pytest
import tensorflow as tf
from min_gru import MinGRU
from parity import MASK, B, D, H, T, assert_same, evaluate, measure, normal, randomize, states_of
from toy import EXAMPLES, TEXTS, small

import seq_models as sm
from seq_models import cli
from seq_models.layers import UNITS, gradient_flow
from seq_models.training.watching.through_time import through_time

ALL = {**UNITS, "min_gru": MinGRU}
every_unit = pytest.mark.parametrize("unit", ALL)
FILES = {
    "language-model": {"lm.txt": TEXTS},
    "labeler": {"tags.bio": ["".join(f"{t} {g}\n" for t, g in zip(*e, strict=True)) for e in EXAMPLES["labeler"]]},
    "classifier": {"class.tsv": ["\t".join(example) for example in EXAMPLES["classifier"]]},
    "encoder-decoder": {
        "a.en": [source for source, _ in EXAMPLES["encoder-decoder"]],
        "b.de": [target for _, target in EXAMPLES["encoder-decoder"]],
    },
}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(UNITS, "min_gru", MinGRU)


def layer_of(unit, **options):
    """A layer of a unit in float64 with random weights that returns all there is."""
    layer = ALL[unit](H, dtype="float64", return_sequences=True, return_state=True, **options)
    layer.build((B, T, D))
    return randomize(layer)


def doubles(layer):
    return [normal(B, T, D).astype("float64"), [state.astype("float64") for state in states_of(layer)]]


def step_by_step(cell, x, states, mask=None):
    """Outputs of all steps and the last states of a cell that is stepped by hand."""
    states, output, outputs = list(states), tf.zeros_like(states[0]), []
    for t in range(T):
        _, after = cell(x[:, t], states)
        live = np.full((B, 1), True) if mask is None else mask[:, t : t + 1]
        output = tf.where(live, after[0], output)
        states = [tf.where(live, new, old) for new, old in zip(after, states, strict=True)]
        outputs.append(output)
    return tf.stack(outputs, axis=1), *states


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["no-mask", "mask"])
@every_unit
def test_outputs_states_and_gradients_are_those_of_the_cell_stepped_by_hand(unit, mask, training):
    layer = layer_of(unit)
    x, states = doubles(layer)
    by_hand = evaluate(
        lambda x, *states: step_by_step(layer.cell, x, states, mask), [x, *states], layer.trainable_variables
    )
    for compiled in (None, {}):
        assert_same(measure(layer, x, states, mask, compiled, training=training), by_hand, 1e-11)


@every_unit
def test_with_dropout_of_the_states_the_gradients_are_those_of_the_cell_with_the_same_mask(unit):
    layer = layer_of(unit, recurrent_dropout=0.5, seed=3)
    x, states = doubles(layer)
    measured = measure(layer, x, states, training=True)
    layer.cell.seed_generator.state.assign([3, 0])
    stepped = lambda x, *states: step_by_step(lambda *a: layer.cell(*a, training=True), x, states)  # noqa: E731
    assert_same(measured, evaluate(stepped, [x, *states], layer.trainable_variables), 1e-11)


@pytest.mark.slow
@every_unit
def test_the_gradient_flow_is_that_of_jacobians_by_automatic_differentiation(unit):
    layer = layer_of(unit)
    x = normal(B, T, D).astype("float64")
    flow = gradient_flow(layer, x)
    with tf.GradientTape(persistent=True) as tape:
        trajectory = [[tf.identity(state) for state in layer.cell.get_initial_state(B)]]
        tape.watch(trajectory)
        for t in range(T):
            trajectory.append([tf.identity(state) for state in layer.cell(x[:, t], trajectory[-1])[1]])
        last = trajectory[-1]
    for norms, s in ((flow.norms, 0), (flow.cell_norms, 1)):
        if s == len(last):
            assert norms is None
            continue
        by = [tape.batch_jacobian(last[s], before[s]) for before in reversed(trajectory)]
        np.testing.assert_allclose(norms.T, np.linalg.norm(np.array(by), ord=2, axis=(-2, -1)), rtol=1e-9)
    assert (flow.bound is not None) == (unit == "simple_rnn")


@every_unit
def test_what_a_step_returns_first_are_the_gates_that_have_names(unit):
    cell = layer_of(unit).cell
    _, kept = cell.step(np.zeros((B, cell.blocks * H)), cell.get_initial_state(B), cell.recurrent_weights())
    assert len(cell.gate_names) <= len(kept) == cell.gradient().gates
    assert len(set(cell.gate_names)) == len(cell.gate_names)


@pytest.mark.slow
@pytest.mark.parametrize(  # a classifier does in test_recipes.py
    "task, more", [("language-model", []), ("labeler", ["characters=false"]), ("encoder-decoder", [])]
)
def test_a_task_trains_predicts_and_exports_with_a_new_unit(task, more, tmp_path, capsys):
    for name, lines in FILES[task].items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "in.txt").write_text("a b\nc a e\n", "utf-8")
    names, run = [str(tmp_path / name) for name in FILES[task]], str(tmp_path / "run")
    options = ["cell=min_gru", "epochs=1", "units=4", "batch_size=4", "tokenizer=whitespace", "watch_share=0", *more]
    data = ["--train", *names, "--valid", *names, "--out", run]
    assert cli.main(["train", task, *data, "--set", *options]) == 0
    capsys.readouterr()
    model = sm.load_run(run)
    assert any(isinstance(part, MinGRU) for part in model._flatten_layers())
    assert cli.main(["predict", run, "--input", str(tmp_path / "in.txt"), "--json"]) == 0
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == 2
    model.sample_texts = TEXTS[:2]
    assert sm.export(model, tmp_path / "exports").name == "1"  # the gate has let it through


def test_the_gates_of_a_new_unit_are_watched_by_name():
    model = small("language-model", cell="min_gru")
    norms, gates = through_time(model, *model.batch(["a b c d e"]))
    assert norms.keys() == {"recurrent_1"} and np.all(norms["recurrent_1"] > 0)
    assert gates.keys() == {"recurrent_1/forget", "recurrent_1/candidate"}


@pytest.mark.parametrize("task", FILES)
def test_an_unknown_cell_is_answered_with_the_units_that_there_are_at_that_time(task):
    with pytest.raises(ValueError, match="cell must be one of simple_rnn, lstm, gru, min_gru. Received: cell='mingru'"):
        small(task, cell="mingru")
