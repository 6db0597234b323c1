"""A bar for passes over a whole corpus."""

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.progress import track


def watched(items: Iterable, description: str) -> Iterable:
    """The items one by one, with a bar on standard error as long as they come, if that is a terminal."""
    return track(items, description, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
