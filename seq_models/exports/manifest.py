"""What is known of an export, beside it: for those who deploy it, and for whoever asks later what it was."""

import base64
import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from tensorflow.core.framework.types_pb2 import DataType

from seq_models.errors import ExportRefused
from seq_models.exports.graphs import Artifact
from seq_models.exports.operations import known
from seq_models.exports.probes import Probe
from seq_models.exports.versions import MANIFESTS, is_number
from seq_models.tasks.text_model import TextModel

MINIMUM_SERVER = "2.20.0"  # of TensorFlow Serving: the first one with the operations of TensorFlow Text 2.20
PACKAGES = ("seq_models", "tensorflow", "tensorflow-text", "keras")
LONGEST = 1000  # bytes of a question that is repeated here


def manifest_of(model: TextModel, path: Path, probes: Iterable[Probe]) -> str:
    """The text of a manifest, JSON.

    Args:
        model: A task's model.
        path: The directory of its SavedModel.
        probes: The questions that it has answered, a list of `Probe`.
    """
    artifact = Artifact(path)
    return json.dumps(
        {
            "task": model.task_name,
            "minimum_server": MINIMUM_SERVER,
            "packages": {name: version(name) for name in PACKAGES},
            "labels": model.vocabularies().get("labels", []),
            "vocabularies": {name: _digest("\n".join(lines).encode()) for name, lines in model.vocabularies().items()},
            "signatures": {name: _signature(signature) for name, signature in sorted(artifact.signatures.items())},
            "operations": sorted({node.op for node in artifact.nodes} & known().keys()),
            "files": _digests(path),
            "probes": [
                {"signature": probe.signature, "inputs": _plain(probe.inputs), "outputs": _plain(probe.answer)}
                for probe in probes
                if _is_short(probe)
            ],
        },
        ensure_ascii=False,
        indent=1,
    )


def check_files(path: Path) -> None:
    """Refuses a version whose files are not those that were published; one without a manifest has none to differ.

    Args:
        path: The directory of a SavedModel.
    Raises:
        ExportRefused: If a file is missing, another one or one more, or the manifest is damaged.
    """
    path = path.resolve()
    manifest = path.parent / MANIFESTS / f"{int(path.name) if is_number(path.name) else path.name}.json"
    try:
        expected = json.loads(manifest.read_text("utf-8"))["files"]
        expected.keys()
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportRefused(f"{manifest} must be the manifest of {path.name}. Received: {error!r}") from error
    found = _digests(path)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise ExportRefused(f"{path / name} must be there, as in the manifest. Received: no file")
        if name not in expected:
            raise ExportRefused(f"{path} must have the files of its manifest. Received: one more, {name}")
        if found[name] != expected[name]:
            raise ExportRefused(f"{path / name} must be the file of the manifest. Received: another one")


def _digests(path):
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): _digest(file.read_bytes()) for file in files}


def _signature(signature):
    sides = {"inputs": signature.inputs, "outputs": signature.outputs}
    return {side: {name: _tensor(info) for name, info in sorted(infos.items())} for side, infos in sides.items()}


def _tensor(info):
    return {"type": DataType.Name(info.dtype), "shape": [dim.size for dim in info.tensor_shape.dim]}


def _is_short(probe):
    """Whether it is one row, and not a long one."""
    return all(len(array) == 1 and len(str(array[0])) <= LONGEST for array in probe.inputs.values())


def _plain(arrays):
    return {name: _value(array.tolist()) for name, array in arrays.items()}


def _value(value):
    """JSON of a value; bytes that are no text as TensorFlow Serving takes them, `{"b64": …}`."""
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return value


def _digest(data):
    return hashlib.sha256(data).hexdigest()
