"""Where that goes which is seen in a training."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tensorboard.plugins.histogram.summary_v2 import histogram_pb

from seq_models.errors import shortened
from seq_models.files import written_whole
from seq_models.fonts import numbered

FLUSH_SECONDS = 10
LARGEST_HISTOGRAM = 10_000  # of more values some are taken, evenly
Rows = Sequence[Mapping[str, str]]


class TrainingLog:
    """Events for TensorBoard in `logs/`, one run of it, and their numbers by the same names in `metrics.jsonl`.

    A line of `metrics.jsonl` is a JSON object: step, epoch (from 1), time (seconds since 1970), and numbers by name;
    null is one that is not finite.

    Args:
        directory: The run directory.
    Attributes:
        logs: The directory of TensorBoard's run.
        writer: Writes its events.
    """

    def __init__(self, directory: str | Path):
        self.logs, self.lines = Path(directory) / "logs", Path(directory) / "metrics.jsonl"
        self.writer = tf.summary.create_file_writer(str(self.logs), flush_millis=1000 * FLUSH_SECONDS)

    def drop_after(self, step: int, epoch: int) -> None:
        """Drops the lines of what a resumed training is about to do again.

        Args:
            step: Steps that have been done.
            epoch: Epochs that have ended.
        """
        if not self.lines.exists():
            return
        with self.lines.open(encoding="utf-8") as lines:
            kept = [line for line in lines if _is_before(line, step, epoch)]
        with written_whole(self.lines) as aside:
            aside.write_text("".join(kept), "utf-8")

    def numbers(self, section: str, step: int, epoch: int, values: Mapping[str, Any]) -> None:
        """Numbers by name; their names are those of `section`/…"""
        values = {f"{section}/{name}": float(value) for name, value in values.items()}
        with self.writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        record = {"step": step, "epoch": epoch, "time": round(time.time(), 3), **finite}
        with self.lines.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record, ensure_ascii=False) + "\n")

    def histogram(self, name: str, step: int, values: np.ndarray) -> None:
        """The distribution of an array; a value that is not finite is left out."""
        values = values[np.isfinite(values)]
        some = values[:: max(1, values.size // LARGEST_HISTOGRAM)]
        summary = histogram_pb(name, some.astype("float64"))
        with self.writer.as_default(step):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString())

    def table(self, name: str, step: int, rows: Rows) -> None:
        """Rows as text; they have the same keys, the columns."""
        with self.writer.as_default(step):
            tf.summary.text(name, markdown(rows))

    def picture(self, name: str, step: int, figure: Figure, names: Sequence[str] = ()) -> None:
        """A matplotlib Figure; and as text those of the names in it that no font has, by their numbers in it."""
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        with self.writer.as_default(step):
            tf.summary.image(name, np.asarray(canvas.buffer_rgba())[None, :, :, :3])
        if rows := [{"number": str(number), "name": text} for text, number in numbered(names).items()]:
            self.table(f"{name}/names", step, rows)

    def flush(self) -> None:
        self.writer.flush()


def _is_before(line, step, epoch):
    try:
        record = json.loads(line)
    except ValueError:  # the end of a line that a kill has cut off
        return False
    of_an_epoch = any(name.startswith("epochs/") for name in record)
    return record["step"] <= step and not (of_an_epoch and record["epoch"] > epoch)


LONGEST_CELL = 300  # characters
# What Markdown or HTML would read as something else.
ESCAPED = str.maketrans({character: f"&#{ord(character)};" for character in "|<>*_`[]\\~#$"} | {"\n": " ", "\r": " "})


def markdown(rows: Rows) -> str:
    """Rows with the same keys as a table in Markdown."""
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([cell(row[column]) for column in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(text: str) -> str:
    """A text as it is shown in a table: cut, and nothing in it is markup."""
    return shortened(text, LONGEST_CELL).translate(ESCAPED)
