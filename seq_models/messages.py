"""What is said aloud: nothing is cut, replaced or ended early without a sentence."""

import contextlib
import functools
import sys

ERASED = "\r\x1b[K"  # what a terminal takes to write over a line, on which there may be a bar


def say(sentence: str) -> None:
    """Prints a sentence on standard error, apart from answers and scores on standard output."""
    # Nobody listens, or a signal has come in the middle of another sentence: no reason to stop.
    with contextlib.suppress(OSError, RuntimeError):
        start = ERASED if sys.stderr is not None and sys.stderr.isatty() else ""
        print(f"{start}seq-models: {sentence}", file=sys.stderr, flush=True)


@functools.cache
def say_once(sentence: str) -> None:
    """Says a sentence the first time only, where its cause comes again and again."""
    say(sentence)
