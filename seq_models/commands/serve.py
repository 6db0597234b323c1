"""A development server, which needs the extra `serve`."""

from argparse import ArgumentParser, Namespace

from seq_models.errors import InputError

HELP = "a development server with TensorFlow Serving's API: serve --help"


def add(parser: ArgumentParser) -> None:
    # The flags of the server are parsed where it is: to import it takes TensorFlow.
    parser.add_argument("flags", nargs="*")


def run(options: Namespace) -> None:
    try:
        from seq_models.server import parse_flags, serve
    except ModuleNotFoundError as error:
        problem = 'seq-models serve must have its extra, pip install "seq_models[serve]"'
        raise InputError(f"{problem}. Received: {error}") from error
    serve(parse_flags(options.flags))
