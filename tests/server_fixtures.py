"""Models for the tests of the server, of a few operations each, and servers that run within the tests."""

import atexit
import functools
import http.client
import json
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
import tensorflow_text
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from seq_models.server import Server, models, parse_flags, polling, run


def signature(function, **inputs):
    """A concrete function of vectors."""
    specs = [tf.TensorSpec([None], dtype, name=name) for name, dtype in inputs.items()]
    return tf.function(function, input_signature=specs, autograph=False)


def classify_text(text):
    """A label, which is the text in capitals, and three numbers from the count of its words."""
    text = tf.ensure_shape(text, [None])
    words = tensorflow_text.WhitespaceTokenizer().tokenize(text)
    count = tf.cast(words.row_lengths(), tf.float32)
    return {"label": tf.strings.upper(text), "probs": tf.stack([count, count + 1, count / 3], axis=1)}


def split_unchecked(text):
    """Ends the process when it is given a scalar."""
    return {"count": tensorflow_text.WhitespaceTokenizer().tokenize(text).row_lengths()}


def multiply_matrices(steps):
    """Takes as long as it is told."""
    start = tf.ones([300, 300])
    _, product = tf.while_loop(
        lambda step, _: step < steps[0], lambda step, x: (step + 1, tf.linalg.matmul(x, x) * 1e-3), [0, start]
    )
    return {"total": tf.reduce_sum(product)[None]}


ONE = tf.constant([1])


def add_one_or_more(x, k=ONE):
    """An input that may be left out."""
    return {"sum": x + k}


HALF_SIGNATURES = {"serving_default": signature(lambda x: {"y": x / 2 + 2}, x=tf.float32)}
TEXT_SIGNATURES = {
    "serving_default": signature(classify_text, text=tf.string),
    "two": signature(lambda text, k: {"sum": tf.strings.length(text) + k}, text=tf.string, k=tf.int32),
    "unchecked": signature(split_unchecked, text=tf.string),
    "label": signature(lambda text: {"label": tf.strings.upper(text)}, text=tf.string),
}
KIND_SIGNATURES = {
    "serving_default": signature(lambda x: {"x": tf.identity(x)}, x=tf.float32),
    "double": signature(lambda x: {"x": tf.identity(x)}, x=tf.float64),
    "int": signature(lambda k: {"k": tf.identity(k)}, k=tf.int32),
    "int64": signature(lambda k: {"k": tf.identity(k)}, k=tf.int64),
    "uint8": signature(lambda k: {"k": tf.identity(k)}, k=tf.uint8),
    "bool": signature(lambda b: {"b": tf.logical_not(b)}, b=tf.bool),
    "bytes": signature(lambda x: {"x_bytes": tf.identity(x)}, x=tf.string),
    "string": signature(lambda x: {"x": tf.identity(x)}, x=tf.string),
    "number": signature(lambda x: {"x": tf.strings.to_number(x)}, x=tf.string),
    "words": signature(lambda x: {"x": tf.strings.split(x)}, x=tf.string),
    "half": signature(lambda x: {"h": tf.cast(x, tf.float16)}, x=tf.float32),
    "scalar": signature(lambda x: {"n": tf.reduce_sum(x)}, x=tf.float32),
    "uneven": signature(lambda x: {"a": x, "b": x[:1]}, x=tf.float32),
    "matrix": tf.function(lambda x: {"x": x + 1}, input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")]),
    "slow": signature(multiply_matrices, steps=tf.int32),
    "optional": signature(add_one_or_more, x=tf.int32, k=tf.int32),
}


@functools.cache
def model_base():
    """The directory with the models hpt (version 123), txt and kinds (version 1 each)."""
    base = Path(tempfile.mkdtemp(prefix="server-models-"))
    atexit.register(shutil.rmtree, base)
    tf.saved_model.save(tf.Module(), str(base / "hpt" / "00000123"), signatures=HALF_SIGNATURES)
    tf.saved_model.save(tf.Module(), str(base / "txt" / "1"), signatures=TEXT_SIGNATURES)
    tf.saved_model.save(tf.Module(), str(base / "kinds" / "1"), signatures=KIND_SIGNATURES)
    return base


@contextmanager
def running(*flags):
    """A server with all models unless flags say which, on free ports; it looks at its files ten times as often."""
    which = [] if any(str(flag).startswith("--model_") for flag in flags) else ["--model_base", model_base()]
    options = parse_flags([str(word) for word in ["--port=0", "--rest_api_port=0", *which, *flags]])
    with pytest.MonkeyPatch.context() as patched:
        for module in (models, run):
            patched.setattr(module, "every", lambda seconds, *rest: polling.every(seconds / 10, *rest))
        with Server(options) as server:
            yield server


def ask(server, method, path, body=None, headers=None, timeout=30):
    """(status, headers, bytes) of one HTTP request; a body that is no string or bytes is sent as JSON."""
    if body is not None and not isinstance(body, str | bytes):
        body = json.dumps(body)
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_api_port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def post(server, path, body):
    """(status, value of the JSON) of a POST below /v1/models/."""
    status, headers, content = ask(server, "POST", f"/v1/models/{path}", body)
    assert headers["Content-Type"] == "application/json"
    return status, json.loads(content)


def get(server, path):
    """(status, value of the JSON) of a GET below /v1/models."""
    status, headers, content = ask(server, "GET", f"/v1/models{path}")
    assert headers["Content-Type"] == "application/json"
    return status, json.loads(content)


@contextmanager
def grpc_stubs(server):
    """(PredictionService, ModelService) of a server."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield (
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )
