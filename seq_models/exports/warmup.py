"""The requests that a server answers for itself before it serves a version: the first ones are slow.

TensorFlow Serving reads them from `assets.extra/tf_serving_warmup_requests`, a file of `PredictionLog` records.
"""

from pathlib import Path

from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

from seq_models.exports.requests import request, write_records

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
SIZES = (1, 32)  # rows of a request
SHORT, LONG = 4, 40  # words of a text


def write(model, path):
    """Writes the records of an export: each signature, one row and many, short texts and long ones."""
    (path / FILE).parent.mkdir()
    write_records(path / FILE, map(_log, requests_of(model)))


def requests_of(model):
    """The `PredictRequest`s, a list."""
    words = [word for text in model.golden for word in text.split()] or ["a"]
    texts = [" ".join((words * length)[:length]) for length in (SHORT, LONG)]
    return [
        request(name, signature.questions([text.encode()] * size))
        for name, signature in model.signatures().items()
        for size in SIZES
        for text in texts
    ]


def _log(message):
    return PredictionLog(predict_log=PredictLog(request=message))
