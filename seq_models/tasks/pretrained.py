"""Embeddings that begin with vectors of a file."""

from dataclasses import replace
from typing import Any, NamedTuple

import keras

from seq_models.errors import InputError
from seq_models.messages import say
from seq_models.text.options import EmbeddingOptions
from seq_models.text.preprocessors import Preprocessor
from seq_models.text.vectors import Vectors, find_vectors, vector_size


class Beginning(NamedTuple):
    """What an embedding begins with: vectors, and the id of the first of the words that they added."""

    vectors: Vectors
    at: int


def sized(network: Any, options: EmbeddingOptions) -> Any:
    """The options of a network, whose embeddings have the size of the vectors.

    Raises:
        InputError: If the files have vectors of other sizes than each other or `embedding_units`.
    """
    sizes = {path: vector_size(path) for path in options.files().values()}
    for path, size in sizes.items():
        if (asked := network.embedding_units) not in (None, size):
            expected = f"left out, or {size}, the size of the vectors of {path}"
            raise InputError(f"embedding_units must be {expected}. Received: {asked}")
    if len(set(sizes.values())) > 1:
        received = " and ".join(f"{size} in {path}" for path, size in sizes.items())
        raise InputError(f"All vectors must have one size. Received: {received}")
    return replace(network, embedding_units=next(iter(sizes.values()))) if sizes else network


def with_vectors(preprocessor: Any, options: EmbeddingOptions) -> tuple[Any, dict[str, Beginning]]:
    """Reads the files of vectors; says how many words they have.

    Returns:
        The preprocessor, with the words that are added, and what embeddings begin with by the names of their layers.
    Raises:
        InputError: See `find_vectors`; or if words cannot be added.
    """
    beginnings = {}
    for name, path in options.files().items():
        part = options.codecs[name]
        most = (options.vectors_words or 0) if name == "vectors" else 0
        vectors = _found(preprocessor, part, path, most)
        codec = getattr(preprocessor, part)
        beginnings[layer_of(part)] = Beginning(vectors, codec.vocabulary.first_seen_once)
        if words := vectors.more[0]:
            preprocessor = preprocessor.with_codec(part, codec.with_words(words))
    return preprocessor, beginnings


def begin(network: keras.Model, beginnings: dict[str, Beginning]) -> None:
    """Gives embeddings what they begin with."""
    for layer, (vectors, at) in beginnings.items():
        table = vectors.table(lambda shape: keras.ops.convert_to_numpy(keras.random.normal(shape)), at)
        network.get_layer(layer).embeddings.assign(table)


def layer_of(part: str) -> str:
    """The name of the embedding of a codec's tokens."""
    return "embedding" if part == "codec" else f"{part}_embedding"


def _found(preprocessor: Preprocessor, part: str, path: str, most: int) -> Vectors:
    codec = getattr(preprocessor, part)
    if most and codec.name == "wordpiece":
        raise InputError(f"vectors_words must be left out with tokenizer=wordpiece. Received: vectors_words={most}")
    vectors = find_vectors(
        path, codec.vocabulary.tokens, codec.normalization, most, lambda words: preprocessor.are_tokens(codec, words)
    )
    told = vectors.coverage()
    found, total = told["exact"] + told["lower_cased"], sum(told.values()) - told["added"]
    added = f"; {told['added']:,} words that training has not seen are added" if most else ""
    say(
        f"{path} has vectors of {found:,} of {total:,} words, of {told['lower_cased']:,} of them in lower case; those "
        f"of the other {told['missing']:,} begin as random ones like these{added}."
    )
    return vectors


def coverage(beginnings: dict[str, Beginning]) -> dict[str, dict[str, Any]]:
    """Of each embedding its file, and what `Vectors.coverage` says."""
    return {
        layer: {"file": str(vectors.path), "size": vectors.size, **vectors.coverage()}
        for layer, (vectors, _) in beginnings.items()
    }
