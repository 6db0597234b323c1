"""The flags that name data, and the examples that they name."""

import os
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILES = "a file, or two parallel files: .txt .tsv .csv .jsonl .conllu .conll .bio, each also .gz"


def add_data(parser: ArgumentParser, *flags: str, required: bool = True) -> None:
    """Adds flags that each take the files of one corpus, as often as one likes, and `--columns` for all of them."""
    for flag in flags:
        parser.add_argument(flag, nargs="+", action="extend", metavar="FILE", help=FILES, required=required)
    parser.add_argument(
        "--columns",
        nargs=2,
        metavar="NAME",
        help="the two columns to read, by name or by number (1, 2, … or -1 for the last)",
    )


def examples(paths: Sequence[str], columns: tuple[str, ...] | None) -> Any:
    """The examples of files; see `read_examples`."""
    from seq_models.text.examples import read_examples

    # Where programs keep what they can find out again, by the XDG specification.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seq_models"
    return read_examples(*paths, columns=columns, cache=cache)


def columns_of_run(directory: str, ending: str, columns: Sequence[str] | None) -> tuple[str, ...] | None:
    """The columns to read of files of a format: those that are named, else those that the run was trained on in such.

    Args:
        ending: Of the format; files of some have no columns.
    """
    from seq_models.text.examples import ending_of
    from seq_models.text.formats import FORMATS
    from seq_models.training.run_directory import RunDirectory

    if columns is None and ending in FORMATS:
        data = RunDirectory(directory).read_config()["data"]
        if ending in map(ending_of, map(Path, data.get("train", ()))):
            columns = data.get("columns")
    return tuple(columns) if columns else None


def scores_line(scores: dict[str, float | str]) -> str:
    """Scores as a line of text."""
    return ", ".join(f"{k} {v}" if isinstance(v, str) else f"{k} {v:.4f}" for k, v in scores.items())
