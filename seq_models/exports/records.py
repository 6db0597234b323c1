"""Messages of TensorFlow Serving in files of records: requests to predict, and their answers."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import Message
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

Arrays = dict[str, np.ndarray]
DEFAULT_SIGNATURE = "serving_default"  # of a request that names none


def predict_request(signature: str, inputs: Arrays) -> PredictRequest:
    """A `PredictRequest` of arrays, for the signature of that name."""
    message = PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = "model", signature
    for name, array in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(array, tf.as_dtype(array.dtype), array.shape))
    return message


def write_records(path: Path, messages: Iterable[Message]) -> None:
    """Writes messages, a record each, without compression."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for message in messages:
            writer.write(message.SerializeToString())


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a file, one after the other."""
    return tf.data.TFRecordDataset(str(path)).as_numpy_iterator()


def read_answers(path: Path) -> list[Arrays]:
    """The `PredictResponse` records of a file, as arrays by name."""
    messages = map(PredictResponse.FromString, read_records(path))
    return [{name: tf.make_ndarray(tensor) for name, tensor in message.outputs.items()} for message in messages]
