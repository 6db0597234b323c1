"""Examples that two corpora share."""

from collections.abc import Iterable

from seq_models.text.cache import remembered
from seq_models.text.example_types import Example
from seq_models.text.examples import Examples
from seq_models.text.progress import watched

LARGEST = 1_000_000  # different examples that are looked for: 64 MB


def count_shared(train: Iterable[Example], valid: Iterable[Example]) -> int:
    """How many different examples of `valid`, of its first million, are in `train` too."""

    def count() -> int:
        sought: set[int] = set()
        for example in valid:
            sought.add(hash(repr(example)))
            if len(sought) == LARGEST:
                break
        return len({key for example in watched(train, "comparing examples") if (key := hash(repr(example))) in sought})

    return remembered(train, ["shared", valid.fingerprint()], count) if isinstance(valid, Examples) else count()
