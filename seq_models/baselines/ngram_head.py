"""log P(w | h) from tables of n-grams, in the graph."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seq_models.baselines.counts import Ngrams
from seq_models.baselines.smoothing import Estimates
from seq_models.layers.heads import SoftmaxHead
from seq_models.text.vocabulary import PAD, START

NEVER = -1e9  # log probability of what no text holds; finite, as every weight of a model


@keras.saving.register_keras_serializable(package="seq_models")
class NgramHead(SoftmaxHead):
    """The next word by its context, which is the hidden state of an n-gram model: the n-1 words before it.

        log P(w | h) = log P(h w)                if h w is in the table
                     = log B(h) + log P(w | h')  if not; h' is h without its first word, B(h) = 1 where h is in no table

    Weights, for each length k of n-grams: keys_k (M_k,), see `Ngrams`, from k = 2 on; log_p_k (M_k,), log P(h w); and
    below n log_b_k (M_k,), log B(h w).

    Args:
        classes: V.
        table_sizes: M_2, …, M_n.
    Call arguments:
        hidden: h, integers (..., n-1), `<pad>` before the start of a text.
    Returns:
        log P(w | h) of all words, floats of 64 bits (..., V).
    """

    def __init__(self, classes: int, table_sizes: Sequence[int], **kwargs: Any):
        super().__init__(classes, **{"dtype": "float64", **kwargs})
        self.table_sizes = list(table_sizes)

    def build(self, hidden_shape):
        sizes = [self.classes, *self.table_sizes]
        self.keys = [self._table(f"keys_{n}", M, "int64") for n, M in enumerate(sizes[1:], start=2)]
        self.log_p = [self._table(f"log_p_{n}", M, "float64") for n, M in enumerate(sizes, start=1)]
        self.log_b = [self._table(f"log_b_{n}", M, "float64") for n, M in enumerate(sizes[:-1], start=1)]

    def _table(self, name, size, dtype):
        return self.add_weight(name=name, shape=(size,), dtype=dtype, initializer="zeros", trainable=False)

    def assign(self, tables: list[Ngrams], estimates: list[Estimates]) -> None:
        """Fills the tables with the estimates of n-grams."""
        for keys, table in zip(self.keys, tables[1:], strict=True):
            keys.assign(table.keys)
        for log_p, each in zip(self.log_p, estimates, strict=True):
            log_p.assign(np.log(each.p))
        for log_b, each in zip(self.log_b, estimates[:-1], strict=True):
            log_b.assign(np.log(each.b))
        words = np.log(estimates[0].p)
        words[[PAD, START]] = NEVER
        self.log_p[0].assign(words)

    def call(self, hidden):
        V, h = self.classes, tf.reshape(hidden, [-1, len(self.keys)])  # (N, n-1)
        log_p = tf.tile(self.log_p[0][None], [tf.shape(h)[0], 1])  # (N, V)
        for keys, longer, log_b, place in zip(self.keys, self.log_p[1:], self.log_b, self.places(h), strict=True):
            # All words that come after one context lie beside each other.
            first, end = (tf.searchsorted(keys, bound * V) for bound in (place, place + 1))
            after = tf.ragged.range(first, end)
            words = tf.cast(tf.gather(keys, after.values) % V, tf.int64)
            log_p += _at(log_b, place)[:, None]
            there = tf.stack([after.value_rowids(), words], axis=1)
            log_p = tf.tensor_scatter_nd_update(log_p, there, tf.gather(longer, after.values))
        return tf.reshape(log_p, tf.concat([tf.shape(hidden)[:-1], [V]], axis=0))

    def log_probability(self, hidden: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """log P(w | h) of the targets, natural, floats of 64 bits of their shape."""
        h, w = tf.reshape(hidden, [-1, len(self.keys)]), tf.reshape(targets, [-1])
        log_p = tf.gather(self.log_p[0], w)
        for keys, longer, log_b, place in zip(self.keys, self.log_p[1:], self.log_b, self.places(h), strict=True):
            found = _find(keys, place, w, self.classes)
            log_p = tf.where(found >= 0, _at(longer, found), _at(log_b, place) + log_p)
        return tf.reshape(log_p, tf.shape(targets))

    def compare(self, hidden: tf.Tensor, targets: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """As of every head; where predictions are not asked for, a graph looks up the targets alone."""
        return tf.cast(-self.log_probability(hidden, targets), tf.float32), self.predict(hidden)

    def places(self, h: tf.Tensor) -> list[tf.Tensor]:
        """Contexts (N, n-1) -> the places of their last k words among the k-grams, k = 1, …, n-1; -1 if not there."""
        ending = tf.cast(h, tf.int64)  # the place of the k-gram that ends at each word; from the k-th word on
        found = []
        for k, keys in enumerate(self.keys, start=1):
            found.append(ending[:, -1])
            if k < len(self.keys):
                ending = _find(keys, ending[:, :-1], h[:, k:], self.classes)
        return found

    def get_config(self):
        config = {**super().get_config(), "table_sizes": self.table_sizes}
        del config["kernel_initializer"]
        return config


def _find(keys, place, words, V):
    """The places of n-grams, from the places of their contexts and their last words; -1 for those not there."""
    wanted = place * V + tf.cast(words, tf.int64)
    at = tf.searchsorted(keys, tf.reshape(wanted, [-1]), out_type=tf.int64)
    at = tf.reshape(tf.minimum(at, tf.size(keys, tf.int64) - 1), tf.shape(wanted))
    return tf.where((place >= 0) & tf.equal(tf.gather(keys, at), wanted), at, -1)


def _at(values, places):
    """Values at places; 0 where there is none."""
    return tf.where(places >= 0, tf.gather(values, tf.maximum(places, 0)), 0)
