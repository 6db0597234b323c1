"""In which order an epoch reads its examples, and where in it a training is."""

import collections
import itertools
import random

from seq_models.text.codec import CHUNK

SHUFFLE_BUFFER = 65_536  # examples
FILES = 8  # that are read by turns


class Position:
    """Where in the data a training is.

    A dataset reads it whenever an iteration begins, so that a training which was killed goes on where it was.

    Args:
        epoch: Number of the epoch, from 0; the order of the examples follows from it and the seed.
        batches: Number of batches to leave out at the start of this epoch.
    """

    def __init__(self, epoch=0, batches=0):
        self.epoch, self.batches = epoch, batches

    def next(self):
        """Returns (epoch, batches), and moves on to the start of the next epoch."""
        here = self.epoch, self.batches
        self.epoch, self.batches = self.epoch + 1, 0
        return here


class AsGiven:
    """Part after part, and nothing moved."""

    def examples(self, parts):
        """The examples of all parts, one by one."""
        return itertools.chain.from_iterable(parts)

    def permuted(self, items):
        """The items of a sequence in their order."""
        return list(items)


class Shuffled:
    """The random order of one epoch: a function of the seed and the epoch and of nothing else."""

    def __init__(self, seed, epoch):
        self._random = random.Random(f"{seed} {epoch}")

    def examples(self, parts):
        """The examples of all parts, one by one, each drawn from a buffer of those that come next."""
        examples = by_turns(self.permuted(parts))
        buffer = list(itertools.islice(examples, SHUFFLE_BUFFER))
        for example in examples:
            drawn = int(self._random.random() * SHUFFLE_BUFFER)  # takes a third of the time of `randrange`
            yield buffer[drawn]
            buffer[drawn] = example
        yield from self.permuted(buffer)

    def permuted(self, items):
        """The items of a sequence in another order."""
        return self._random.sample(items, len(items))


def by_turns(parts):
    """The examples of some parts at a time, a chunk of one after a chunk of the other."""
    waiting = map(iter, parts)
    opened = collections.deque(itertools.islice(waiting, FILES))
    while opened:
        part = opened.popleft()
        chunk = list(itertools.islice(part, CHUNK))
        yield from chunk
        opened.extend([part] if len(chunk) == CHUNK else itertools.islice(waiting, 1))
