"""In which order an epoch goes through its examples: as they are given, or shuffled."""

import collections
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence

from seq_models.text.codec import CHUNK
from seq_models.text.example_types import Example

SHUFFLE_BUFFER = 65_536  # examples
FILES = 8  # that are read by turns

Parts = Sequence[Iterable[Example]]


class AsGiven:
    """Part after part, and nothing moved."""

    def examples(self, parts: Parts) -> Iterator[Example]:
        """The examples of all parts, one by one."""
        return itertools.chain.from_iterable(parts)

    def permuted(self, items: Sequence) -> list:
        """The items of a sequence in this order."""
        return list(items)


class Shuffled:
    """The random order of one epoch: a function of the seed and the epoch and of nothing else."""

    def __init__(self, seed: int, epoch: int):
        self._random = random.Random(f"{seed} {epoch}")

    def examples(self, parts: Parts) -> Iterator[Example]:
        """Each example is drawn from a buffer of those that come next."""
        examples = by_turns(self.permuted(parts))
        buffer = list(itertools.islice(examples, SHUFFLE_BUFFER))
        for example in examples:
            drawn = int(self._random.random() * SHUFFLE_BUFFER)  # takes a third of the time of `randrange`
            yield buffer[drawn]
            buffer[drawn] = example
        yield from self.permuted(buffer)

    def permuted(self, items: Sequence) -> list:
        return self._random.sample(items, len(items))


Order = AsGiven | Shuffled


def by_turns(parts: Parts) -> Iterator[Example]:
    """The examples of some parts at a time, a chunk of one after a chunk of the other."""
    waiting = map(iter, parts)
    opened = collections.deque(itertools.islice(waiting, FILES))
    while opened:
        part = opened.popleft()
        chunk = list(itertools.islice(part, CHUNK))
        yield from chunk
        opened.extend([part] if len(chunk) == CHUNK else itertools.islice(waiting, 1))
