"""The form of a model that an export holds is equal to that of training, and is left behind with the export."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

import seq_models as sm
from seq_models.exports.form import lstm_over_time, serving_form
from seq_models.layers.recurrent import Recurrent

EXAMPLES = [(["a", "b", "a", "c", "b"], ["A", "B", "A", "C", "B"]), (["c"], ["C"])]
SMALL = {"units": 4, "embedding_units": 3, "characters": False}
LENGTHS = [6, 3, 1, 0]
close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


def numbers(*shape):
    return tf.constant(np.random.default_rng(len(shape)).normal(size=shape), tf.float32)


@pytest.mark.parametrize(
    "go_backwards, use_bias, masked", list(itertools.product([False, True], [True, False], [True, False]))
)
def test_one_operation_is_an_lstm_over_all_steps(go_backwards, use_bias, masked):
    layer = sm.layers.LSTM(5, go_backwards=go_backwards, use_bias=use_bias, return_sequences=True, return_state=True)
    x, states = numbers(4, 6, 3), [numbers(4, 5), 2 * numbers(4, 5)]
    mask = tf.sequence_mask(LENGTHS, 6) if masked else None
    layer(x)
    layer.set_weights([np.array(numbers(*weight.shape)) for weight in layer.get_weights()])
    outputs, *last = layer(x, mask=mask, initial_state=states)
    layer.over_time = functools.partial(lstm_over_time, layer)
    served, *last_served = layer(x, mask=mask, initial_state=states)
    for one, other in zip(last, last_served, strict=True):
        close(other, one)
    real = np.ones((4, 6), bool) if mask is None else mask.numpy()
    real = real[:, ::-1] if go_backwards else real
    close(served.numpy()[real], outputs.numpy()[real])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_a_model_answers_the_same_in_its_form_for_a_server_and_is_itself_again_after_it(cell, bidirectional, tmp_path):
    model = sm.SequenceLabeler.from_examples(EXAMPLES, cell=cell, layers=2, bidirectional=bidirectional, **SMALL)
    text = tf.constant(["a b a c b", "c", "", "b a"])
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, Recurrent)]

    def forms():
        return [(layer.halves, layer.differentiable, "over_time" in vars(layer)) for layer in layers]

    before = forms()
    expected = model.respond(text)
    with pytest.raises(KeyError), serving_form(model, tmp_path):
        assert set(forms()) == {(False, False, cell == "lstm")}
        found = tf.function(model.respond)(text)
        raise KeyError
    assert forms() == before
    for name, answer in expected.items():
        if answer.dtype == tf.string:
            assert (found[name].numpy() == answer.numpy()).all()
        else:
            close(found[name], answer)


def test_an_lstm_with_other_activations_stays_a_loop(tmp_path):
    model = sm.SequenceLabeler.from_examples(EXAMPLES, cell="lstm", layers=1, bidirectional=False, **SMALL)
    [layer] = (layer for layer in model._flatten_layers() if isinstance(layer, Recurrent))
    layer.cell.activation = tf.nn.relu
    with serving_form(model, tmp_path):
        assert "over_time" not in vars(layer)
