"""What is shown on a terminal while something takes long."""

import contextlib
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from seq_models.messages import ERASED

PATIENCE = 1.0  # seconds before anything is shown


def watched(items: Iterable, description: str, total: int | None = None) -> Iterator[Any]:
    """The items one by one, with a bar on standard error as long as they come, if that is a terminal.

    Args:
        items: What is worked through.
        description: What is done with it.
        total: Their number, if they do not know it themselves.
    """
    with _shown(*Progress.get_default_columns(), MofNCompleteColumn()) as progress:
        yield from items if progress is None else progress.track(items, total, description=description)


@contextlib.contextmanager
def working(description: str) -> Iterator[None]:
    """Within it the time that has passed is shown on standard error, if that is a terminal."""
    with _shown(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
        if progress is not None:
            progress.add_task(description, total=None)
        yield


@contextlib.contextmanager
def _shown(*columns):
    """What shows columns after a while, or None without a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    timer = threading.Timer(PATIENCE, _start, [progress])
    timer.daemon = True
    timer.start()
    try:
        yield progress
    finally:
        timer.cancel()
        timer.join()  # it may be at it
        progress.stop()


def _start(progress):
    print(ERASED, end="", file=sys.stderr)  # the bar of a training may stand there, which comes back
    progress.start()
