"""Dropout of words, steps and weights, and the penalties on activations, each against its equation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from parity import KINDS, MASK, B, D, H, T, normal, ours, states_of
from toy import TEXTS, small

from seq_models.layers import LSTM
from seq_models.layers.dropout import Dropout, EmbeddingDropout
from seq_models.networks import LanguageModel
from seq_models.tasks import TASKS
from seq_models.training.strategy import make_strategy

WHOLE = {"return_sequences": True, "return_state": True}
every_kind = pytest.mark.parametrize("kind", KINDS)
ALL = {"layers": 2, "dropout": 0.3, "variational": True, "embedding_dropout": 0.3, "weight_dropout": 0.4}
ALL |= {"input_dropout": 0.2, "output_dropout": 0.5, "activation_penalty": 2.0, "temporal_penalty": 1.0}


def test_a_variational_mask_is_the_same_at_every_step_and_another_in_every_row_and_call():
    layer, x = Dropout(0.5, variational=True), np.ones((B, T, 50), "float32")
    one, other = (np.asarray(layer(x, training=True)) for _ in range(2))
    assert set(np.unique(one)) == {0, 2}
    np.testing.assert_array_equal(one, np.broadcast_to(one[:, :1], one.shape))
    assert (one[0] != one[1]).any() and (one != other).any()
    plain = np.asarray(Dropout(0.5)(x, training=True))
    assert (plain[:, 0] != plain[:, 1]).any()


@pytest.mark.parametrize("variational", [True, False])
@pytest.mark.parametrize("task", TASKS)
def test_every_network_draws_one_mask_for_all_steps_of_a_row_if_so_asked(task, variational):
    network = small(task, dropout=0.5, variational=variational, units=20, embedding_units=20).network
    ids = np.tile([[4, 5, 6, 4, 5]], (3, 1))
    inputs = [ids[..., None] if len(each.shape) == 3 else ids for each in network.inputs]
    found = []
    for layer in network.layers:
        if isinstance(layer, Dropout):
            outputs = keras.tree.flatten(keras.Model(network.inputs, layer.output)(inputs, training=True))
            found += [np.asarray(output) == 0 for output in outputs if len(output.shape) == 3]
    assert found and all(0 < dropped.mean() < 1 for dropped in found)
    assert [(dropped == dropped[:, :1]).all() for dropped in found] == [variational] * len(found)


def test_a_dropped_word_is_dropped_at_all_its_places():
    V = 40
    layer, tokens = EmbeddingDropout(V, 0.5), np.random.default_rng(0).integers(V, size=(30, 20))
    embedded = np.ones((30, 20, 3), "float32")
    dropped = np.asarray(layer(embedded, tokens, training=True))
    values = [np.unique(dropped[tokens == word]) for word in range(V)]
    assert all(len(each) == 1 for each in values)
    assert {float(each[0]) for each in values} == {0, 2}
    again = np.asarray(layer(embedded, tokens, training=True))
    assert (again != dropped).any()
    np.testing.assert_array_equal(layer(embedded, tokens), embedded)


@pytest.mark.parametrize("engine", ["loop", "halves", "fused"])
@every_kind
def test_training_runs_with_some_weights_of_u_dropped_the_same_at_every_step(kind, engine):
    dropping = ours(kind, engine="auto" if engine == "fused" else engine, weight_dropout=0.5, seed=3, **WHOLE)
    plain = ours(kind, engine="loop", **WHOLE)
    x, states = normal(B, T, D), states_of(plain)
    for layer in (dropping, plain):
        layer.build(x.shape)
    plain.set_weights(dropping.get_weights()[: len(plain.get_weights())])
    U, seed = plain.cell.recurrent_kernel.numpy(), dropping.cell.seed_generator
    before = seed.state.numpy()
    kept = np.asarray(keras.random.dropout(np.ones_like(U), 0.5, seed=seed))
    assert set(np.unique(kept)) == {0, 2}
    seed.state.assign(before)
    plain.cell.recurrent_kernel.assign(U * kept)
    results = []
    for layer in (dropping, plain):
        with tf.GradientTape() as tape:
            outputs = layer(x, initial_state=states, mask=MASK, training=True)
            loss = sum(tf.reduce_sum(tf.sin(y)) for y in outputs)
        results.append([*outputs, *tape.gradient(loss, layer.trainable_variables)])
    names = [variable.name for variable in plain.trainable_variables]
    at_u = 1 + len(states) + names.index("recurrent_kernel")
    results[1][at_u] = results[1][at_u] * kept  # the gradient of a dropped weight is 0
    for ours_, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours_, expected, atol=2e-5)
    plain.cell.recurrent_kernel.assign(U)
    for ours_, expected in zip(dropping(x, mask=MASK), plain(x, mask=MASK), strict=True):
        np.testing.assert_allclose(ours_, expected, atol=1e-6)  # without training nothing is dropped


@pytest.mark.parametrize("options", [{"unroll": True}, {"engine": "steps"}, {"activation": "softsign"}], ids=str)
def test_what_only_steps_can_run_has_no_dropped_weights(options):
    layer, x = LSTM(H, weight_dropout=0.5, **options), normal(B, T, D)
    assert layer(x).shape == (B, H)
    with pytest.raises(ValueError, match="engine='steps' needs weight_dropout=0 in training"):
        layer(x, training=True)


@pytest.mark.parametrize("rate", [1.0, -0.1, "much"])
def test_a_rate_of_weights_is_one(rate):
    with pytest.raises(ValueError, match="weight_dropout must be .* Received: weight_dropout="):
        LSTM(H, weight_dropout=rate)


def test_a_layer_with_dropped_weights_has_a_config():
    assert LSTM.from_config(LSTM(H, weight_dropout=0.25).get_config()).weight_dropout == 0.25


def penalty_of(h, dropped, weights, options):
    """α mean (m * h_t)² + β mean (h_t - h_{t-1})² over the real tokens of a batch, by NumPy."""
    squares = options["activation_penalty"] * (dropped**2).mean(axis=-1)
    squares[:, 1:] += options["temporal_penalty"] * ((h[:, 1:] - h[:, :-1]) ** 2).mean(axis=-1)
    return (squares * weights).sum() / weights.sum()


def test_the_penalties_are_means_over_the_real_tokens_and_no_part_of_the_loss():
    rates = {"activation_penalty": 2e3, "temporal_penalty": 3e3}
    plain, penalized = small("language-model"), small("language-model", **rates)
    [(inputs, targets, weights)] = plain.dataset(TEXTS, batch_size=len(TEXTS))
    assert (weights.numpy() == 0).any()
    h = plain.network.body(inputs).numpy()
    expected = penalty_of(h, h, weights.numpy(), rates)
    hidden, penalties = penalized.network.regularized(penalized.network.body(inputs, training=True))
    np.testing.assert_array_equal(hidden, h)
    tokens = weights.numpy().sum()
    np.testing.assert_allclose((penalties * weights).numpy().sum() / tokens, expected, rtol=1e-5)
    for model in (plain, penalized):
        model.compile("sgd")
    summed = [model._summed_loss((inputs, targets, weights), training=True) / tokens for model in (plain, penalized)]
    np.testing.assert_allclose(summed[1] - summed[0], expected, rtol=1e-4)
    assert plain.token_loss.result() == penalized.token_loss.result()
    without = penalized._summed_loss((inputs, targets, weights), training=False) / tokens
    np.testing.assert_allclose(without, summed[0], rtol=1e-6)


def test_one_penalty_is_of_the_dropped_outputs_and_the_other_of_those_before():
    network = LanguageModel(7, units=5, output_dropout=0.5, activation_penalty=1.0)
    h = normal(B, T, 5)
    dropped, penalty = network.regularized(h)
    assert (dropped.numpy() == 0).any()
    np.testing.assert_allclose(penalty, (dropped.numpy() ** 2).mean(axis=-1), rtol=1e-5)
    network = LanguageModel(7, units=5, output_dropout=0.5, temporal_penalty=1.0)
    _, penalty = network.regularized(h)
    np.testing.assert_allclose(penalty[:, 1:], (np.diff(h, axis=1) ** 2).mean(axis=-1), rtol=1e-5)
    assert not penalty[:, 0].numpy().any()


def step(name, batch_size, accumulate=1):
    with make_strategy(name).scope():
        model = small("language-model", activation_penalty=5.0, temporal_penalty=5.0)
        model.compile(keras.optimizers.SGD(1.0), accumulate=accumulate)
    model.fit(model.dataset(TEXTS, batch_size=batch_size), verbose=0)
    return model.get_weights()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "accumulate"), [("mirrored", 1), ("one", 3)])
def test_penalties_of_several_replicas_and_parts_are_those_of_one(name, accumulate):
    for ours_, expected in zip(step(name, len(TEXTS), accumulate), step("one", len(TEXTS)), strict=True):
        np.testing.assert_allclose(ours_, expected, atol=1e-5)


def after_a_step(options, strategy="one", **compiled):
    """The weights of a language model before and after a step of gradient descent with learning rate 1."""
    keras.utils.set_random_seed(4)
    with make_strategy(strategy).scope():
        model = small("language-model", tie_weights=True, **options)
        model.compile(keras.optimizers.SGD(1.0), clip_norm=None, **compiled)
    before = model.get_weights()
    model.fit(model.dataset(TEXTS, batch_size=len(TEXTS)), verbose=0)
    return before, model.get_weights(), [weight.path.startswith("projection") for weight in model.weights]


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "accumulate"), [("one", 1), ("one", 3), ("mirrored", 1)])
def test_the_norm_of_a_projection_pulls_on_it_alone(strategy, accumulate):
    sizes = {"units": 5, "embedding_units": 4}
    _, plain, _ = after_a_step(sizes)
    before, penalized, of_projection = after_a_step(
        {**sizes, "projection_penalty": 0.3}, strategy, accumulate=accumulate
    )
    assert sum(of_projection) == 1
    for P, one, other, pulled in zip(before, plain, penalized, of_projection, strict=True):
        pull = 0.3 * P / np.sqrt((P**2).sum()) if pulled else 0
        np.testing.assert_allclose(other, one - pull, atol=2e-6)


def test_a_penalty_on_the_projection_makes_one_where_none_were_needed():
    network = LanguageModel(9, units=5, tie_weights=True, projection_penalty=0.1)
    P = network.get_layer("projection").kernel
    assert P.shape == (5, 5)
    np.testing.assert_allclose(network.losses, [0.1 * np.linalg.norm(P)], rtol=1e-6)
    network = LanguageModel(9, units=5, tie_weights=True)
    assert "projection" not in [layer.name for layer in network.layers]


def test_reading_from_states_drops_and_gives_what_the_functional_model_does():
    networks = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        networks.append(LanguageModel(9, units=6, embedding_units=4, **ALL))
    tokens = tf.constant(np.random.default_rng(1).integers(1, 9, size=(B, T)), tf.int32)
    body, (read, states) = (
        networks[0].body(tokens, training=True),
        networks[1].read(tokens, networks[1].start(tokens), training=True),
    )
    np.testing.assert_allclose(body, read, atol=1e-6)
    ours_, expected = (network.regularized(hidden) for network, hidden in zip(networks, (read, body), strict=True))
    np.testing.assert_allclose(ours_[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(ours_[1], expected[1], atol=1e-6)
    assert len(states) == 2


def test_the_options_have_no_effect_but_in_training():
    plain, all_on = small("language-model", layers=2), small("language-model", **ALL)
    all_on.set_weights([*plain.get_weights(), *all_on.get_weights()[len(plain.get_weights()) :]])
    [(inputs, *_)] = plain.dataset(TEXTS, batch_size=len(TEXTS))
    for training_free in (lambda model: model.network(inputs), lambda model: model.network.body(inputs)):
        np.testing.assert_array_equal(training_free(plain), training_free(all_on))


@pytest.mark.parametrize(
    "wrong",
    [{"variational": True}, {"input_dropout": 1.0}, {"activation_penalty": -1.0}, {"projection_penalty": 0.1}],
    ids=str,
)
def test_options_without_effect_or_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="Received: "):
        LanguageModel(9, **wrong)
