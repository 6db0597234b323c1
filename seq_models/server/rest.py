"""The REST API, as an ASGI application."""

import asyncio
import gzip
import io
import json
import logging
import re
import zlib
from urllib.parse import unquote

from google.protobuf import json_format
from grpc import StatusCode
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from tensorflow_serving.apis import classification_pb2, regression_pb2

from seq_models.server.inference import METADATA, classify, metadata_spec, regress, signature_map
from seq_models.server.json_examples import (
    input_from_json,
    json_from_classification,
    json_from_regression,
)
from seq_models.server.json_tensors import inputs_from_json, json_from_outputs
from seq_models.server.json_text import parse_object, shown
from seq_models.server.servable import DEFAULT_SIGNATURE
from seq_models.server.status import HTTP_STATUS, RequestError, invalid

_MODEL = r"/v1/models/(?P<name>[^/:]+)"
_WHICH = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
ASK = re.compile(_MODEL + _WHICH + r":(?P<verb>classify|regress|predict)", re.I | re.A)
LOOK = re.compile(r"/v1/models(?:/(?P<name>[^/:]+))?" + _WHICH + r"(?:/(?P<part>metadata))?", re.I | re.A)
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
TOO_LARGE = 413
NOT_FOUND = "<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>"
LOG = logging.getLogger(__name__)


class RestApi:
    """An ASGI application.

    Args:
        service: A `Service`.
        pool: An executor, for the graphs.
        options: The flags of the server.
        metrics_path: Where the metrics are, or None.
    """

    def __init__(self, service, pool, options, metrics_path=None):
        self._service = service
        self._pool = pool
        self._timeout_in_ms = options.rest_api_timeout_in_ms
        self._largest = options.max_request_bytes
        self._headers = CORS if options.rest_api_enable_cors_support else {}
        self._metrics_path = metrics_path

    async def __call__(self, scope, receive, send):
        """Answers one HTTP request."""
        request = Request(scope, receive)
        path = scope["raw_path"].decode("latin-1")
        try:
            async with asyncio.timeout(self._timeout_in_ms / 1000):
                body = await self._read(request)
        except ClientDisconnect:
            return
        except TimeoutError:
            response = self._error(RequestError(StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for the request"))
        else:
            response = await self._answer(request, path, body)
        await response(scope, receive, send)

    async def _read(self, request):
        """The bytes of the body, or None if there are too many."""
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._largest:
                return None
            chunks.append(chunk)
        return b"".join(chunks)

    async def _answer(self, request, path, body):
        try:
            if path == self._metrics_path:
                return Response(self._service.metrics.page(), media_type="text/plain")
            if not path.lower().startswith("/v1/"):
                return HTMLResponse(NOT_FOUND, 404)
            if request.method == "OPTIONS" and "origin" in request.headers:
                return self._reply(b"")
            body = self._unpack(request, body)
            if body is None:
                return self._too_large()
            return self._reply(await self._route(request.method, path, body))
        except RequestError as error:
            return self._error(error)
        except Exception:
            LOG.exception("%s %s", request.method, path)
            return self._error(RequestError(StatusCode.INTERNAL, "Internal error"))

    def _unpack(self, request, body):
        """The body as it was before its encoding; None if that is too large."""
        if body is None or request.headers.get("content-encoding", "").lower() != "gzip":
            return body
        try:
            unpacked = gzip.GzipFile(fileobj=io.BytesIO(body)).read(self._largest + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise invalid(f"Failed to decompress the request body: {error}") from error
        return unpacked if len(unpacked) <= self._largest else None

    def _reply(self, content, status=200):
        return Response(content, status, self._headers, "application/json")

    def _error(self, error):
        return self._reply(json.dumps({"error": error.message}) if error.message else b"", HTTP_STATUS[error.code])

    def _too_large(self):
        message = f"The request must be of at most {self._largest} bytes"
        return self._reply(json.dumps({"error": message}), TOO_LARGE)

    async def _route(self, method, path, body):
        """The text of a reply."""
        found = {"POST": ASK, "GET": LOOK}[method].fullmatch(path) if method in ("POST", "GET") else None
        if found is None:
            raise invalid(f"Malformed request: {method} {path}")
        name, number, label = _which(found)
        if method == "GET":
            return self._look(name, number, label, found["part"])
        function = {"predict": self._predict, "classify": self._classify, "regress": self._regress}.get(found["verb"])
        if function is None:  # the pattern takes any case, the verbs are in this one
            raise invalid(f"Malformed request: {method} {path}")
        with self._service.counted(name, found["verb"].capitalize(), "REST"):
            return await function(name, number, label, parse_object(body))

    def _look(self, name, number, label, part):
        if name is None:
            raise invalid("Missing model name in request.")
        if part == "metadata":
            with self._service.models.use(name, number, label) as servable:
                spec = _json_object(metadata_spec(name, servable))
                metadata = {METADATA: _json_object(signature_map(servable))}
                return json.dumps({"model_spec": spec, "metadata": metadata}, indent=1)
        return json.dumps(_json_object(self._service.models.status(name, number)), indent=1)

    async def _predict(self, name, number, label, body):
        key = _signature_name(body) or DEFAULT_SIGNATURE
        with self._service.models.use(name, number, label) as servable:
            if key not in servable.signatures:
                raise invalid(f'Serving signature name: "{key}" not found in signature def')
            signature = servable.signatures[key]
            if not signature.inputs:
                raise invalid(f"Failed to get input map for signature: {key}")
            inputs, by_row = inputs_from_json(body, signature.inputs)
            outputs = list(signature.outputs)
            run = self._service.runner(name, "Predict", self._pool, self._timeout_in_ms)
            arrays = await run(servable, signature, inputs, outputs)
            return json_from_outputs(dict(zip(outputs, arrays, strict=True)), by_row)

    async def _classify(self, name, number, label, body):
        response = await self._infer(name, number, label, body, classify, classification_pb2.ClassificationRequest)
        return json_from_classification(response.result)

    async def _regress(self, name, number, label, body):
        response = await self._infer(name, number, label, body, regress, regression_pb2.RegressionRequest)
        return json_from_regression(response.result)

    async def _infer(self, name, number, label, body, function, request_type):
        request = request_type()
        request.model_spec.signature_name = _signature_name(body)
        request.input.CopyFrom(input_from_json(body))
        run = self._service.runner(name, function.__name__.capitalize(), self._pool, self._timeout_in_ms)
        with self._service.models.use(name, number, label) as servable:
            return await function(servable, request, run)


def _which(found):
    """(name, version or None, label or None) of a matched path."""
    number = int(found["version"]) if found["version"] else None
    if number is not None and number >= 2**63:
        raise RequestError(StatusCode.INVALID_ARGUMENT, "")  # the one error that has no body
    name, label = (unquote(text) if text else None for text in (found["name"], found["label"]))
    return name, number, label


def _signature_name(body):
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(body)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def _json_object(message):
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
