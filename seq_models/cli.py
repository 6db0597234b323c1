"""The command line."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from seq_models import __version__
from seq_models.commands import (
    attention,
    calibrate,
    compare,
    demo,
    evaluate,
    export,
    gate,
    generate,
    inspect,
    predict,
    score,
    serve,
    train,
    vectors,
)
from seq_models.errors import InputError, WorkerLost, sentence_of
from seq_models.messages import say

COMMANDS = {
    "demo": demo,
    "train": train,
    "evaluate": evaluate,
    "calibrate": calibrate,
    "compare": compare,
    "predict": predict,
    "generate": generate,
    "score": score,
    "attention": attention,
    "inspect": inspect,
    "vectors": vectors,
    "export": export,
    "gate": gate,
}
WORKER_LOST = 138  # Kubernetes operators start a container again that ends with a code above 127


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code.

    0; 2 for a mistake of the user; 138 when another worker of a training was lost, 143 after SIGTERM and 130 after
    SIGINT: these three mean that the same command goes on where the training was.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the start-up chatter of TensorFlow's C++ side
    try:
        try:
            options = make_parser().parse_args(arguments)
            options.run(options)
        finally:
            sys.stdout.flush()  # here, where what is wrong with it can be said
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        _drop_output()
        return 0
    except WorkerLost as error:
        say(str(error))
        return WORKER_LOST
    except KeyboardInterrupt:
        say("Interrupted.")
        return 128 + signal.SIGINT
    except (OSError, ValueError) as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        _drop_output()
        say(sentence)
        return 2
    return 0


def _drop_output():
    """Lets what could not be printed go, or Python would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Parser(argparse.ArgumentParser):
    """A parser that answers a wrong flag with a sentence, where argparse prints all flags before it."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; `{self.prog} --help` has all flags")


def make_parser() -> Parser:
    """The parser of all commands; what it returns has a `run`."""
    parser = Parser("seq-models", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        words = {"help": command.HELP, "description": command.HELP, "allow_abbrev": False}
        own = commands.add_parser(name, conflict_handler="resolve", **words)  # a command may have a help of its own
        own.set_defaults(run=command.run)
        command.add(own)
    # No word starts with \0, so none of the flags of the server is taken for a flag here.
    own = commands.add_parser("serve", help=serve.HELP, add_help=False, prefix_chars="\0")
    own.set_defaults(run=serve.run)
    serve.add(own)
    return parser


if __name__ == "__main__":
    sys.exit(main())
