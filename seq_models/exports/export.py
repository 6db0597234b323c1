"""A model as a SavedModel that TensorFlow Serving serves: strings in, named dense tensors out."""

import contextlib
import inspect
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf

from seq_models.errors import InputError, path_of
from seq_models.exports import warmup
from seq_models.exports.engines import SERVING
from seq_models.exports.gate import Process, check
from seq_models.exports.manifest import manifest_of
from seq_models.exports.probes import probes_of
from seq_models.exports.rounding import Rounding
from seq_models.exports.versions import check_new, publish
from seq_models.layers import engines
from seq_models.tasks.signature import Signature
from seq_models.tasks.text_model import TextModel


def export(model: TextModel, base: str | Path, version: int | None = None) -> Path:
    """Writes `base/<version>/`, which becomes visible when it is whole and has passed the gate; returns its path.

    The signatures are those of `model.signatures()`. Nothing is published that a server could not load, or that does
    not answer as the model does, see `seq_models.exports.gate.check`. What was checked, and with which questions and
    answers, is in `base/manifests/<version>.json`.

    Args:
        model: A task's model.
        base: The directory of all versions of the model; made if it does not exist.
        version: A positive integer that no version there has; by default the one above the highest.
    Raises:
        InputError: If `model` is none, `base` is no path or a file, the version is there already, or the disk is full.
        ExportRefused: If the export does not pass the gate; says what is wrong.
    """
    base = path_of("base", base)
    if not isinstance(model, TextModel):
        raise InputError(f"model must be a model, as sm.load_run gives it. Received: model={model!r:.60}")
    check_new(base, version)  # an error now, and not after the work
    is_new = not base.exists()
    base.mkdir(parents=True, exist_ok=True)
    aside = base / f".tmp-{uuid.uuid4().hex}"  # on the same file system, and no version to a server
    try:
        with Process() as process:  # it starts while the model is traced
            write(model, aside)
            probes = probes_of(model)
            warmup.write(model, aside)
            check(aside, probes, process, rounding := Rounding(model))
        rounding.say()
        return publish(aside, base, manifest_of(model, aside, probes), version)
    except (OSError, tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message
        raise InputError(
            f"{base} must be on a disk that can be written to and has room; the versions there stay as they are. "
            f"Received: {reason or error}"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):  # it holds a version
                base.rmdir()


def write(model: TextModel, path: Path) -> None:
    """Writes a SavedModel with the signatures of a model, unchecked."""
    module = tf.Module()
    module.variables_ = [weight.value for weight in model.weights]
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        module.tables = stack.enter_context(vocabularies_in(directory, model))
        stack.enter_context(engines.using(*SERVING))
        functions = {name: traced(signature) for name, signature in model.signatures().items()}
        tf.saved_model.save(module, str(path), signatures=functions)


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


def traced(signature: Signature) -> Callable[..., dict[str, tf.Tensor]]:
    """A `tf.function` of a `Signature` that checks the ranks of its inputs first.

    A server does not check shapes, and some text operations crash on a scalar.
    """

    def serve(*inputs):
        checked = [tf.ensure_shape(tensor, spec.shape) for tensor, spec in zip(inputs, signature.inputs, strict=True)]
        return {name: _carried(tensor) for name, tensor in signature.function(*checked).items()}

    # The names and defaults of the inputs are those of the parameters, which TensorFlow reads from here.
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    named = [inspect.Parameter(spec.name, kind, default=_default(signature, spec)) for spec in signature.inputs]
    vars(serve)["__signature__"] = inspect.Signature(named)
    return tf.function(serve, input_signature=signature.inputs, autograph=False)


def _default(signature, spec):
    value = signature.defaults.get(spec.name)
    return inspect.Parameter.empty if value is None else tf.constant(value, spec.dtype)


def _carried(tensor):
    """JSON carries no floats of 16 bits."""
    return tf.cast(tensor, tf.float32) if tensor.dtype in (tf.float16, tf.bfloat16) else tensor
