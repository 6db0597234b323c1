"""What of a word is worth knowing though its own embedding may not say it: capitals, shape, prefixes and suffixes.

Each is a string for a word, computed in the graph; that of a rare word is that of many others, too [1, 2].

References:
    [1] Ratnaparkhi 1996, A Maximum Entropy Model for Part-of-Speech Tagging. [2] Collobert et al. 2011, Natural
    Language Processing (Almost) from Scratch, section 6.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

UPPER, LOWER = r"\p{Lu}\p{Lt}", r"\p{Ll}"
# The first that a whole word is.
_CAPITALS = {
    "none": f"[^{UPPER}{LOWER}]*",  # as 42 and 中文
    "lower": f"[^{UPPER}]*",
    "first": f"[^{UPPER}{LOWER}]*[{UPPER}][^{UPPER}]*",
    "all": f"[^{LOWER}]*",
    "mixed": ".*",
}
# One after the other: letters first, for they are written as letters. A run of one kind is written as two at most.
_SHAPE = {
    r"\p{M}": "",
    f"[{UPPER}]": "X",
    r"[^\PLX]": "x",
    r"\p{N}": "d",
    "XX+": "XX",
    "xx+": "xx",
    "dd+": "dd",
}


def capitals(words: tf.Tensor) -> tf.Tensor:
    """Words (N,) -> where they have capitals, a name in `_CAPITALS` (N,)."""
    *names, last = _CAPITALS
    found = tf.fill(tf.shape(words), last)
    for name in reversed(names):
        found = tf.where(tf.strings.regex_full_match(words, _CAPITALS[name]), name, found)
    return found


def shape(words: tf.Tensor) -> tf.Tensor:
    """Words (N,) -> their shapes (N,): X is a capital, x another letter, d a digit, and the rest stays."""
    for pattern, letter in _SHAPE.items():
        words = tf.strings.regex_replace(words, pattern, letter)
    return words


def prefix(words: tf.Tensor, length: int) -> tf.Tensor:
    """Words (N,) -> the first so many characters of each, all of a shorter one."""
    return tf.strings.substr(words, 0, length, unit="UTF8_CHAR")


def suffix(words: tf.Tensor, length: int) -> tf.Tensor:
    """Words (N,) -> the last so many characters of each, all of a shorter one."""
    start = tf.maximum(tf.strings.length(words, unit="UTF8_CHAR") - length, 0)
    return tf.strings.substr(words, start, tf.fill(tf.shape(start), length), unit="UTF8_CHAR")


WHOLE_WORD: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {"capitals": capitals, "word_shape": shape}
AFFIXES: dict[str, Callable[[tf.Tensor, int], tf.Tensor]] = {"prefixes": prefix, "suffixes": suffix}


def names_of(options: object) -> list[str]:
    """The names of the features that options ask for, as capitals and suffixes-2."""
    whole = [name for name in WHOLE_WORD if getattr(options, name)]
    lengths = {name: range(1, getattr(options, name) + 1) for name in AFFIXES}
    return whole + [f"{name}-{length}" for name in AFFIXES for length in lengths[name]]


def word_features(names: Sequence[str], written: tf.Tensor, read: tf.Tensor) -> tf.Tensor:
    """The features of words, strings (N, F), each with its name before it, so that all may be in one vocabulary.

    Args:
        names: Of the F features, one at least; see `names_of`.
        written: The words as they are written (N,): with their capitals.
        read: The words as the model reads them (N,): of what they begin and end with.
    """
    columns = []
    for name in names:
        kind, _, length = name.partition("-")
        found = AFFIXES[kind](read, int(length)) if length else WHOLE_WORD[kind](written)
        columns.append(tf.strings.join([name, found], "="))
    return tf.stack(columns, axis=1)
