"""A text as it was written, with what a model adds to it."""

import tensorflow as tf

from seq_models.text.codec import Codec
from seq_models.text.normalization import valid
from seq_models.text.tokenizers import spaced

LONG = 2**30  # bytes: to the end


def continued(codec: Codec, texts: tf.Tensor, tokens: tf.RaggedTensor, added: tf.RaggedTensor) -> tf.Tensor:
    """Texts and what is added -> texts (B,): as they were written, then the rest, spaced as its tokens are.

    Args:
        texts: Strings (B,); what is no UTF-8 in them becomes U+FFFD.
        tokens: Those of the texts, ragged (B, None).
        added: The tokens that are added, ragged (B, None).
    """
    last = tokens[:, -1:]  # whether a space comes after it depends on it
    joined = codec.tokenizer.detokenize(tf.concat([last, added], axis=1))
    start = tf.strings.length(tf.strings.reduce_join(last, axis=1))
    rest = tf.strings.substr(joined, start, tf.fill(tf.shape(start), LONG))
    ends_in_space = tf.strings.regex_full_match(spaced(texts), r"(?s).*\s")
    rest = tf.where(ends_in_space, tf.strings.regex_replace(rest, r"^\s+", ""), rest)
    return tf.strings.join([valid(texts), rest])
