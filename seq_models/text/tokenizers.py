"""From a text to its tokens and back, inside the graph, so that training and serving cut texts the same way."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import tensorflow as tf
import tensorflow_text as tf_text

LETTER = r"[^\P{L}\p{Han}]"  # a letter that is not a Han character
WORD = rf"(?:{LETTER}|\p{{M}}|\p{{N}})+(?:['’-](?:{LETTER}|\p{{M}}|\p{{N}})+|[.,]\p{{N}}+)*"
TOKEN = rf"\p{{Han}}|{WORD}|[^\s]"


class Tokenizer(Protocol):
    """Cuts texts into tokens, and joins them again."""

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Texts (B,) -> tokens (B, None)."""

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Tokens (B, None) -> texts (B,)."""


class WhitespaceTokenizer:
    """Cuts at white space: for texts that are tokenized already."""

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return tf.strings.split(texts)

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        return tf.strings.reduce_join(tokens, axis=-1, separator=" ")


class WordTokenizer:
    """Words, each Han character and each punctuation mark by itself, by Unicode categories.

    An apostrophe or hyphen inside a word belongs to it, and a point or comma before a digit: "don't", "T-Shirt", "3.5".
    """

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return tf.strings.split(tf.strings.regex_replace(texts, TOKEN, r"\0 "))

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        text = tf.strings.reduce_join(tokens, axis=-1, separator=" ")
        text = tf.strings.regex_replace(text, r" ([.,!?;:%)\]}…])", r"\1")
        text = tf.strings.regex_replace(text, r"([(\[{„]) ", r"\1")
        return tf.strings.regex_replace(text, r" ?([\p{Han}，。！？；：、（）《》]) ?", r"\1")


class CharTokenizer:
    """Each character is a token; runs of white space are one space."""

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return tf.strings.unicode_split(tf.strings.regex_replace(tf.strings.strip(texts), r"\s+", " "), "UTF-8")

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        return tf.strings.reduce_join(tokens, axis=-1)


class WordpieceTokenizer:
    """Words, cut further into the longest pieces that a vocabulary knows [1].

    Args:
        pieces: The vocabulary: beginnings of words as they are, later pieces with `##` before them.
    References:
        [1] Wu et al. 2016, arXiv:1609.08144, section 4.1; Song et al. 2021, arXiv:2012.15524.
    """

    def __init__(self, pieces: Iterable[str]):
        self.words = WordTokenizer()
        self.pieces = tf_text.FastWordpieceTokenizer(
            list(pieces), token_out_type=tf.string, unknown_token="<unk>", no_pretokenization=True
        )

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return self.pieces.tokenize(self.words.tokenize(texts)).merge_dims(1, 2)

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        joined = tf.strings.reduce_join(tokens, axis=-1, separator=" ")
        words = tf.strings.split(tf.strings.regex_replace(joined, " ##", ""))
        return self.words.detokenize(words)


TOKENIZERS: dict[str, Callable[[Sequence[str]], Tokenizer]] = {  # from the tokens of the vocabulary
    "whitespace": lambda _: WhitespaceTokenizer(),
    "words": lambda _: WordTokenizer(),
    "chars": lambda _: CharTokenizer(),
    "wordpiece": WordpieceTokenizer,
}


def train_wordpieces(texts: Iterable[tf.Tensor], vocabulary_size: int, reserved: Iterable[str]) -> list[str]:
    """Learns word pieces with KerasHub's trainer.

    Args:
        texts: An iterable of tensors of strings (B,).
        vocabulary_size: The largest number of pieces, the reserved ones included.
        reserved: Pieces that come first, whatever the texts hold.
    """
    from keras_nlp.tokenizers import compute_word_piece_vocabulary  # takes seconds to import, and only this needs it

    words = tf.data.Dataset.from_generator(
        lambda: (WordTokenizer().tokenize(batch) for batch in texts),
        output_signature=tf.RaggedTensorSpec([None, None], tf.string),
    )
    return compute_word_piece_vocabulary(words, vocabulary_size, split=False, reserved_tokens=list(reserved))
