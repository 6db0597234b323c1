"""What is said aloud: nothing is cut, replaced or ended early without a sentence."""

import sys


def say(sentence: str) -> None:
    """Prints a sentence on standard error, apart from answers and scores on standard output."""
    print(f"seq-models: {sentence}", file=sys.stderr, flush=True)
