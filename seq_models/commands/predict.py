"""Answers of a run to texts."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from typing import TextIO

from seq_models.errors import InputError

HELP = "one line in, one line out"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--input", metavar="FILE", help="a text a line (default: standard input)")
    parser.add_argument("--json", action="store_true", help="print whole answers, a JSON object a line")


def run(options: Namespace) -> None:
    from seq_models.tasks import load_run
    from seq_models.text.cutting import say_cut

    model = load_run(options.directory)
    codec, lengths = model.preprocessor.codec, Counter()
    with _lines(options.input) as lines:
        while chunk := [line for _, line in zip(range(64), lines, strict=False)]:
            texts = [line.rstrip("\r\n") for line in chunk]
            lengths.update(codec.lengths(texts).numpy().tolist())
            for answer in model.predict_text(texts):
                print(json.dumps(answer, ensure_ascii=False) if options.json else model.line(answer), flush=True)
    say_cut(lengths, codec.max_length)


def _lines(path: str | None) -> TextIO:
    if path is None:
        return open(sys.stdin.fileno(), encoding="utf-8", errors="replace", closefd=False)
    try:
        return open(path, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path} must be a file of a text a line. Received: {error.strerror}") from error
