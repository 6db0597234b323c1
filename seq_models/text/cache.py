"""What was found in a corpus once, kept on disk for the next time."""

from collections.abc import Callable, Iterable
from typing import Any

from seq_models.text.example_types import Example
from seq_models.text.examples import Examples
from seq_models.text.kept import kept

VERSION = 3  # of what is computed: another one makes all that is kept outdated


def remembered(examples: Iterable[Example], question: list, compute: Callable[[], Any]) -> Any:
    """`compute()`, or what it gave when the same question was asked of the same contents; see `Examples.fingerprint`.

    Answers are kept in the directory `examples.cache`; without one, as for a list, it is always computed.

    Args:
        examples: `Examples`, or any iterable of examples.
        question: What is computed, with all that it depends on apart from the files: plain values.
        compute: A function without arguments that returns plain values.
    """
    if not isinstance(examples, Examples) or examples.cache is None:
        return compute()
    return kept(examples.cache, [VERSION, examples.fingerprint(), question], compute)
