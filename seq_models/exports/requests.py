"""Requests and answers as the messages of TensorFlow Serving, in files of records."""

import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse


def request(signature, inputs):
    """A `PredictRequest` of arrays."""
    message = PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = "model", signature
    for name, array in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(array, tf.as_dtype(array.dtype), array.shape))
    return message


def write_records(path, messages):
    """Writes messages, a record each, without compression."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for message in messages:
            writer.write(message.SerializeToString())


def read_answers(path):
    """The `PredictResponse` records of a file, a list of dictionaries of arrays."""
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    messages = (PredictResponse.FromString(record) for record in records)
    return [{name: tf.make_ndarray(tensor) for name, tensor in message.outputs.items()} for message in messages]
