"""Whether a server can load SavedModels."""

from argparse import ArgumentParser, Namespace

HELP = "whether TensorFlow Serving can load a SavedModel and answer its warm-up requests"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help="the directory of a version")


def run(options: Namespace) -> None:
    from seq_models.exports.gate import check

    for path in options.models:
        check(path)
        print(f"{path}: passed")
