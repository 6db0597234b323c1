"""The flags that say how the answers of an encoder-decoder are searched for."""

import dataclasses
from argparse import ArgumentParser, Namespace
from typing import Any

from seq_models.errors import InputError, options_from_outside

# The options of `SearchOptions`, which says what they may be: name, type, meaning.
OPTIONS: tuple[tuple[str, type, str], ...] = (
    ("beam_width", int, "beginnings that are followed at each step, 1 is greedy"),
    ("length_penalty", str, "gnmt or average"),
    ("length_alpha", float, "exponent of the length penalty, 0 for none"),
    ("coverage_penalty", float, "weight of the penalty for source words without attention, 0 for none"),
    ("min_length", int, "tokens at least, the end included"),
    ("no_repeat_ngram", int, "so many tokens in a row do not come twice, 0 if they may"),
    ("replace_unknown", bool, "write unknown words, each as the source word with most attention"),
)


def add_search(parser: ArgumentParser) -> None:
    """Adds a flag for each option; what is left out is that of the run."""
    group = parser.add_argument_group("how an encoder-decoder searches for its answers (default: as the run says)")
    for name, kind, meaning in OPTIONS:
        how: dict[str, Any] = {"action": "store_true", "default": None} if kind is bool else {"type": kind}
        group.add_argument(f"--{name.replace('_', '-')}", help=meaning, **how)


def set_search(model: Any, directory: str, options: Namespace) -> None:
    """Lets the model of a run search as the flags say."""
    values = {name: getattr(options, name) for name, *_ in OPTIONS if getattr(options, name) is not None}
    if not values:
        return
    if not hasattr(model, "search"):
        flag = f"--{next(iter(values)).replace('_', '-')}"
        raise InputError(f"{directory} must be the run of an encoder-decoder for {flag}. Received: {model.task_name}")
    with options_from_outside():
        model.search = dataclasses.replace(model.search, **values)
        model.wanted(1)
