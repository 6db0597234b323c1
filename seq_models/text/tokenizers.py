"""From a text to its tokens and back, inside the graph, so that training and serving cut texts the same way."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import tensorflow as tf
import tensorflow_text as tf_text

from seq_models.text.words import Words

SPACE = r"[\v\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]"  # Unicode's, but for \s
LETTER = r"(?:[^\P{L}\p{Han}]|[\p{M}\p{N}])"  # or a digit, or an accent, but no Han character
INNER = rf"(?:{LETTER}|\p{{Cf}})"  # joiners, soft hyphens and other format characters are inside of a word
WORD = rf"{LETTER}{INNER}*(?:['’-]{INNER}+|[.,]\p{{N}}+)*"
HAN = r"\p{Han}[\p{M}\p{Cf}]*"
FLAG = r"[\x{1F1E6}-\x{1F1FF}]{2}"
SYMBOL = r"[^\s](?:\x{200D}\p{So}|[\p{M}\p{Cf}\x{1F3FB}-\x{1F3FF}])*"  # with the symbols that are joined to it
TOKEN = rf"\p{{Cf}}*(?:{HAN}|{WORD}|{FLAG}|{SYMBOL})"


class Tokenizer(Protocol):
    """Cuts texts into tokens, and joins them again."""

    @property
    def words(self) -> Words | None:
        """Words that have the same tokens by themselves as in their text; None if nothing can be cut off."""

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Texts (B,) -> tokens (B, None)."""

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Tokens (B, None) -> texts (B,)."""


def spaced(texts: tf.Tensor) -> tf.Tensor:
    """Texts (B,) whose white space is all ASCII: no-break, thin, ideographic spaces and the like are " "."""
    return tf.strings.regex_replace(texts, SPACE, " ")


class WhitespaceTokenizer:
    """Cuts at white space: for texts that are tokenized already."""

    words = Words()

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return tf.strings.split(spaced(texts))

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        return tf.strings.reduce_join(tokens, axis=-1, separator=" ")


class WordTokenizer:
    """Words, each Han character and each punctuation mark by itself, by Unicode categories.

    An apostrophe or hyphen inside a word belongs to it, and a point or comma before a digit: "don't", "T-Shirt", "3.5".
    So does what is not seen: format characters (category Cf) tear nothing apart, and symbols joined by one are a token.
    """

    words = Words(between_han=True)

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return tf.strings.split(tf.strings.regex_replace(spaced(texts), TOKEN, r"\0 "))

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        text = tf.strings.reduce_join(tokens, axis=-1, separator=" ")
        text = tf.strings.regex_replace(text, r" ([.,!?;:%)\]}…])", r"\1")
        text = tf.strings.regex_replace(text, r"([(\[{„]) ", r"\1")
        return tf.strings.regex_replace(text, r" ?([\p{Han}，。！？；：、（）《》]) ?", r"\1")


class CharTokenizer:
    """Each character is a token; runs of white space are one space."""

    words = None

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        texts = tf.strings.regex_replace(tf.strings.strip(spaced(texts)), r"\s+", " ")
        return tf.strings.unicode_split(texts, "UTF-8")

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        return tf.strings.reduce_join(tokens, axis=-1)


class WordpieceTokenizer:
    """Words, cut further into the longest pieces that a vocabulary knows [1].

    Args:
        pieces: The vocabulary: beginnings of words as they are, later pieces with `##` before them.
    References:
        [1] Wu et al. 2016, arXiv:1609.08144, section 4.1; Song et al. 2021, arXiv:2012.15524.
    """

    words = WordTokenizer.words

    def __init__(self, pieces: Iterable[str]):
        self._words = WordTokenizer()
        self.pieces = tf_text.FastWordpieceTokenizer(
            list(pieces), token_out_type=tf.string, unknown_token="<unk>", no_pretokenization=True
        )

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return self.pieces.tokenize(self._words.tokenize(texts)).merge_dims(1, 2)

    def detokenize(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        joined = tf.strings.reduce_join(tokens, axis=-1, separator=" ")
        words = tf.strings.split(tf.strings.regex_replace(joined, " ##", ""))
        return self._words.detokenize(words)


TOKENIZERS: dict[str, Callable[[Sequence[str]], Tokenizer]] = {  # from the tokens of the vocabulary
    "whitespace": lambda _: WhitespaceTokenizer(),
    "words": lambda _: WordTokenizer(),
    "chars": lambda _: CharTokenizer(),
    "wordpiece": WordpieceTokenizer,
}
