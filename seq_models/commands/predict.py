"""Answers of a run to texts."""

import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from typing import Any

from seq_models.commands.answers import OUTPUTS, Print, opened
from seq_models.commands.asking import add_input, chunks, text_of
from seq_models.commands.searching import add_search, set_search
from seq_models.errors import InputError, options_from_outside

HELP = "one line in, one line out; or the answers to a column of a table"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    add_input(parser, "--input")
    parser.add_argument("--json", action="store_true", help="print whole answers, a JSON object a line")
    parser.add_argument(
        "--n-best",
        type=int,
        metavar="N",
        help="the N best translations of each text, a line with score and translation for each and one without any",
    )
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
        if options.n_best is not None and not hasattr(model, "translate"):
            raise InputError(
                f"{options.directory} must be the run of an encoder-decoder for --n-best. Received: {model.task_name}"
            )
        preprocessor = model.preprocessor
        takes_tokens = preprocessor.example_type.fields[0] in LabeledTokens.fields
        longest = preprocessor.longest_answered
        for chunk in chunks(model, options, quiet=bool(options.output) or not sys.stdout.isatty()):
            texts = list(map(text_of, chunk))
            if longest is not None:
                lengths.update(preprocessor.codec.lengths(texts).numpy().tolist())
            if takes_tokens and not any(isinstance(each.text, str) for each in chunk):
                texts = [each.text for each in chunk]
            for question, answer in zip(chunk, _answers(model, texts, options), strict=True):
                output.write(question, answer, model.line(answer) if options.n_best is None else _lines(answer))
    if longest is not None:
        say_cut(lengths, longest)


def _answers(model, texts, options):
    if options.n_best is None:
        return model.predict_text(texts)
    given = {} if options.beam_width is None else {"beam_width": options.beam_width}
    with options_from_outside():
        return model.n_best(texts, options.n_best, **given)


def _lines(answer):
    """The best translations, each with its score, and a line without any."""
    rows = zip(answer["scores"], answer["translations"], strict=True)
    return "".join(f"{score:.4f}\t{translation}\n" for score, translation in rows)
