"""Labels and their numbers."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

import tensorflow as tf


class Labels:
    """A list of labels; the place of a label is its number.

    Args:
        names: The labels, none twice.
    """

    def __init__(self, names: Iterable[str]):
        self.names = list(names)
        self._known = set(self.names)
        with tf.init_scope():  # outside of any graph that may be under construction
            keys, numbers = tf.constant(self.names, tf.string), tf.range(len(self.names))
            self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, numbers), -1)

    def __len__(self) -> int:
        return len(self.names)

    def get_config(self) -> list[str]:
        """The labels, of which it can be made again."""
        return self.names

    def problem(self, names: Iterable[str]) -> str | None:
        """What is wrong with labels of an example, a sentence, or None."""
        for name in names:
            if name not in self._known:
                known = ", ".join(self.names[:20]) + (", …" if len(self.names) > 20 else "")
                return f"A label must be one of those seen in training: {known}. Received: {name!r}"
        return None

    def ids(self, names: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        """Numbers of a tensor of strings."""
        return self.table.lookup(names)

    def lookup(self, ids: tf.Tensor) -> tf.Tensor:
        """Labels of a tensor of numbers."""
        return tf.gather(tf.constant(self.names), ids)


def twins(names: Iterable[str]) -> list[list[str]]:
    """Labels that differ by white space or invisible characters only, together."""
    groups = defaultdict(list)
    for name in sorted(set(names)):
        seen = (letter for letter in name if not letter.isspace() and unicodedata.category(letter) not in ("Cc", "Cf"))
        groups["".join(seen)].append(name)
    return [group for group in groups.values() if len(group) > 1]
