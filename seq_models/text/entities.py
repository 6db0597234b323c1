"""Entities: the spans of tokens that tags such as B-PER I-PER O spell out.

What a letter before a type says is the same in every scheme, and so is the reading of tags that break its rules [1]: an
entity starts at a tag that opens one, after a tag that closes one, and where the type changes.

References:
    [1] Tjong Kim Sang and Buchholz 2000, the program conlleval.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

OUTSIDE = "O"
SCHEMES = {"BIO": "BI", "BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW"}  # IOB1 has the tags of BIO
OPENING, CLOSING, LETTERS = "BSUW", "ELSUW", "BIMELSUW"
BUCKETS = 2**26  # of types by hash: two of a hundred types meet once in ten thousand corpora


def scheme_of(labels: Iterable[str]) -> tuple[str | None, list[str]]:
    """The scheme of labels most of which look like its tags, else None; and the labels that do not fit it.

    Example:
        >>> scheme_of(["B-PER", "E-PER", "O"])
        ('BIOES', [])
    """
    tags = sorted(set(labels) - {OUTSIDE})
    fitting = {name: [tag for tag in tags if re.match(f"[{letters}]-.", tag)] for name, letters in SCHEMES.items()}
    scheme = max(fitting, key=lambda name: len(fitting[name]))
    if 2 * len(fitting[scheme]) <= len(tags):
        return None, []
    return scheme, [tag for tag in tags if tag not in fitting[scheme]]


def has_entities(labels: Sequence[str]) -> bool:
    """Whether all labels are tags of one scheme."""
    scheme, others = scheme_of(labels)
    return scheme is not None and not others


def tag_codes(tags: tf.Tensor) -> tf.Tensor:
    """Tags (...) -> integers (...) that say what `spans` has to know: 4 type + 2 closes + opens, 0 outside."""
    types = tf.strings.to_hash_bucket_fast(tf.strings.regex_replace(tags, "^.-", ""), BUCKETS)

    def has_one_of(letters):
        return tf.cast(tf.strings.regex_full_match(tags, f"(?s)[{letters}]-.+"), tf.int32)

    codes = 4 * (1 + tf.cast(types, tf.int32)) + 2 * has_one_of(CLOSING) + has_one_of(OPENING)
    return codes * has_one_of(LETTERS)


def spans(codes: tf.Tensor) -> tf.Tensor:
    """Codes of tags (B, T) -> the entities, integers (N, 4): row, first token, the one after the last, type."""
    types = codes // 4
    inside = types > 0
    before = tf.pad(codes[:, :-1], [[0, 0], [1, 0]])
    starts = inside & ((codes % 2 > 0) | (before % 4 > 1) | (before // 4 != types))  # (B, T)
    after = [tf.pad(each[:, 1:], [[0, 0], [0, 1]]) for each in (starts, inside)]
    ends = inside & (after[0] | ~after[1])
    first = tf.where(starts)  # (N, 2): starts and ends take turns, so both have N in the same order
    last = tf.where(ends)[:, 1:]
    return tf.concat([first, last + 1, tf.cast(tf.gather_nd(types, first), tf.int64)[:, None]], axis=1)


def entity_counts(targets: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """Codes of tags, both (B, T) -> the numbers of entities in each row that are there, predicted, and both: (B, 3).

    An entity is predicted right if its first token, its last one and its type are.
    """
    found = [spans(codes) for codes in (targets, predictions)]
    shape = tf.shape(targets, tf.int64)
    there, predicted = (tf.scatter_nd(each[:, :2], each[:, 2] * 2 * BUCKETS + each[:, 3], shape) for each in found)
    both = (there > 0) & tf.equal(there, predicted)
    return tf.stack([tf.math.count_nonzero(each, axis=1) for each in (there, predicted, both)], axis=1)


def entities_by_type(expected: Sequence[list[str]], predicted: Sequence[list[str]]) -> dict[str, np.ndarray]:
    """`entities_by_row` of each type by itself, over all rows."""
    names = {tag.partition("-")[2] for tags in (*expected, *predicted) for tag in tags} - {""}
    found = {}
    for name in sorted(names):
        sides = [
            [[tag if tag[1:] == f"-{name}" else OUTSIDE for tag in row] for row in side]
            for side in (expected, predicted)
        ]
        found[name] = entities_by_row(*sides).sum(axis=0)
    return found


def entities_by_row(expected: Sequence[list[str]], predicted: Sequence[list[str]]) -> np.ndarray:
    """`entity_counts` of tags, lists of the same lengths, as integers (B, 3)."""
    codes = [
        tag_codes(tf.ragged.constant(side, ragged_rank=1, dtype=tf.string).to_tensor())
        for side in (expected, predicted)
    ]
    return entity_counts(*codes).numpy()
