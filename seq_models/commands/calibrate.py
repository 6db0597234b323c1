"""The confidence of a run, or the thresholds of its labels, fitted on data that it was not trained on."""

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

    parser.add_argument(
        "--threshold",
        choices=("micro_f1", "macro_f1"),
        help="of a run of multi-label: give a label from that probability on by which F1 of these data is best, one "
        "for all labels (micro_f1) or one for each (macro_f1); without it that is 0.5",
    )


def run(options: Namespace) -> None:
    from seq_models.tasks.calibration import calibrate_run, told
    from seq_models.tasks.thresholds import choose_thresholds_of_run
    from seq_models.text.examples import ending_of
    from seq_models.training.run_directory import RunDirectory

    accuracy = None if options.abstain is None else _accuracy(options.abstain)
    columns = columns_of_run(options.directory, ending_of(Path(options.data[0])), options.columns)
    data = examples(options.data, columns)
    if options.threshold is not None:
        if accuracy is not None:
            raise InputError("There must be --threshold or --abstain, not both. Received: both")
        print(choose_thresholds_of_run(RunDirectory(options.directory), data, options.threshold))
        return
    print(told(calibrate_run(RunDirectory(options.directory), data, accuracy)))


def _accuracy(text: str) -> float:
    name, _, number = text.partition("=")
    try:
        if name == "accuracy":
            return float(number)
    except ValueError:
        pass
    raise InputError(f"--abstain must be as accuracy=0.95. Received: {text}")
