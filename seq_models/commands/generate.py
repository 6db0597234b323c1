"""Texts of a language model."""

from argparse import ArgumentParser, Namespace
from typing import Any

from seq_models.errors import InputError, options_from_outside, positive

HELP = "texts of a language model"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--prompt", default="", help="how the text starts")
    parser.add_argument("--count", type=int, default=1, help="number of texts")
    parser.add_argument("--max-length", type=int, default=40, help="tokens at most (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 for the most probable token each time")
    parser.add_argument("--seed", type=int, default=0)


def run(options: Namespace) -> None:
    from seq_models.catalog import load_run

    with options_from_outside():
        positive(count=options.count)
    model: Any = load_run(options.directory)
    if not hasattr(model, "generate"):
        raise InputError(f"{options.directory} must be the run of a language model. Received: {model.task_name}")
    with options_from_outside():
        answers = model.generate(
            [options.prompt] * options.count, options.max_length, options.temperature, options.seed
        )
    for answer in answers:
        print(answer["text"])
