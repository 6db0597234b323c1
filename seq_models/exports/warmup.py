"""The requests that a server answers for itself before it serves a version: the first ones are slow.

TensorFlow Serving reads them from `assets.extra/tf_serving_warmup_requests`, a file of `PredictionLog` records.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework.types_pb2 import DataType
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

from seq_models.errors import ExportRefused
from seq_models.exports.records import DEFAULT_SIGNATURE, predict_request, read_records, write_records
from seq_models.exports.tensors import array_of
from seq_models.tasks.text_model import TextModel

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MOST = 1000  # records that TensorFlow Serving takes
SIZES = (1, 32)  # rows of a request
SHORT, LONG = 4, 40  # words of a text


def write(model: TextModel, path: Path) -> None:
    """Writes the records of an export: each signature, one row and many, short texts and long ones."""
    (path / FILE).parent.mkdir()
    write_records(path / FILE, map(_log, requests_of(model)))


def requests_of(model: TextModel) -> list[PredictRequest]:
    """The requests that an export is given."""
    words = [word for text in model.sample_texts for word in text.split()] or ["a"]
    texts = [" ".join((words * length)[:length]) for length in (SHORT, LONG)]
    return [
        predict_request(name, signature.questions([text.encode()] * size))
        for name, signature in model.signatures().items()
        for size in SIZES
        for text in texts
    ]


def read(path: str | Path) -> list[PredictRequest]:
    """The requests of a SavedModel; none if it has no file of them.

    Args:
        path: The directory of the SavedModel.
    Raises:
        ExportRefused: If the file is damaged, or holds more than 1000 records or others than requests to predict.
    """
    file = Path(path) / FILE
    if not file.exists():
        return []
    try:
        logs = [PredictionLog.FromString(record) for record in islice(read_records(file), MOST + 1)]
    except (tf.errors.OpError, DecodeError) as error:
        raise ExportRefused(f"{file} must hold PredictionLog records. Received: {error}") from error
    if len(logs) > MOST:
        raise ExportRefused(f"{file} must hold at most {MOST} requests. Received: more")
    for log in logs:
        if log.WhichOneof("log_type") != "predict_log":
            kind = log.WhichOneof("log_type")
            raise ExportRefused(f"{file} must hold requests to predict only. Received: a {kind}")
    return [log.predict_log.request for log in logs]


def check_requests(requests: Sequence[PredictRequest], signatures: Mapping[str, SignatureDef]) -> None:
    """Refuses requests that a model has no answer to.

    Args:
        requests: Of `read`.
        signatures: Those of the model, by name.
    Raises:
        ExportRefused: If a request names a signature that is none, has other inputs than it, or a tensor whose values
            are not those of its shape.
    """
    for number, request in enumerate(requests):
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if name not in signatures:
            known = sorted(signatures)
            raise ExportRefused(f"{FILE}: request {number} must be to one of {known}. Received: {name!r}")
        inputs, optional = signatures[name].inputs, signatures[name].defaults.keys()
        types = {alias: inputs[alias].dtype for alias in inputs if alias in request.inputs or alias not in optional}
        sent = {alias: tensor.dtype for alias, tensor in request.inputs.items()}
        if sent != types:
            raise ExportRefused(
                f"{FILE}: request {number} to {name} must have {_shown(types)}. Received: {_shown(sent)}"
            )
        for alias, tensor in request.inputs.items():
            try:
                rank, expected = array_of(tensor).ndim, len(inputs[alias].tensor_shape.dim)
                if rank != expected:
                    raise ValueError(f"the rank must be {expected}. Received: {rank}")
            except (TypeError, ValueError, OverflowError) as error:
                raise ExportRefused(f"{FILE}: request {number} to {name}, {alias}: {error}") from error


def _shown(types):
    return ", ".join(f"{alias} of {DataType.Name(dtype)}" for alias, dtype in sorted(types.items())) or "nothing"


def _log(message):
    return PredictionLog(predict_log=PredictLog(request=message))
