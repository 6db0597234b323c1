"""One form for texts that read the same, by Unicode and not by the machine: in the graph, before tokens are cut."""

import sys
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

# Forms by which a text is written anew [UAX 15]: "nfc" composes é from e and its accent; "nfkc" also turns ﬁ into fi,
# full-width letters into the usual ones, ² into 2.
NORMALIZATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "nfc": lambda texts: tf_text.normalize_utf8(texts, "NFC"),
    "nfkc": lambda texts: tf_text.normalize_utf8(texts, "NFKC"),
    "none": lambda texts: texts,
}


def valid(texts: tf.Tensor) -> tf.Tensor:
    """Texts in valid UTF-8: what is not becomes U+FFFD."""
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")


def fold_case(texts: tf.Tensor) -> tf.Tensor:
    """Texts (B,) by Unicode's simple case folding, one character for one: "ÄΣ" -> "äσ", "Straße" stays "straße".

    `tf.strings.lower` would ask the locale of the process, where "I" may become "ı"; `tf_text.case_fold_utf8` folds by
    NFKC_Casefold, which drops joiners, too, and writes "ss" for "ß".
    """
    characters = tf.strings.unicode_decode(texts, "UTF-8")
    codes = characters.flat_values
    place = tf.minimum(tf.searchsorted(_UNFOLDED, codes), len(_UNFOLDED) - 1)
    folded = tf.where(tf.equal(tf.gather(_UNFOLDED, place), codes), tf.gather(_FOLDED, place), codes)
    return tf.strings.unicode_encode(characters.with_flat_values(folded), "UTF-8")


def _folded(character: str) -> str:
    """Its simple case folding; a full one of several characters, as of ẞ, gives way to the lower case."""
    folded = character.casefold() if len(character.casefold()) == 1 else character.lower()
    return folded if len(folded) == 1 else character


def _changed(step: int = 256) -> Iterator[tuple[int, int]]:
    """(character, its folding), as numbers, of all that are folded; most blocks hold none, and are done at once."""
    for start in range(0, sys.maxunicode + 1, step):
        block = np.arange(start, start + step, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
        if block.casefold() != block:
            yield from ((ord(one), ord(_folded(one))) for one in block if _folded(one) != one)


_UNFOLDED, _FOLDED = np.array([*_changed()], np.int32).T
