"""The confidence of a run, fitted on data that it was not trained on."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from seq_models.commands.data import add_data, columns_of_run, examples
from seq_models.errors import InputError

HELP = "make a run as sure as it is right, and abstain where it is not sure"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    add_data(parser, "--data")
    parser.add_argument(
        "--abstain",
        metavar="accuracy=A",
        help="abstain from the least sure answers, so that a share A of the others is right, as accuracy=0.95; without "
        "it the run always answers",
    )


def run(options: Namespace) -> None:
    from seq_models.tasks.calibration import calibrate_run, told
    from seq_models.text.examples import ending_of
    from seq_models.training.run_directory import RunDirectory

    accuracy = None if options.abstain is None else _accuracy(options.abstain)
    columns = columns_of_run(options.directory, ending_of(Path(options.data[0])), options.columns)
    data = examples(options.data, columns)
    print(told(calibrate_run(RunDirectory(options.directory), data, accuracy)))


def _accuracy(text: str) -> float:
    name, _, number = text.partition("=")
    try:
        if name == "accuracy":
            return float(number)
    except ValueError:
        pass
    raise InputError(f"--abstain must be as accuracy=0.95. Received: {text}")
