"""The engine of cuDNN: when it runs a call, and that it gives what the loop gives.

No GPU is needed: what Keras has on one is replaced by a stand-in with the ways of cuDNN (it reads rows that are padded
at their end, and gives zeros on padding). `benchmarks/gpu_recurrence.py` compares with the real one.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from parity import MASK, B, D, H, T, assert_same, measure, normal, ours, states_of
from toy import small

from seq_models.exports.probes import probes_of
from seq_models.layers import GRU, LSTM, GRUCell, LSTMCell, SimpleRNNCell, engines
from seq_models.layers.engines import cudnn

WHOLE = {"return_sequences": True, "return_state": True}
AT_THE_END = np.array([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1] * 5, [1, 1, 0, 0, 0], [1] * 5, [1, 1, 1, 1, 0]], bool)
EMPTY_ROW = AT_THE_END & (np.arange(B) != 1)[:, None]
ON_A_GPU = {"gpu": True, "graph": True}
every_gated = pytest.mark.parametrize("kind", ["lstm", "gru"])


@pytest.fixture
def gpu(monkeypatch):
    """TensorFlow has a GPU, and Keras a stand-in for cuDNN, which notes the masks of its calls."""
    seen = []

    def stand_in(cell, sequences, states, mask, go_backwards):
        seen.append(mask is not None)
        tf.debugging.assert_positive(tf.shape(sequences)[0])
        if mask is not None:
            padded_at_the_end = tf.sequence_mask(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1), tf.shape(mask)[1])
            tf.debugging.assert_equal(mask, padded_at_the_end)
            tf.debugging.assert_equal(tf.reduce_any(mask, axis=1), True)
        layer = keras.layers.RNN(
            cell, return_sequences=True, return_state=True, go_backwards=go_backwards, zero_output_for_mask=True
        )
        h, *states = layer(sequences, initial_state=list(states), mask=mask, training=False)
        return states[0], h, states

    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: ["gpu:0"] if kind == "gpu" else ["cpu:0"])
    monkeypatch.setattr(cudnn, "recurrence_of_keras", stand_in)
    return seen


@pytest.mark.parametrize(
    "options", [{}, {"go_backwards": True}, {"zero_output_for_mask": True}, {"dropout": 0.5, "seed": 3}], ids=str
)
@pytest.mark.parametrize("mask", [None, AT_THE_END, MASK], ids=["no-mask", "padded-at-the-end", "padded-anywhere"])
@every_gated
def test_it_gives_what_the_loop_gives(kind, mask, options, gpu):
    fast, loop = ours(kind, **options, **WHOLE), ours(kind, engine="loop", **options, **WHOLE)
    loop.set_weights(fast.get_weights())
    x, states = normal(B, T, D), states_of(loop)
    expected = measure(loop, x, states, mask, training=True)
    assert_same(measure(fast, x, states, mask, training=True), expected)
    assert fast.engine_used == ("cudnn", "")
    assert set(gpu) == (set() if mask is MASK else {mask is not None})


@every_gated
def test_a_graph_looks_at_each_mask(kind, gpu):
    layer = ours(kind, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    run = tf.function(
        lambda mask: layer(x, initial_state=states, mask=mask), input_signature=[tf.TensorSpec([B, T], tf.bool)]
    )
    for mask in (AT_THE_END, MASK, AT_THE_END[:, ::-1], np.ones_like(MASK), EMPTY_ROW):
        expected = measure(layer, x, states, mask)
        for k, output in enumerate(run(mask)):
            np.testing.assert_allclose(output, expected[f"output {k}"], rtol=1e-5, atol=1e-6)
    assert gpu.count(True) > 1


@pytest.mark.parametrize("masked", [False, True])
@every_gated
def test_a_batch_of_no_rows_is_none_of_its_calls(kind, masked, gpu):
    layer = ours(kind, **WHOLE)
    signature = [tf.TensorSpec([None, None, D]), tf.TensorSpec([None, None], tf.bool)]
    run = tf.function(lambda x, mask: layer(x, mask=mask if masked else None), input_signature=signature)
    h, *states = run(np.zeros((0, T, D), "float32"), np.zeros((0, T), bool))
    assert h.shape == (0, T, H) and {tuple(state.shape) for state in states} == {(0, H)}
    x = normal(B, T, D)
    for one, other in zip(run(x, AT_THE_END), layer(x, mask=AT_THE_END if masked else None), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_model_answers_the_edges_of_an_export(gpu):
    sizes = {len(next(iter(probe.inputs.values()))) for probe in probes_of(small("classifier"))}
    assert {0, 1, 2, 257} <= sizes
    assert True in gpu


@every_gated
def test_what_keras_cannot_do_after_all_is_done_by_the_loop(kind, gpu, monkeypatch):
    def cannot(*_):
        raise NotImplementedError

    layer = ours(kind, **WHOLE)
    x, states = normal(B, T, D), states_of(layer)
    expected = measure(layer, x, states, AT_THE_END)
    monkeypatch.setattr(cudnn, "recurrence_of_keras", cannot)
    assert_same(measure(layer, x, states, AT_THE_END), expected)


@pytest.mark.parametrize(
    "cell, facts, why",
    [
        (LSTMCell(H), {"gpu": False}, "a GPU. Received: none"),
        (SimpleRNNCell(H), {}, "a LSTMCell or a GRUCell on tensorflow. Received: SimpleRNNCell"),
        (GRUCell(H), {"backend": "jax"}, "a LSTMCell on jax. Received: GRUCell"),
        (LSTMCell(H), {"backend": "torch"}, "the backend tensorflow or jax. Received: torch"),
        (LSTMCell(H, "relu"), {}, "activation=tanh. Received: activation=<function relu"),
        (
            GRUCell(H, recurrent_activation="relu"),
            {},
            "recurrent_activation=sigmoid. Received: recurrent_activation=<f",
        ),
        (GRUCell(H, reset_after=False), {}, "reset_after=True. Received: False"),
        (LSTMCell(H, use_bias=False), {}, "use_bias=True. Received: False"),
        (LSTMCell(H, recurrent_dropout=0.5), {"training": True}, "recurrent_dropout=0 in training. Received: 0.5"),
        (LSTMCell(H), {"unroll": True}, "a loop that is not written out. Received: unroll=True"),
        (LSTMCell(H, dtype="float64"), {}, "float32 or float16 on tensorflow. Received: float64"),
        (LSTMCell(H, dtype="float16"), {"backend": "jax"}, "float32 on jax. Received: float16"),
        (LSTMCell(H), {"backend": "jax", "masked": True}, "a call without a mask on jax. Received: a mask"),
        (LSTMCell(H), {"use_cudnn": False}, "use_cudnn='auto' or True. Received: use_cudnn=False"),
        (LSTMCell(H), {"xla": True}, "a graph that XLA does not compile. Received: jit_compile=True"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_it_cannot_run_another_engine_runs_and_by_name_it_says_why(cell, facts, why):
    facts = engines.Facts(cell, **{**ON_A_GPU, **facts})
    assert engines.choose(facts) is not engines.ENGINES["cudnn"]
    with pytest.raises(ValueError) as error:
        engines.choose(facts, "cudnn")
    assert str(error.value).startswith(f"engine='cudnn' needs {why}")


@pytest.mark.parametrize(
    "cell, facts",
    [
        (LSTMCell(H), {}),
        (GRUCell(H), {"masked": True}),
        (GRUCell(H, dtype="float16"), {}),
        (LSTMCell(H, recurrent_dropout=0.5, dropout=0.5), {}),
        (LSTMCell(H, dropout=0.5), {"training": True}),
    ],
)
def test_what_it_can_run_it_runs_first_of_all(cell, facts):
    assert engines.choose(engines.Facts(cell, **ON_A_GPU, **facts)) is engines.ENGINES["cudnn"]


def test_on_jax_the_loop_is_faster_and_cudnn_is_there_by_name():
    facts = engines.Facts(LSTMCell(H), backend="jax", gpu=True)
    assert engines.choose(facts) is engines.ENGINES["loop"]
    assert engines.choose(facts, "cudnn") is engines.ENGINES["cudnn"]


def test_a_cell_that_derives_from_one_of_ours_may_step_otherwise():
    class Other(LSTMCell):
        pass

    assert engines.choose(engines.Facts(Other(H), **ON_A_GPU)) is engines.ENGINES["loop"]


def test_use_cudnn_means_what_it_means_in_keras(gpu):
    x = normal(B, T, D)
    for use, name in (("auto", "cudnn"), (True, "cudnn"), (False, "loop")):
        layer = GRU(H, use_cudnn=use)
        layer(x)
        assert layer.engine_used.name == name
        assert layer.get_config()["use_cudnn"] == use
        assert layer.supports_jit == (name != "cudnn")  # Keras compiles a model by XLA unless a layer says no


def test_where_it_must_be_and_cannot_the_layer_says_why():
    with pytest.raises(ValueError, match="engine='cudnn' needs a GPU. Received: none"):
        LSTM(H, use_cudnn=True)(normal(B, T, D))


@pytest.mark.parametrize("options", [{"use_cudnn": True, "engine": "loop"}, {"use_cudnn": False, "engine": "cudnn"}])
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(ValueError, match="use_cudnn and engine must not contradict each other. Received: use_cudnn="):
        LSTM(H, **options)


def test_an_export_never_asks_for_it(gpu):
    with engines.using(engines.ForwardLoop()):
        layer = LSTM(H)
        layer(normal(B, T, D))
    assert layer.engine_used == ("ForwardLoop", "")
    assert not gpu


@pytest.mark.parametrize("use", [1, 0, None, "yes"], ids=repr)
def test_use_cudnn_is_auto_or_a_boolean(use):
    with pytest.raises(ValueError, match="use_cudnn must be 'auto', True or False. Received: use_cudnn="):
        LSTM(H, use_cudnn=use)
