"""The examples in docstrings do what they show."""

import doctest
import importlib

import pytest

MODULES = [
    "layers.gru",
    "layers.lstm",
    "layers.simple_rnn",
    "layers.gradient_flow",
    "layers.torch_weights",
    "tasks.encoder_decoder",
    "baselines.ngram_language_model",
    "baselines.window_language_model",
    "tasks.language_model",
    "tasks.sequence_classifier",
    "tasks.sequence_labeler",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name):
    outcome = doctest.testmod(importlib.import_module(f"seq_models.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
