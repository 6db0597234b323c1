"""Vocabularies as files of an export."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from seq_models.tasks.text_model import TextModel


@contextlib.contextmanager
def vocabularies_in(directory: Path, model: TextModel) -> Iterator[list[tf.lookup.StaticHashTable]]:
    """The tables of a model's vocabularies, which within it are files: assets of an export, no constants of its graph.

    Args:
        directory: Where the files are written.
        model: A task's model.
    """
    vocabularies = model.preprocessor.vocabularies()
    with contextlib.ExitStack() as stack:
        for number, vocabulary in enumerate(vocabularies):
            stack.enter_context(vocabulary.kept_in(directory / f"vocabulary_{number}.txt"))
        yield [table for vocabulary in vocabularies for table in vocabulary.tables]
