"""A model as a SavedModel that TensorFlow Serving serves: strings in, named dense tensors out."""

import os
import shutil
import uuid
from pathlib import Path

import keras
import tensorflow as tf

from seq_models.errors import InputError
from seq_models.tasks.task import STRINGS


def export(model, base):
    """Writes `base/<version>/`, the version one above the highest there, visible only when it is whole.

    The signature `serving_default` takes a tensor of strings `text` (B,) and gives what the model's `respond` gives, so
    that a server and `predict_text` answer alike.

    Args:
        model: A task's model.
        base: The directory of all versions of the model; made if it does not exist.
    Returns:
        The path of the new version.
    Raises:
        InputError: If `base` is a file.
    """
    base = Path(base)
    if base.exists() and not base.is_dir():
        raise InputError(f"{base} must be a directory for versions of a model. Received: a file")
    base.mkdir(parents=True, exist_ok=True)
    aside = base / f".tmp-{uuid.uuid4().hex}"  # on the same file system, and no version to a server
    try:
        _write(model, aside)
        return _publish(aside, base)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(model, path):
    archive = keras.export.ExportArchive()
    archive.track(model)
    for table in model.preprocessor.tables():
        archive.track(table)

    def serve(text):
        # A server does not check shapes, and some text operations crash on a scalar.
        return model.respond(tf.ensure_shape(text, [None]))

    archive.add_endpoint("serving_default", serve, [STRINGS])
    archive.write_out(str(path), verbose=False)


def _publish(aside, base):
    while True:
        version = max((int(path.name) for path in base.iterdir() if path.name.isdecimal()), default=0) + 1
        try:
            os.rename(aside, base / str(version))  # fails if another export took the number meanwhile
            return base / str(version)
        except OSError:
            if not (base / str(version)).exists():
                raise
