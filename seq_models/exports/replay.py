"""Answers requests with a SavedModel, the way a server does, in a process that does not know this package.

    echo '["MODEL", "REQUESTS", "ANSWERS"]' | python replay.py

The v1 loader and `Session` are what TensorFlow Serving runs. REQUESTS holds `PredictRequest` records, ANSWERS gets a
`PredictResponse` record for each of them. A request that fails ends the process with 1 and a line that says which; but
one to the model "trial" is made up, and has an empty answer then.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
modules: dict[str, Any] = sys.modules
modules["seq_models"] = None  # importing it is an error from here on

import tensorflow as tf  # noqa: E402  after the environment that it reads
import tensorflow_text  # noqa: E402, F401  its operations, which a server has, too
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse  # noqa: E402


def main(model: str, requests: str, answers: str) -> None:
    """Answers the requests of one file into another."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], model).signature_def
    with tf.io.TFRecordWriter(answers) as writer:
        for number, record in enumerate(tf.compat.v1.io.tf_record_iterator(requests)):
            request = PredictRequest.FromString(record)
            try:
                writer.write(answer(session, signatures, request).SerializeToString())
            except tf.errors.OpError as error:
                if request.model_spec.name == "trial":
                    writer.write(b"")
                    continue
                sys.exit(f"request {number} to {request.model_spec.signature_name}: {error.message.splitlines()[0]}")


def answer(session: tf.compat.v1.Session, signatures: Mapping, request: PredictRequest) -> PredictResponse:
    """Runs the signature that a request names."""
    signature = signatures[request.model_spec.signature_name or "serving_default"]
    feed = {signature.inputs[name].name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    fetched = session.run({name: info.name for name, info in signature.outputs.items()}, feed)
    response = PredictResponse()
    for name, array in fetched.items():
        dtype = tf.as_dtype(signature.outputs[name].dtype)
        response.outputs[name].CopyFrom(tf.make_tensor_proto(array, dtype, array.shape))
    return response


if __name__ == "__main__":
    line = sys.stdin.readline()
    if line:  # else whoever started this has nothing to ask
        main(*json.loads(line))
