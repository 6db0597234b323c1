"""Readouts are the equations of their papers, in every stage of the encoder-decoder that has a context."""

import keras
import numpy as np
import pytest

from seq_models.layers import LinearReadout, LuongReadout, MaxoutReadout
from seq_models.networks import EncoderDecoder

B, T, S, H, M, D, E, V = 2, 3, 4, 5, 6, 7, 3, 9
STAGES = [
    {"readout": "luong"},
    {"readout": "luong", "context": "last"},
    {"readout": "maxout", "layers": 2},
    {"readout": "maxout", "context": "mean", "tie_weights": True},
    {"readout": "luong", "input_feeding": True, "layers": 2, "embedding_units": 4},
    {"readout": "luong", "input_feeding": True, "attention": "dot", "tie_weights": True},
]
SOURCE = np.array([[4, 5, 6, 3], [7, 3, 0, 0]], "int32")
TARGET = np.array([[2, 4, 5], [2, 6, 0]], "int32")


def linear(s, c, y, W, b):
    return np.concatenate([s, c]) @ W + b


def luong(s, c, y, W):
    return np.tanh(np.concatenate([s, c]) @ W)


def maxout(s, c, y, W, b):
    U, C, V = np.split(W, [len(s), len(s) + len(c)])
    pieces = s @ U + c @ C + y @ V + b
    return np.array([max(pieces[2 * j], pieces[2 * j + 1]) for j in range(len(pieces) // 2)])


READOUTS = {"linear": (LinearReadout, linear), "luong": (LuongReadout, luong), "maxout": (MaxoutReadout, maxout)}
every_readout = pytest.mark.parametrize("name", READOUTS)


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def assert_close(actual, expected):
    np.testing.assert_allclose(array(actual), array(expected), rtol=1e-4, atol=1e-5)


def with_random_weights(layer):
    layer.set_weights([np.random.normal(size=w.shape) for w in layer.get_weights()])
    return layer


@every_readout
def test_a_readout_is_its_equation_of_one_step_and_of_many(name):
    layer, equation = READOUTS[name][0](E, dtype="float64"), READOUTS[name][1]
    outputs, y = np.random.normal(size=(B, T, H + M)), np.random.normal(size=(B, T, D))
    layer(outputs, y)
    weights = with_random_weights(layer).get_weights()
    expected = [
        [equation(o[:H], o[H:], word, *weights) for o, word in zip(*row, strict=True)]
        for row in zip(outputs, y, strict=True)
    ]
    np.testing.assert_allclose(array(layer(outputs, y)), expected, rtol=1e-12)
    np.testing.assert_allclose(array(layer(outputs[:, 1], y[:, 1])), np.array(expected)[:, 1], rtol=1e-12)
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("options", STAGES, ids=str)
def test_steps_give_the_logits_of_teacher_forcing_with_every_readout(options):
    network = with_random_weights(EncoderDecoder(V, V, units=H, cell="gru", **options))
    logits = array(network((SOURCE, TARGET)))
    states, stepped = network.start(SOURCE), []
    for t in range(T):
        new, states = network.step(TARGET[:, t], states)
        stepped.append(array(new))
    assert_close(np.stack(stepped, axis=1), logits)
    hidden, after = network.read(TARGET, network.start(SOURCE))
    assert_close(network.head(hidden), logits)
    keras.tree.map_structure(assert_close, after, states)


def test_what_is_fed_changes_the_next_step_and_none_before():
    network = with_random_weights(EncoderDecoder(V, V, units=H, cell="gru", readout="luong", input_feeding=True))
    states = network.start(SOURCE)
    *recurrent, fed = states["recurrent"]
    assert fed.shape == (B, H) and not array(fed).any()
    other = {**states, "recurrent": [*recurrent, fed + 1]}
    logits, changed = (array(network.step(TARGET[:, 0], each)[0]) for each in (states, other))
    assert (logits != changed).any(axis=-1).all()
    first, second = (array(network.read(TARGET, each)[1]["recurrent"][-1]) for each in (states, other))
    assert (first != second).any()


def test_the_word_before_reaches_maxout_past_the_decoder():
    network = EncoderDecoder(V, V, units=H, cell="gru", readout="maxout")
    y = network.target_embedding(TARGET)
    outputs = np.random.normal(size=(B, T, 3 * H)).astype("float32")
    assert (array(network.readout(outputs, y)) != array(network.readout(outputs, y[:, ::-1]))).any()


@pytest.mark.parametrize("options", [{"readout": "maxout"}, {"readout": "luong", "input_feeding": True}], ids=str)
def test_a_readout_survives_its_file(options, tmp_path):
    before = with_random_weights(EncoderDecoder(V, V, units=H, cell="gru", **options))
    before.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    assert after.get_config() == before.get_config() == {**before.get_config(), **options}
    np.testing.assert_array_equal(array(after((SOURCE, TARGET))), array(before((SOURCE, TARGET))))


@pytest.mark.parametrize("name", ["luong", "maxout"])
def test_without_a_context_there_is_none_to_read_out(name):
    with pytest.raises(ValueError, match=f"readout={name} needs a context. Received: context='none'"):
        EncoderDecoder(V, V, context="none", readout=name)


@pytest.mark.parametrize("options", [{"readout": "linear"}, {"readout": "luong", "context": "last"}], ids=str)
def test_what_is_no_attentional_vector_is_not_fed(options):
    with pytest.raises(ValueError, match="input_feeding needs context='attention' and readout='luong'. Received: "):
        EncoderDecoder(V, V, input_feeding=True, **options)
