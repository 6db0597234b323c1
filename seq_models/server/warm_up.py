"""The requests that a model brings with it, so that its first client need not wait."""

import asyncio
import itertools
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from grpc import StatusCode
from tensorflow_serving.apis import prediction_log_pb2

from seq_models.server.inference import classify, multi_inference, predict, regress
from seq_models.server.status import RequestError, errors_of_tensorflow, invalid

FILE = Path("assets.extra", "tf_serving_warmup_requests")
MOST_RECORDS = 1000
FUNCTIONS = {
    "predict_log": predict,
    "classify_log": classify,
    "regress_log": regress,
    "multi_inference_log": multi_inference,
}


def warm_up(servable, path, timeouts_in_ms):
    """Runs the recorded requests of a model; without a file of them it does nothing.

    Args:
        servable: The `Servable`.
        path: The directory of its version.
        timeouts_in_ms: Those that requests will run with: for each the engine prepares anew.
    Raises:
        RequestError: If the file is damaged, has more than 1000 records, or one of them fails.
    """
    if not (Path(path) / FILE).exists():
        return
    for record in _records(Path(path) / FILE):
        for timeout_in_ms in timeouts_in_ms:
            _replay(servable, record, timeout_in_ms)


def _replay(servable, record, timeout_in_ms):
    log = prediction_log_pb2.PredictionLog()
    try:
        log.ParseFromString(record)
    except DecodeError as error:
        raise invalid(f"Failed to parse warmup record: {error}") from error
    kind = log.WhichOneof("log_type")
    if kind not in FUNCTIONS:
        raise RequestError(StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")

    async def run(servable, signature, inputs, outputs):
        return servable.run(signature, inputs, outputs, timeout_in_ms)

    asyncio.run(FUNCTIONS[kind](servable, getattr(log, kind).request, run))


def _records(path):
    with errors_of_tensorflow():
        records = list(itertools.islice(tf.data.TFRecordDataset(str(path)).as_numpy_iterator(), MOST_RECORDS + 1))
    if len(records) > MOST_RECORDS:
        raise invalid(f"Number of warmup records exceeds the maximum ({MOST_RECORDS})")
    return records
