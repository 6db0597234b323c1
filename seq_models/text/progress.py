"""What is shown on a terminal while something takes long."""

import contextlib
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PATIENCE = 1.0  # seconds before anything is shown


def watched(items: Iterable, description: str, total: int | None = None) -> Iterator[Any]:
    """The items one by one, with a bar on standard error as long as they come, if that is a terminal.

    Args:
        items: What is worked through.
        description: What is done with it.
        total: Their number, if they do not know it themselves.
    """
    with _shown(Progress(*Progress.get_default_columns(), **_terminal())) as progress:
        yield from progress.track(items, total, description=description)


@contextlib.contextmanager
def working(description: str) -> Iterator[None]:
    """Within it the time that has passed is shown on standard error, if that is a terminal."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with _shown(Progress(*columns, **_terminal())) as progress:
        progress.add_task(description, total=None)
        yield


def _terminal():
    return {"console": Console(stderr=True), "transient": True, "disable": not sys.stderr.isatty()}


@contextlib.contextmanager
def _shown(progress):
    timer = threading.Timer(PATIENCE, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield progress
    finally:
        timer.cancel()
        timer.join()  # it may be at it
        progress.stop()
