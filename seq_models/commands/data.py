"""The flags that name data, and the examples that they name."""

import os
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILES = "a file, or two parallel files: .txt .tsv .csv .jsonl .conllu .conll .bio, each also .gz"


def add_data(parser: ArgumentParser, *flags: str) -> None:
    """Adds flags that each take the files of one corpus, and `--columns` for all of them."""
    for flag in flags:
        parser.add_argument(flag, nargs="+", metavar="FILE", help=FILES, required=True)
    parser.add_argument("--columns", nargs=2, metavar="NAME", help="the two columns or fields to read")


def examples(paths: Sequence[str], columns: tuple[str, str] | None) -> Any:
    """The examples of files; see `read_examples`."""
    from seq_models.text.examples import read_examples

    # Where programs keep what they can find out again, by the XDG specification.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seq_models"
    return read_examples(*paths, columns=columns, cache=cache)


def scores_line(scores: dict[str, float | str]) -> str:
    """Scores as a line of text."""
    return ", ".join(f"{k} {v}" if isinstance(v, str) else f"{k} {v:.4f}" for k, v in scores.items())
