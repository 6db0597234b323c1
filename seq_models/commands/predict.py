"""Answers of a run to texts."""

import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from typing import Any

from seq_models.commands.answers import OUTPUTS, Print, opened
from seq_models.commands.asking import add_input, chunks, text_of
from seq_models.commands.searching import add_search, set_search
from seq_models.commands.ways import add_ways, way_of

HELP = "one line in, one line out; or the answers to a column of a table"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    add_input(parser, "--input")
    parser.add_argument("--json", action="store_true", help="print whole answers, a JSON object a line")
    add_ways(parser)
    parser.add_argument(
        "--output", metavar="FILE", help=f"write answers to a new file, beside their input: {' '.join(OUTPUTS)}"
    )
    add_search(parser)


def run(options: Namespace) -> None:
    from seq_models.catalog import load_run
    from seq_models.text.counting import say_cut
    from seq_models.text.example_types import LabeledTokens

    lengths: Counter[int] = Counter()
    with opened(options.output) if options.output else Print(options.json) as output:
        model: Any = load_run(options.directory)
        set_search(model, options.directory, options)
        way = way_of(model, options)
        preprocessor = model.preprocessor
        takes_tokens = preprocessor.example_type.fields[0] in LabeledTokens.fields
        longest = preprocessor.longest_answered
        for chunk in chunks(model, options, quiet=bool(options.output) or not sys.stdout.isatty()):
            texts = list(map(text_of, chunk))
            if longest is not None:
                lengths.update(preprocessor.codec.lengths(texts).numpy().tolist())
            if takes_tokens and not any(isinstance(each.text, str) for each in chunk):
                texts = [each.text for each in chunk]
            for question, answer in zip(chunk, way.answers(model, texts), strict=True):
                output.write(question, answer, way.line(model, answer))
    if longest is not None:
        say_cut(lengths, preprocessor.codec)
