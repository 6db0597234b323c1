"""What is wrong with data, before training on it."""

import json
from argparse import ArgumentParser, Namespace

from seq_models.commands.data import add_data, examples
from seq_models.commands.train import TASK_NAMES
from seq_models.errors import options_from_outside

HELP = "what is wrong with data, before training on it"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("task", choices=TASK_NAMES)
    add_data(parser, "--data")
    parser.add_argument(
        "--held-out", nargs="+", action="extend", metavar="FILE", help="what a model is to be scored on, compared to it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="options of the text, as of `train`"
    )


def run(options: Namespace) -> None:
    from seq_models.catalog import MODELS
    from seq_models.commands.configuration import settings
    from seq_models.options import grouped
    from seq_models.text.inspection import inspect_examples

    groups = {"text": MODELS[options.task].option_groups()["text"]}
    with options_from_outside():
        text = groups["text"](**grouped(settings(options.set, groups), groups)["text"])
    data, held_out = (paths and examples(paths, options.columns) for paths in (options.data, options.held_out))
    report = inspect_examples(data, options.task, text, held_out)
    print(json.dumps(report._asdict(), ensure_ascii=False) if options.json else report)
