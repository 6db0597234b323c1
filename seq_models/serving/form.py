"""The form of a model that an export holds: equal to that of training, and made for few rows and a server."""

import contextlib

from seq_models.layers.recurrent import Recurrent
from seq_models.text.vocabulary import Vocabulary


@contextlib.contextmanager
def serving_form(model, directory):
    """Within it, a model is traced in its form for a server.

    Vocabularies are files, which become assets of the export, and no constants of its graph. Rows are not cut in
    halves, which pays for whole batches of training only.

    Args:
        model: A task's model.
        directory: Where the files of vocabularies are written, a `pathlib.Path`.
    """
    vocabularies = [part for part in model.preprocessor.parts() if isinstance(part, Vocabulary)]
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, Recurrent)]  # also those in wrappers
    halves = [layer.halves for layer in layers]
    with contextlib.ExitStack() as stack:
        for number, vocabulary in enumerate(vocabularies):
            stack.enter_context(vocabulary.kept_in(directory / f"vocabulary_{number}.txt"))
        try:
            for layer in layers:
                layer.halves = False
            yield [table for vocabulary in vocabularies for table in vocabulary.tables]
        finally:
            for layer, value in zip(layers, halves, strict=True):
                layer.halves = value
