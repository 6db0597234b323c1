"""What is wrong with data, before training on it."""

from argparse import ArgumentParser, Namespace

from seq_models.commands.data import add_data, examples
from seq_models.commands.train import TASK_NAMES

HELP = "what is wrong with data, before training on it"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("task", choices=TASK_NAMES)
    add_data(parser, "--data")


def run(options: Namespace) -> None:
    from seq_models.text.inspection import format_report, inspect_examples

    print(format_report(inspect_examples(examples(options.data, options.columns), options.task)))
