"""The files of `serving/`, and servers that stand in for TensorFlow Serving."""

import json
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import yaml
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.predict_pb2 import PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
    add_PredictionServiceServicer_to_server,
)
from tensors import to_tensor

from seq_models import demo

ROOT = Path(__file__).parents[1]
SERVING = ROOT / "serving"
MODELS = list(demo.RECIPES)


def documents(name):
    """The YAML documents of a file of `serving/`."""
    return list(yaml.safe_load_all((SERVING / name).read_text("utf-8")))


COMPOSE = documents("docker-compose.yml")[0]
DEPLOYMENT = documents("kubernetes/deployment.yaml")[0]
POD = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
CONFIG_MAP = documents("kubernetes/configmap.yaml")[0]
CLAIM = documents("kubernetes/claim.yaml")[0]
SERVICE, HEADLESS = documents("kubernetes/service.yaml")
AUTOSCALER, BUDGET = documents("kubernetes/autoscaler.yaml")
MONITOR = documents("kubernetes/monitor.yaml")[0]
INFERENCE = documents("kserve/inference-service.yaml")[0]
MANIFESTS = [
    str(path.relative_to(SERVING)) for folder in ("kubernetes", "kserve") for path in (SERVING / folder).iterdir()
]
ARGUMENTS = {"compose": COMPOSE["services"]["serving"]["command"], "kubernetes": CONTAINER["args"]}
README = (SERVING / "README.md").read_text("utf-8")


def flags(words):
    """`--name=value` words as a dict."""
    pairs = [re.fullmatch(r"--(\w+)=(.+)", word).groups() for word in words]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"  # where the stubs are
ANSWER = {"label": ["positive", "negative"], "score": [0.75, 0.5]}
TWO = ["a good book", "a bad book"]


class RestStub(BaseHTTPRequestHandler):
    """Answers what the server object says: a status and a body each, then the usual answer."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(*(self.server.replies.pop(0) if self.server.replies else (200, {"model_spec": {}})))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, body))
        time.sleep(self.server.pause)
        self._answer(*(self.server.replies.pop(0) if self.server.replies else (200, {"outputs": ANSWER})))

    def _answer(self, status, body):
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def rest_stub():
    """A `RestStub` that listens; its `address` is for clients."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), RestStub)
    server.replies, server.requests, server.pause = [], [], 0
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class GrpcStub(PredictionServiceServicer):
    """Refuses with what `refusals` says, a code and a sentence each, then gives the usual answer."""

    def __init__(self):
        self.refusals, self.requests, self.pause = [], [], 0

    def Predict(self, request, context):
        self.requests.append(request)
        time.sleep(self.pause)
        if self.refusals:
            context.abort(*self.refusals.pop(0))
        response = PredictResponse()
        response.outputs["label"].CopyFrom(to_tensor(ANSWER["label"]))
        response.outputs["score"].CopyFrom(to_tensor(ANSWER["score"], types_pb2.DT_FLOAT))
        return response

    def GetModelMetadata(self, request, context):
        signatures, response = SignatureDefMap(), GetModelMetadataResponse()
        inputs = signatures.signature_def["generate"].inputs
        inputs["prompt"].dtype, inputs["seed"].dtype = types_pb2.DT_STRING, types_pb2.DT_INT64
        response.metadata["signature_def"].Pack(signatures)
        return response


@contextmanager
def grpc_stub():
    """A `GrpcStub` that listens; its `address` is for clients."""
    stub = GrpcStub()
    server = grpc.server(ThreadPoolExecutor(4))
    add_PredictionServiceServicer_to_server(stub, server)
    stub.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield stub
    server.stop(0).wait()


@contextmanager
def client_of(kind, server, **options):
    """A client of a stub, closed at the end."""
    client = kind(server.address, **options)
    try:
        yield client
    finally:
        client.close()
