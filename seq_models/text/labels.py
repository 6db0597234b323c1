"""Labels and their numbers."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

import tensorflow as tf

from seq_models.text.entities import tag_codes


class Labels:
    """A list of labels; the place of a label is its number, and a label that is none of them has a larger one.

    Args:
        names: The L labels, none twice.
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

    def unseen(self, names: Iterable[str]) -> list[str]:
        """Those of some labels that are none of these."""
        return [name for name in names if name not in self._known]

    def ids(self, names: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        """Numbers of a tensor of strings: of an unseen one L + its `tag_codes`, as an unseen entity is one too."""
        if isinstance(names, tf.RaggedTensor):
            return names.with_values(self.ids(names.values))
        found = self.table.lookup(names)
        return tf.cond(
            tf.reduce_any(found < 0),
            lambda: tf.where(found < 0, len(self) + tag_codes(names), found),
            lambda: found,
        )

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
