"""Four tasks on the built-in corpora: train, evaluate, export, answer."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from seq_models.text.corpora import LANGUAGES

HELP = "four tasks on the built-in corpora: train, evaluate, export, answer"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("--out", default="demo", metavar="DIR", help="where runs and exports go (default: %(default)s)")
    parser.add_argument(
        "--language",
        choices=LANGUAGES,
        default="english",
        help="of the corpora; the encoder-decoder translates English into Chinese if it is chinese, else into Spanish "
        "(default: %(default)s)",
    )


def run(options: Namespace) -> None:
    from seq_models.demo import demo

    demo(Path(options.out), language=options.language)
