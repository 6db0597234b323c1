"""One vector from a sequence: the last, mean or highest of the real tokens, and of nothing else."""

import keras
import numpy as np
import pytest
from parity import as_json, evaluate, normal

from seq_models.layers import AttentionPooling, LastPooling, MaxPooling, MeanPooling

B, T, H = 5, 4, 6
MASK = np.array([[1, 1, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
PADDED_ROW = 3


def last(h):
    return h[-1]


def last_both_ways(h):
    return np.concatenate([h[-1, : H // 2], h[0, H // 2 :]])


_random = np.random.default_rng(3)
W, b, u = (_random.normal(size=shape).astype("float32") for shape in ((H, H), (H,), (H, 1)))


def attending(**options):
    layer = AttentionPooling(**options)
    layer.build((None, None, H))
    layer.set_weights([W, b, u])
    return layer


def attended(h):
    scores = np.exp(np.tanh(h @ W + b) @ u)
    return (scores * h).sum(axis=0) / scores.sum()


POOLINGS = {
    "last": (LastPooling, last),
    "last both ways": (lambda **options: LastPooling(bidirectional=True, **options), last_both_ways),
    "mean": (MeanPooling, lambda h: h.mean(axis=0)),
    "max": (MaxPooling, lambda h: h.max(axis=0)),
    "attention": (attending, attended),
}
every_pooling = pytest.mark.parametrize("pooling", POOLINGS)


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def in_numpy(pooling, h, mask):
    """The real tokens of each row, taken out one row at a time; zeros where there are none."""
    rows = [POOLINGS[pooling][1](row[real]) if real.any() else np.zeros(H) for row, real in zip(h, mask, strict=True)]
    return np.stack(rows)


@pytest.mark.parametrize("shift", [0, -5], ids=["any sign", "all below zero"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["no-mask", "mask"])
@every_pooling
def test_a_pooling_is_that_of_numpy_on_the_real_tokens(pooling, mask, shift):
    h = normal(B, T, H) + shift
    pooled = array(POOLINGS[pooling][0]()(h, mask=mask))
    expected = in_numpy(pooling, h, np.ones((B, T), bool) if mask is None else mask)
    np.testing.assert_allclose(pooled, expected, rtol=1e-6, atol=1e-6)


@every_pooling
def test_a_row_without_real_tokens_gives_zeros_and_no_gradient(pooling):
    layer = POOLINGS[pooling][0]()
    measured = evaluate(lambda h: layer(h, mask=MASK), [normal(B, T, H)], [])
    assert (measured["output 0"][PADDED_ROW] == 0).all()
    gradient = measured["gradient of input 0"]
    assert np.isfinite(gradient).all() and (gradient[~MASK] == 0).all()
    assert (np.abs(gradient[[row for row in range(B) if row != PADDED_ROW]]).max(axis=(1, 2)) > 0).all()


@every_pooling
def test_more_padding_changes_nothing_and_permuting_rows_permutes_outputs(pooling):
    layer, h, rows = POOLINGS[pooling][0](), normal(B, T, H), np.random.permutation(B)
    pooled = array(layer(h, mask=MASK))
    longer = np.concatenate([h, 100 * normal(B, 2, H)], axis=1)
    padded = array(layer(longer[rows], mask=np.pad(MASK, ((0, 0), (0, 2)))[rows]))
    np.testing.assert_allclose(padded, pooled[rows], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("unit", [keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN])
def test_last_pooling_of_right_padded_rows_gives_the_final_states(unit):
    x, mask = normal(B, T, 3), np.arange(T) < np.array([[4], [1], [3], [2], [4]])
    one_way = unit(H, return_sequences=True, return_state=True)
    h, final, *_ = one_way(x, mask=mask)
    np.testing.assert_array_equal(array(LastPooling()(h, mask=mask)), array(final))

    both_ways = keras.layers.Bidirectional(unit(H, return_sequences=True, return_state=True))
    h, *finals = both_ways(x, mask=mask)
    expected = np.concatenate([array(finals[0]), array(finals[len(finals) // 2])], axis=1)
    np.testing.assert_array_equal(array(LastPooling(bidirectional=True)(h, mask=mask)), expected)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@every_pooling
def test_half_precision_pools_sequences_longer_than_it_can_count(pooling, dtype):
    steps = 600  # bfloat16 has no whole number between 512 and 516
    mask = np.arange(steps) < np.array([[steps], [steps - 1], [300]])
    h = normal(3, steps, H)
    pooled = array(keras.ops.cast(POOLINGS[pooling][0](dtype=dtype)(h, mask=mask), "float32"))
    np.testing.assert_allclose(pooled, in_numpy(pooling, h, mask), rtol=0.01, atol=0.01)


@every_pooling
def test_the_mask_of_the_sequence_is_used_and_not_passed_on(pooling):
    tokens = keras.Input((None,), dtype="int32")
    h = keras.layers.Embedding(9, H, mask_zero=True)(tokens)
    pooled = POOLINGS[pooling][0]()(h)
    assert pooled.shape == (None, H)
    assert keras.src.backend.get_keras_mask(pooled) is None
    model = keras.Model(tokens, [h, pooled])
    ids = np.where(MASK, np.random.randint(1, 9, (B, T)), 0)
    vectors, outputs = model(ids)
    np.testing.assert_allclose(array(outputs), in_numpy(pooling, array(vectors), MASK), rtol=1e-6, atol=1e-7)


@every_pooling
def test_config_and_file_round_trip(pooling, tmp_path):
    layer = POOLINGS[pooling][0](name="pool")
    assert as_json(keras.saving.deserialize_keras_object(as_json(layer))) == as_json(layer)
    inputs = keras.Input((None, H))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    h = normal(B, T, H)
    np.testing.assert_array_equal(array(keras.saving.load_model(tmp_path / "model.keras")(h)), array(model(h)))
