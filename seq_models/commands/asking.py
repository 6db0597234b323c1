"""The texts that a command asks a model about: a file, a pipe or someone who types."""

import itertools
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from seq_models.commands.data import columns_of_run
from seq_models.text.examples import KNOWN
from seq_models.text.questions import Question

CHUNK = 64  # texts that are answered at once, if as many have come


def add_input(parser: ArgumentParser, flag: str) -> None:
    """Adds the flags that say what is read."""
    parser.add_argument(
        flag,
        dest="input",
        metavar="FILE",
        type=lambda path: None if path == "-" else path,
        help="a text a line, or a table: .tsv .csv .jsonl .conllu .conll .bio; also .gz (default, -: standard input)",
    )
    parser.add_argument(
        "--format",
        choices=[ending[1:] for ending in KNOWN],
        help="what is read, where no ending of a file says it; without it a first line that names columns makes it a "
        "table, and all else is a text a line",
    )
    parser.add_argument(
        "--columns", nargs="+", metavar="NAME", help="the column of the text in a table (default: that of the training)"
    )


def chunks(model: Any, options: Namespace, quiet: bool) -> Iterator[list[Question]]:
    """The questions that a model is asked, as they come, some of them at once.

    Args:
        model: Of `options.directory`.
        options: With those of `add_input`.
        quiet: Whether nothing else shows how far it is.
    """
    from seq_models.text.progress import watched
    from seq_models.text.questions import Reading, read_questions

    labels = model.preprocessor.labels
    reading = Reading(
        model.preprocessor.example_type.fields[0],
        lambda ending: columns_of_run(options.directory, ending, options.columns),
        f".{options.format}" if options.format else None,
        () if labels is None else labels.names,
    )
    for questions in prompted(read_questions(options.input, reading), options.input is None):
        if options.input and quiet:
            questions = watched(questions, "answering")
        while chunk := list(itertools.islice(questions, CHUNK)):
            yield chunk


def prompted(questions: Iterator, from_stdin: bool) -> Iterator:
    """The questions, with a prompt before each if someone types them."""
    prompts = from_stdin and sys.stdin is not None and sys.stdin.isatty()
    while True:
        if prompts:
            print("> ", end="", file=sys.stderr, flush=True)
        found = next(questions, None)
        if found is None:
            return
        yield found


def text_of(question: Question) -> str:
    """The text of a question; tokens are joined."""
    return question.text if isinstance(question.text, str) else " ".join(question.text)
