"""Scheduled sampling: what the decoder is told falls as the paper says, and what it is told instead is the model's."""

import numpy as np
import pytest
import tensorflow as tf
from toy import EXAMPLES, small

from seq_models.text.vocabulary import END, PAD, START
from seq_models.training.options import TranslationTrainingOptions
from seq_models.training.scheduled_sampling import ScheduledSampling


@pytest.fixture(scope="module")
def model():
    found = small("encoder-decoder", cell="gru", bidirectional=False)
    random = np.random.default_rng(3)
    found.network.set_weights([random.normal(size=w.shape) for w in found.network.get_weights()])
    found.network.head.bias.assign([9, 0, 9, 9, 1, 1, 1, 1, 1])  # what is never drawn is probable
    return found


@pytest.fixture
def batch(model):
    return model.batch(EXAMPLES["encoder-decoder"])[0]


def compiled(model, **sampling):
    model.compile("sgd", scheduled_sampling=sampling or None)
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.parametrize(
    ("decay", "by_hand"),
    [("linear", lambda i, k: 1 - i / k), ("inverse_sigmoid", lambda i, k: k / (k + np.exp(i / k)))],
)
def test_the_share_of_truth_falls_as_in_the_paper_to_its_floor(decay, by_hand):
    schedule = ScheduledSampling(decay, 50, floor=0.2)
    for i in (0, 10, 30, 60, 400, 10_000_000):
        with np.errstate(over="ignore"):
            assert float(schedule.truth(tf.constant(i))) == pytest.approx(max(0.2, by_hand(float(i), 50)), rel=1e-5)


def test_at_first_the_decoder_is_told_the_target(model, batch):
    source, target = batch
    for same, given in zip(compiled(model, decay="linear", steps=9).partly_drawn(*batch), batch, strict=True):
        np.testing.assert_array_equal(same, given)
    model.optimizer.iterations.assign(9)
    drawn = model.partly_drawn(*batch)[1].numpy()
    assert (drawn != target.numpy()).any()
    np.testing.assert_array_equal(drawn[:, 0], START)
    np.testing.assert_array_equal(drawn == PAD, target.numpy() == PAD)
    assert not np.isin(drawn[:, 1:], [START, END]).any()


def test_the_share_that_is_told_is_that_of_the_step_and_the_draws_are_of_the_step_and_the_seed(model, batch):
    source, target = (tf.repeat(ids[:1], 400, axis=0) for ids in batch)
    uniform = compiled(model, decay="linear", steps=10, seed=4).scheduled_sampling.uniform
    model.optimizer.iterations.assign(7)
    told = (uniform(tf.constant([2, *target.shape]), 7)[0] < 0.3).numpy()
    drawn, again = (model.partly_drawn(source, target)[1].numpy() for _ in range(2))
    np.testing.assert_array_equal(drawn, again)
    assert (drawn == target.numpy())[told].all() and told.mean() == pytest.approx(0.3, abs=0.03)
    numbers = [uniform([999], 7), uniform([999], 8), ScheduledSampling("linear", 10, seed=5).uniform([999], 7)]
    assert np.abs(np.corrcoef(numbers) - np.eye(3)).max() < 0.1


def test_what_is_drawn_has_the_models_probability_after_all_that_was_drawn_before(model, batch):
    source, target = (tf.repeat(ids[:1], 3000, axis=0) for ids in batch)
    compiled(model, decay="linear", steps=1).optimizer.iterations.assign(1)
    drawn = model.partly_drawn(source, target)[1].numpy()
    assert (target[0, :3].numpy() != PAD).all()
    for first in np.unique(drawn[:, 1])[:2]:
        rows = drawn[:, 1] == first
        logits = model.network((source[:1], tf.constant([[START, first]])))[0, 1].numpy().astype(float)
        logits[[PAD, START, END]] = -np.inf
        expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        shares = np.bincount(drawn[rows, 2], minlength=len(expected)) / rows.sum()
        assert (np.abs(shares - expected) <= 4 * np.sqrt(expected * (1 - expected) / rows.sum()) + 1e-3).all()


def test_a_step_trains_on_what_was_drawn_and_validation_on_the_target(model):
    inputs, targets, weights = model.batch(EXAMPLES["encoder-decoder"])
    compiled(model, decay="linear", steps=1).optimizer.iterations.assign(1)
    drawn = model.partly_drawn(*inputs)
    np.testing.assert_allclose(model.read(inputs, training=True), model.network.body(drawn), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.read(inputs, training=False), model.network.body(inputs), rtol=1e-5, atol=1e-5)


def test_the_compiled_configuration_says_it(model):
    config = compiled(model, decay="inverse_sigmoid", steps=5, floor=0.1).get_compile_config()
    assert config["scheduled_sampling"] == {"decay": "inverse_sigmoid", "steps": 5, "floor": 0.1, "seed": 1}
    model.compile_from_config(config)
    assert model.scheduled_sampling == ScheduledSampling("inverse_sigmoid", 5, 0.1)
    assert "scheduled_sampling" not in compiled(model).get_compile_config() and model.scheduled_sampling is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sampling_steps": 3},
            "sampling_steps must be left out without scheduled_sampling. Received: sampling_steps=3",
        ),
        ({"sampling_floor": 0.5}, "sampling_floor must be left out without scheduled_sampling"),
        ({"scheduled_sampling": "linear"}, "sampling_steps must be given with scheduled_sampling"),
        ({"scheduled_sampling": "cosine"}, "scheduled_sampling must be one of linear, inverse_sigmoid"),
        ({"scheduled_sampling": "linear", "sampling_steps": 0}, "sampling_steps must be a positive integer"),
    ],
)
def test_options_that_say_half_of_it_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TranslationTrainingOptions(**options)
