"""The scores of a run on data."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from seq_models.commands.data import add_data, columns_of_run, examples, scores_line
from seq_models.commands.searching import add_search, set_search

HELP = "the scores of a run on data"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    add_data(parser, "--data")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--report",
        metavar="DIR",
        help="write tables by label and by length, the confusion matrix, how sure answers are and the worst "
        "examples there: report.txt, confusion.png, reliability.png, errors.tsv",
    )
    add_search(parser)


def run(options: Namespace) -> None:
    from seq_models.catalog import load_run
    from seq_models.tasks.report import report
    from seq_models.text.counting import say_cut_examples
    from seq_models.text.examples import ending_of

    model: Any = load_run(options.directory)
    set_search(model, options.directory, options)
    columns = columns_of_run(options.directory, ending_of(Path(options.data[0])), options.columns)
    data = examples(options.data, columns)
    scores = model.score(data)
    say_cut_examples(model.preprocessor, data, "examples")
    print(json.dumps(scores) if options.json else scores_line(scores))
    if options.report is not None:
        found = report(model, data)
        found.write(options.report)
        if not options.json:
            print(f"\n{found.text()}")
