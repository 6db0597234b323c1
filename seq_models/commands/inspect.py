"""What is wrong with data, before training on it."""

from argparse import ArgumentParser, Namespace

from seq_models.commands.data import add_data, examples
from seq_models.commands.train import TASK_NAMES
from seq_models.errors import options_from_outside

HELP = "what is wrong with data, before training on it"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("task", choices=TASK_NAMES)
    add_data(parser, "--data")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="options of the text, as of `train`")


def run(options: Namespace) -> None:
    from seq_models.commands.configuration import settings
    from seq_models.tasks import TASKS
    from seq_models.text.inspection import format_report, inspect_examples

    task = TASKS[options.task]
    with options_from_outside():
        text, _ = task.split_options(settings(options.set, {"text": task.preprocessor_class.options_class}))
    print(format_report(inspect_examples(examples(options.data, options.columns), options.task, text)))
