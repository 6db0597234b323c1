"""Which of two runs is better on data, and how sure that is."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from seq_models.commands.data import add_data, columns_of_run, examples
from seq_models.commands.searching import add_search, set_search

HELP = "which of two runs is better on data, and how sure that is"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directories", metavar="DIR", nargs=2, help="two runs of one task")
    add_data(parser, "--data")
    parser.add_argument("--resamples", type=int, default=1000, help="samples of the examples (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_search(parser)


def run(options: Namespace) -> None:
    from seq_models.catalog import load_run
    from seq_models.tasks.comparison import compare
    from seq_models.text.counting import say_cut_examples
    from seq_models.text.examples import ending_of

    one, other = map(load_run, options.directories)
    for model, directory in zip((one, other), options.directories, strict=True):
        set_search(model, directory, options)
    ending = ending_of(Path(options.data[0]))
    known = (columns_of_run(directory, ending, options.columns) for directory in options.directories)
    data = examples(options.data, next(filter(None, known), None))
    found = compare(one, other, data, options.resamples)
    for model in (one, other):
        say_cut_examples(model.preprocessor, data, "examples")
    if options.json:
        print(json.dumps(found._asdict()))
        return
    for directory, score in zip(options.directories, (found.one, found.other), strict=True):
        print(f"{found.measure} {score:.4f}  {directory}")
    lower = " (lower is better)" if found.lower_is_better else ""
    interval = f"95 % from {found.low:+z.4f} to {found.high:+z.4f}, p = {found.p:.4f}"
    counts = f"{found.examples:,} examples, {options.resamples:,} samples of them"
    print(f"difference{lower} {found.difference:+z.4f}, {interval}; {counts}")
