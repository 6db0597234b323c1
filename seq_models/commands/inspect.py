"""What is wrong with data, before training on it."""

from argparse import ArgumentParser, Namespace

from seq_models.commands.data import add_data, examples
from seq_models.commands.train import TASK_NAMES, setting
from seq_models.errors import options_from_outside

HELP = "what is wrong with data, before training on it"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("task", choices=TASK_NAMES)
    add_data(parser, "--data")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="options of the text, as of `train`")


def run(options: Namespace) -> None:
    from seq_models.tasks import TASKS
    from seq_models.text.inspection import format_report, inspect_examples

    with options_from_outside():
        text, _ = TASKS[options.task].split_options(dict(map(setting, options.set)))
    print(format_report(inspect_examples(examples(options.data, options.columns), options.task, text)))
