"""Options of the text: how it is cut into tokens, and which tokens have an id."""

import os
from dataclasses import dataclass
from typing import ClassVar

from seq_models.options import Options, option
from seq_models.text.normalization import NORMALIZATIONS
from seq_models.text.schemes import AUTO, CHOICES
from seq_models.text.tokenizers import TOKENIZERS
from seq_models.text.vocabulary import SPECIAL_TOKENS

WHOLE = 2**31 - 1  # tokens of a text: nothing is cut
MAX_LENGTH = "tokens of a text at most, the end token included; the rest is cut off"
TRUNCATIONS = {"head": 1.0, "tail": 0.0, "both": 0.5}  # the share of the tokens read of a long text that begin it
UNKNOWN_SHARE = "share of the tokens seen once that a training reads as <unk>, so that it is learned"
CORPORA = ("auto", "sentences", "stream")


@dataclass(frozen=True)
class VocabularyOptions(Options):
    """Options of which tokens texts have, and which of them have an id. Errors: see `Options`.

    Attributes:
        max_length, unknown_share: See `TextOptions`; here texts are read whole, and no token is hidden.
        truncate: See `ClassifierTextOptions`; here what is cut off is the end.
        corpus: See `LanguageModelTextOptions`; here each text is read by itself.
    """

    tokenizer: str = option("words", "what cuts texts into tokens", choices=TOKENIZERS)
    vocabulary_size: int | None = option(
        None,
        "tokens with an id at most, the special ones included; None for all, or 8,000 word pieces",
        at_least=len(SPECIAL_TOKENS),
    )
    min_count: int = option(1, "how often a token must be seen to get an id", at_least=1)
    normalization: str = option("nfc", "Unicode's form that texts are brought into first", choices=NORMALIZATIONS)
    lowercase: bool = option(False, "fold texts to lower case, by Unicode's simple case folding")
    max_length: ClassVar[int] = WHOLE
    truncate: ClassVar[str] = "head"
    unknown_share: ClassVar[float] = 0.0
    corpus: ClassVar[str] = "sentences"


@dataclass(frozen=True)
class TextOptions(VocabularyOptions):
    """Options of a preprocessor. Errors: see `Options`."""

    max_length: int = option(512, MAX_LENGTH, at_least=2)  # type: ignore[misc]  # here it is an option
    unknown_share: float = option(0.5, UNKNOWN_SHARE, at_least=0, below=1)  # type: ignore[misc]


@dataclass(frozen=True)
class LanguageModelTextOptions(VocabularyOptions):
    """Options of a language model's preprocessor: it reads texts whole, however long. Errors: see `Options`."""

    unknown_share: float = option(0.5, UNKNOWN_SHARE, at_least=0, below=1)  # type: ignore[misc]
    corpus: str = option(  # type: ignore[misc]
        "auto",
        "what the lines are: sentences, each read by itself, or a stream, one text that is read on from line to line; "
        "auto is a stream if a line is very long",
        choices=CORPORA,
    )


@dataclass(frozen=True)
class ClassifierTextOptions(TextOptions):
    """Options of a classifier's preprocessor: it reads documents."""

    max_length: int = option(2048, MAX_LENGTH, at_least=2)  # type: ignore[misc]
    truncate: str = option(  # type: ignore[misc]
        "head",
        "which tokens of a text of more than max_length are read: head, the first ones; tail, the last ones; both, as "
        "many of the first as of the last ones",
        choices=TRUNCATIONS,
    )


@dataclass(frozen=True)
class PairTextOptions(TextOptions):
    """Options of an encoder-decoder's preprocessor. Errors: see `Options`."""

    joint_vocabulary: bool = option(False, "one vocabulary, or one set of word pieces, of sources and targets together")


@dataclass(frozen=True)
class LabelerTextOptions(TextOptions):
    """Options of a labeler's preprocessor: a token stays whole, for it has one label."""

    tokenizer: str = option("words", "what cuts texts into tokens", choices=[n for n in TOKENIZERS if n != "wordpiece"])
    characters: bool = option(True, "read words character by character, too")
    capitals: bool = option(
        False, "tell words by where they have capitals, none, first, all or mixed, though lowercase may fold them"
    )
    word_shape: bool = option(False, "tell words by their shape, as Xxx-dd of Blue-42")
    prefixes: int = option(0, "tell words by their first 1 to so many characters, each number by itself", at_least=0)
    suffixes: int = option(0, "tell words by their last 1 to so many characters, each number by itself", at_least=0)
    scheme: str = option(
        AUTO,
        "of the tags of entities that the model writes, whatever the data have; auto is theirs, with BIO for IOB1; "
        "plain leaves labels as they are",
        choices=CHOICES,
    )


VECTORS = "file of pre-trained word vectors that {} begins with: text of GloVe, word2vec or fastText; also .gz"


@dataclass(frozen=True)
class EmbeddingOptions(Options):
    """Options of what embeddings begin with. A path may be an `os.PathLike`.

    Raises:
        ValueError: See `Options`; or if there is no file for `vectors_words`.

    Attributes:
        codecs: By the name of an option that is a file, whose tokens get the vectors: a codec of the preprocessor.
    """

    vectors: str | None = option(None, VECTORS.format("the embedding"))
    vectors_words: int | None = option(
        None, "words of vectors, the first ones, that get an id although training has not seen them", at_least=1
    )
    codecs: ClassVar[dict[str, str]] = {"vectors": "codec"}

    def __post_init__(self):
        for name in self.codecs:
            if isinstance(path := getattr(self, name), os.PathLike):
                object.__setattr__(self, name, os.fspath(path))
        super().__post_init__()
        if self.vectors_words is not None and self.vectors is None:
            raise ValueError(f"vectors_words needs vectors. Received: vectors_words={self.vectors_words}, vectors=None")

    def files(self) -> dict[str, str]:
        """The files that are given, by the names of their options."""
        return {name: path for name in self.codecs if (path := getattr(self, name)) is not None}


@dataclass(frozen=True)
class PairEmbeddingOptions(EmbeddingOptions):
    """Options of what the embeddings of sources and of targets begin with. Errors: see `EmbeddingOptions`."""

    vectors: str | None = option(None, VECTORS.format("the embedding of sources"))
    target_vectors: str | None = option(None, VECTORS.format("the embedding of targets"))
    codecs: ClassVar[dict[str, str]] = {"vectors": "source", "target_vectors": "target"}


TEXT_OPTIONS: dict[str, type[VocabularyOptions]] = {
    "language-model": LanguageModelTextOptions,
    "labeler": LabelerTextOptions,
    "classifier": ClassifierTextOptions,
    "encoder-decoder": PairTextOptions,
    "multi-label": ClassifierTextOptions,
}
