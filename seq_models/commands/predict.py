"""Answers of a run to texts."""

import itertools
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator
from typing import Any

from seq_models.commands.answers import OUTPUTS, Print, opened
from seq_models.commands.data import columns_of_run
from seq_models.text.examples import KNOWN

HELP = "one line in, one line out; or the answers to a column of a table"
CHUNK = 64  # texts that are answered at once, if as many have come


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument(
        "--input",
        metavar="FILE",
        help="a text a line, or a table: .tsv .csv .jsonl .conllu .conll .bio; also .gz (default: standard input)",
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
    parser.add_argument("--json", action="store_true", help="print whole answers, a JSON object a line")
    parser.add_argument(
        "--output", metavar="FILE", help=f"write answers to a new file, beside their input: {' '.join(OUTPUTS)}"
    )


def run(options: Namespace) -> None:
    from seq_models.catalog import load_run
    from seq_models.text.counting import say_cut
    from seq_models.text.example_types import LabeledTokens
    from seq_models.text.progress import watched
    from seq_models.text.questions import Reading, read_questions

    lengths: Counter[int] = Counter()
    with opened(options.output) if options.output else Print(options.json) as output:
        model: Any = load_run(options.directory)
        codec = model.preprocessor.codec
        labels = model.preprocessor.labels
        reading = Reading(
            model.preprocessor.example_type.fields[0],
            lambda ending: columns_of_run(options.directory, ending, options.columns),
            f".{options.format}" if options.format else None,
            () if labels is None else labels.names,
        )
        for questions in _prompted(read_questions(options.input, reading), options.input is None):
            if options.input and (options.output or not sys.stdout.isatty()):  # else the answers show how far it is
                questions = watched(questions, "answering")
            while chunk := list(itertools.islice(questions, CHUNK)):
                texts = [each.text if isinstance(each.text, str) else " ".join(each.text) for each in chunk]
                lengths.update(codec.lengths(texts).numpy().tolist())
                if reading.field in LabeledTokens.fields and not any(isinstance(each.text, str) for each in chunk):
                    texts = [each.text for each in chunk]
                for question, answer in zip(chunk, model.predict_text(texts), strict=True):
                    output.write(question, answer, model.line(answer))
    say_cut(lengths, codec.max_length)


def _prompted(questions: Iterator, from_stdin: bool) -> Iterator:
    """The questions, with a prompt before each if someone types them."""
    prompts = from_stdin and sys.stdin is not None and sys.stdin.isatty()
    while True:
        if prompts:
            print("> ", end="", file=sys.stderr, flush=True)
        found = next(questions, None)
        if found is None:
            return
        yield found
