"""A SavedModel of a run for TensorFlow Serving."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from seq_models.commands.searching import add_search, set_search

HELP = "a SavedModel for TensorFlow Serving: BASE/NAME/1, /2, …"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--to", required=True, metavar="BASE", help="the directory of all models")
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--version", type=int, metavar="N", help="a new version (default: one above the highest)")
    add_search(parser)


def run(options: Namespace) -> None:
    from seq_models.catalog import load_run
    from seq_models.exports import export
    from seq_models.exports.server_config import check_name, write_server_config
    from seq_models.text.progress import working

    check_name(options.name)
    model = load_run(options.directory)
    set_search(model, options.directory, options)
    with working("exporting and checking"):
        path = export(model, Path(options.to) / options.name, options.version)
    write_server_config(options.to, options.name)
    print(path)
