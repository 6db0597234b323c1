"""Texts of a language model."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seq_models.commands.asking import prompted
from seq_models.errors import InputError, options_from_outside, positive
from seq_models.text.lines import decoded_lines

HELP = "texts of a language model"
# The options of `generate` in Python, which says what they may be: name, type, default, meaning.
OPTIONS: tuple[tuple[str, type, Any, str], ...] = (
    ("max_length", int, 40, "tokens that are added at most, the end included"),
    ("min_length", int, 0, "tokens that are added at least, the end included"),
    ("temperature", float, 1.0, "0 for the most probable token each time"),
    ("top_k", int, 0, "draw from the so many most probable tokens alone, 0 for all"),
    ("top_p", float, 1.0, "draw from the most probable tokens that have so much probability together"),
    ("repetition_penalty", float, 1.0, "above 1 makes what is in the text already less probable"),
    ("beam_width", int, None, "draw nothing: the most probable text that a beam of this width finds"),
)


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--prompt", default="", help="how the text starts")
    start.add_argument(
        "--interactive", action="store_true", help="each line of standard input is a prompt, answered at once"
    )
    parser.add_argument("--count", type=int, default=1, help="number of texts of a prompt")
    for name, kind, default, meaning in OPTIONS:
        flag = f"--{name.replace('_', '-')}"
        shown = "" if default is None else " (default: %(default)s)"
        parser.add_argument(flag, type=kind, default=default, help=meaning + shown)
    parser.add_argument("--seed", type=int, default=0, help="of the first text, one more for each that follows")
    parser.add_argument("--json", action="store_true", help="print text and score, a JSON object a text")


def run(options: Namespace) -> None:
    from seq_models.catalog import load_run

    with options_from_outside():
        positive(count=options.count)
        if options.beam_width is not None and options.count > 1:
            raise ValueError(f"count must be 1 with beam_width. Received: count={options.count}")
    model: Any = load_run(options.directory)
    if not hasattr(model, "generate"):
        raise InputError(f"{options.directory} must be the run of a language model. Received: {model.task_name}")
    values = {name: getattr(options, name) for name, *_ in OPTIONS}
    prompts = _typed() if options.interactive else iter([options.prompt])
    for number, prompt in enumerate(prompts):
        with options_from_outside():
            seed = options.seed + number * options.count
            answers = model.generate([prompt] * options.count, seed=seed, **values)
        for answer in answers:
            print(json.dumps(answer, ensure_ascii=False) if options.json else answer["text"], flush=True)


def _typed() -> Iterator[str]:
    """The lines of standard input as they come."""
    if sys.stdin is None:
        raise InputError("There must be a standard input for --interactive. Received: none")
    for line in prompted(decoded_lines(Path("<stdin>"), sys.stdin.buffer), from_stdin=True):
        yield line.text
