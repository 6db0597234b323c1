"""Each attention is its equation, leaves padding out, and stays finite."""

from typing import NamedTuple

import keras
import numpy as np
import pytest
import reference
import reference_attention
from parity import as_json, evaluate

from seq_models.layers import AdditiveAttention, BilinearAttention, DotAttention, ScaledDotAttention, attention

B, S, D, Q, A = 4, 5, 3, 2, 6
MASK = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
PADDED_ROW = 2


class Kind(NamedTuple):
    """An attention: how to make it, the size of its query, and its score in NumPy."""

    make: callable
    query_units: int
    score: callable


KINDS = {
    "additive": Kind(lambda **options: AdditiveAttention(A, **options), Q, reference_attention.additive_score),
    "bilinear": Kind(BilinearAttention, Q, reference_attention.bilinear_score),
    "dot": Kind(DotAttention, D, reference_attention.dot_score),
    "scaled-dot": Kind(ScaledDotAttention, D, reference_attention.scaled_dot_score),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_mask = pytest.mark.parametrize("mask", [None, MASK], ids=["no-mask", "mask"])


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def example(kind, dtype="float64", scale=1.0):
    """A built attention with random weights, a query and values."""
    layer = KINDS[kind].make(dtype=dtype)
    layer.build((B, KINDS[kind].query_units), (B, S, D))
    layer.set_weights([np.random.normal(size=w.shape) for w in layer.get_weights()])
    query = scale * np.random.normal(size=(B, KINDS[kind].query_units))
    return layer, query, scale * np.random.normal(size=(B, S, D))


def in_numpy(kind, query, values, weights, mask=None):
    rows = [
        reference_attention.attend(KINDS[kind].score, query[b], values[b], weights, None if mask is None else mask[b])
        for b in range(len(query))
    ]
    return np.stack([context for context, _ in rows]), np.stack([alpha for _, alpha in rows])


# The equations


@every_mask
@every_kind
def test_context_and_weights_are_those_of_the_equations(kind, mask):
    layer, query, values = example(kind)
    context, weights = layer(query, values, mask=mask)
    expected_context, expected_weights = in_numpy(kind, query, values, layer.get_weights(), mask)
    np.testing.assert_allclose(array(weights), expected_weights, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(array(context), expected_context, rtol=1e-12, atol=1e-12)


@every_mask
@every_kind
def test_gradients_are_the_finite_differences_of_the_equations(kind, mask):
    layer, query, values = example(kind)
    measured = evaluate(lambda q, v: layer(q, v, mask=mask), [query, values], layer.trainable_variables)
    gradients = [value for name, value in measured.items() if name.startswith("gradient")]

    def loss(query, values, *weights):
        flat = [output.reshape(-1) for output in in_numpy(kind, query, values, weights, mask)]
        return sum(numbers @ np.cos(np.arange(numbers.size)) for numbers in flat)

    expected = reference.finite_differences(loss, [query, values, *layer.get_weights()])
    assert len(gradients) == len(expected)
    for gradient, difference in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, difference, rtol=1e-7, atol=1e-8)


@every_kind
def test_weights_have_the_documented_shapes(kind):
    layer, _, _ = example(kind)
    shapes = {w.name: tuple(w.shape) for w in layer.weights}
    assert (
        shapes
        == {
            "additive": {"query_kernel": (Q, A), "key_kernel": (D, A), "bias": (A,), "score_kernel": (A, 1)},
            "bilinear": {"kernel": (Q, D)},
            "dot": {},
            "scaled-dot": {},
        }[kind]
    )


@every_kind
def test_keys_made_before_are_the_keys_made_inside(kind):
    layer, query, values = example(kind)
    keys = layer.keys(keras.ops.convert_to_tensor(values))
    for with_keys, without in zip(layer(query, values, keys, MASK), layer(query, values, mask=MASK), strict=True):
        np.testing.assert_array_equal(array(with_keys), array(without))


# Padding


@every_kind
def test_weights_sum_to_one_on_real_steps_and_are_zero_on_padding(kind):
    layer, query, values = example(kind, "float32")
    weights = array(layer(query, values, mask=MASK)[1])
    assert (weights[~MASK] == 0).all() and (weights[MASK] > 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), MASK.any(axis=1), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
@every_kind
def test_a_row_of_padding_gives_zeros_and_finite_gradients(kind, dtype):
    layer, query, values = example(kind, dtype)
    inputs = [query.astype("float32"), values.astype("float32")]
    measured = evaluate(lambda q, v: layer(q, v, mask=MASK), inputs, layer.trainable_variables)
    assert (measured["output 0"][PADDED_ROW] == 0).all() and (measured["output 1"][PADDED_ROW] == 0).all()
    for name, value in measured.items():
        assert np.isfinite(value.astype("float32")).all(), name
    for k in range(2):
        assert (measured[f"gradient of input {k}"][PADDED_ROW] == 0).all()


@every_kind
def test_more_padding_changes_nothing(kind):
    layer, query, values = example(kind)
    longer = np.concatenate([values, 50 * np.random.normal(size=(B, 2, D))], axis=1)
    for mask in (MASK, np.ones((B, S), bool)):
        context, weights = map(array, layer(query, values, mask=mask))
        padded_context, padded_weights = map(array, layer(query, longer, mask=np.pad(mask, ((0, 0), (0, 2)))))
        np.testing.assert_allclose(padded_context, context, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(padded_weights, np.pad(weights, ((0, 0), (0, 2))), rtol=1e-12, atol=1e-12)


@every_kind
def test_a_mask_of_ones_is_no_mask(kind):
    layer, query, values = example(kind)
    for masked, plain in zip(layer(query, values, mask=np.ones((B, S), bool)), layer(query, values), strict=True):
        np.testing.assert_allclose(array(masked), array(plain), rtol=1e-12)


@every_kind
def test_padding_cannot_win_however_high_its_score(kind):
    layer, query, values = example(kind, "float32")
    values[:, 4] *= 1e3
    mask = np.array([[1, 1, 1, 1, 0]] * B, bool)
    expected = layer(query, values[:, :4])[0]
    np.testing.assert_allclose(array(layer(query, values, mask=mask)[0]), array(expected), rtol=1e-5, atol=1e-6)


# Rows, steps, dtypes


@every_kind
def test_permuting_rows_permutes_outputs_and_permuting_steps_permutes_weights(kind):
    layer, query, values = example(kind)
    context, weights = map(array, layer(query, values, mask=MASK))
    rows, steps = np.random.permutation(B), np.random.permutation(S)
    turned = layer(query[rows], values[rows][:, steps], mask=MASK[rows][:, steps])
    np.testing.assert_allclose(array(turned[0]), context[rows], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(array(turned[1]), weights[rows][:, steps], rtol=1e-12, atol=1e-12)


@every_kind
def test_float16_stays_finite_and_near_float32(kind):
    half, query, values = example(kind, "mixed_float16")
    whole = KINDS[kind].make(dtype="float32")
    whole.build(query.shape, values.shape)
    whole.set_weights(half.get_weights())
    for output, expected in zip(half(query, values, mask=MASK), whole(query, values, mask=MASK), strict=True):
        assert keras.backend.standardize_dtype(output.dtype) == "float16"
        np.testing.assert_allclose(array(output), array(expected), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("scale", [60, -60])
@every_kind
def test_float16_stays_finite_where_scores_are_large(kind, scale):
    layer, query, values = example(kind, "mixed_float16")
    query, values = 60 * np.ones_like(query), scale * np.ones_like(values)
    layer.set_weights([np.ones(w.shape) for w in layer.get_weights()])
    context, weights = map(array, layer(query, values, mask=MASK))
    expected = MASK / np.maximum(MASK.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(weights, expected, rtol=1e-3)
    np.testing.assert_allclose(context, scale * np.repeat(MASK.any(axis=1)[:, None], D, axis=1), rtol=1e-2)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_masked_softmax_takes_every_score_that_float16_has(dtype):
    scores = np.array([[-6e4, -6e4, -6e4], [6e4, 6e4, 6e4], [-5e4, 5e4, 6e4]], dtype)
    mask = np.array([[0, 0, 0], [1, 0, 1], [1, 1, 0]], bool)
    weights = array(attention.masked_softmax(keras.ops.convert_to_tensor(scores), mask))
    np.testing.assert_array_equal(weights, [[0, 0, 0], [0.5, 0, 0.5], [0, 1, 0]])


# The contract of a layer


@every_kind
def test_config_and_weights_round_trip(kind):
    layer, query, values = example(kind)
    again = keras.saving.deserialize_keras_object(as_json(layer))
    assert as_json(again) == as_json(layer)
    again.set_weights(layer.get_weights())
    for output, expected in zip(again(query, values), layer(query, values), strict=True):
        np.testing.assert_array_equal(array(output), array(expected))


@every_kind
def test_a_layer_in_a_functional_model_survives_its_file(kind, tmp_path):
    query, values = keras.Input((KINDS[kind].query_units,)), keras.Input((None, D))
    mask = keras.Input((None,), dtype="bool")
    layer = KINDS[kind].make()
    outputs = layer(query, values, mask=mask)
    assert [tuple(output.shape) for output in outputs] == [(None, D), (None, None)]
    model = keras.Model([query, values, mask], outputs)
    model.set_weights([np.random.normal(size=w.shape) for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    inputs = [np.random.normal(size=(B, KINDS[kind].query_units)), np.random.normal(size=(B, S, D)), MASK]
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    for output, expected in zip(reloaded(inputs), model(inputs), strict=True):
        np.testing.assert_array_equal(array(output), array(expected))


def test_dot_attention_refuses_two_sizes():
    with pytest.raises(ValueError, match=rf"one size .*Received: query {Q}, values {D}"):
        DotAttention()(np.ones((B, Q)), np.ones((B, S, D)))


@pytest.mark.parametrize("units", [0, -1, 2.0, True, None, "4"])
def test_units_must_be_a_positive_integer(units):
    with pytest.raises(ValueError, match=f"units must be a positive integer. Received: units={units!r}"):
        AdditiveAttention(units)
