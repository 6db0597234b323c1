"""A picture of where an encoder-decoder looks as it writes."""

import itertools
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from seq_models.commands.data import add_data, columns_of_run, examples
from seq_models.commands.searching import add_search, set_search
from seq_models.errors import InputError, options_from_outside, positive
from seq_models.messages import say

HELP = "draw where an encoder-decoder looks as it writes a target"
PICTURES = (".png", ".svg", ".pdf")


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    add_data(parser, "--data")
    parser.add_argument("--out", required=True, metavar="FILE", help=f"a new file: {' '.join(PICTURES)}")
    parser.add_argument(
        "--example", type=int, default=1, metavar="N", help="which one of the data (default: %(default)s, the first)"
    )
    parser.add_argument("--answer", action="store_true", help="draw the run's own answer instead of the target")
    add_search(parser)


def run(options: Namespace) -> None:
    from seq_models.catalog import load_run
    from seq_models.files import written_whole
    from seq_models.fonts import numbered
    from seq_models.plots import MOST_TOKENS, plot_attention
    from seq_models.text.given import Given

    out = Path(options.out)
    if out.suffix not in PICTURES or out.exists():
        received = f"{out}, which is there" if out.exists() else out
        raise InputError(f"A picture must go to a new file, {' or '.join(PICTURES)}. Received: {received}")
    with options_from_outside():
        positive(example=options.example)
    model: Any = load_run(options.directory)
    if not hasattr(model, "attention"):
        raise InputError(f"{options.directory} must be the run of an encoder-decoder. Received: {model.task_name}")
    set_search(model, options.directory, options)
    source, target, *_ = _example(options, Given(_data(options), model.preprocessor.example_type))
    if options.answer:
        [answer] = model.predict_text([source])
        target = answer["translation"]
    with options_from_outside():
        [(weights, sources, targets)] = model.attention([(source, target)])
    with written_whole(out) as aside:
        plot_attention(weights, sources, targets, aside)
    for name, number in numbered([*sources, *targets]).items():
        print(f"#{number} {name}")
    if (longest := max(len(sources), len(targets))) > MOST_TOKENS:
        say(f"The first {MOST_TOKENS} tokens of a side are drawn, of {longest}.")
    print(out)


def _data(options):
    from seq_models.text.examples import ending_of

    return examples(options.data, columns_of_run(options.directory, ending_of(Path(options.data[0])), options.columns))


def _example(options, data):
    """The example that is asked for."""
    found = list(itertools.islice(data, options.example))
    if len(found) < options.example:
        raise InputError(f"example must be at most {len(found)}, as many as there are. Received: {options.example}")
    return found[-1]
