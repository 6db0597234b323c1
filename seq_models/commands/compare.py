"""Which of two runs is better on data, and how sure that is."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from seq_models.commands.data import add_data, columns_of_run, examples
from seq_models.errors import options_from_outside, positive

HELP = "which of two runs is better on data, and how sure that is"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directories", metavar="DIR", nargs=2, help="two runs of one task")
    add_data(parser, "--data")
    parser.add_argument("--resamples", type=int, default=1000, help="samples of the examples (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: Namespace) -> None:
    from seq_models.catalog import load_run
    from seq_models.tasks.comparison import compare
    from seq_models.text.examples import ending_of

    with options_from_outside():
        positive(resamples=options.resamples)
    one, other = map(load_run, options.directories)
    columns = columns_of_run(options.directories[0], ending_of(Path(options.data[0])), options.columns)
    found = compare(one, other, examples(options.data, columns), options.resamples)
    if options.json:
        print(json.dumps(found._asdict()))
        return
    for directory, score in zip(options.directories, (found.one, found.other), strict=True):
        print(f"{found.measure} {score:.4f}  {directory}")
    print(
        f"difference {found.difference:+.4f}, 95 % from {found.low:+.4f} to {found.high:+.4f}, p = {found.p:.4f}; "
        f"{found.examples:,} examples, {options.resamples:,} samples of them"
    )
