"""The REST API, as an ASGI application."""

import asyncio
import gzip
import io
import json
import re
import zlib
from argparse import Namespace

from google.protobuf import json_format
from google.protobuf.message import Message
from grpc import StatusCode
from starlette.applications import Starlette
from starlette.convertors import Convertor, StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from seq_models.exports.versions import INT64
from seq_models.server.json_tensors import inputs_from_json, json_from_outputs
from seq_models.server.json_text import parse_object, shown
from seq_models.server.service import Entrypoint, Question, Service
from seq_models.server.status import HTTP_STATUS, RequestError, invalid

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
TOO_LARGE = 413
NOT_FOUND = "<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>"


class _Name(StringConvertor):
    regex = "[^/:]+"


class _Version(Convertor[int]):
    regex = "[0-9]+"

    def convert(self, value: str) -> int:
        digits = value.lstrip("0") or "0"
        if len(digits) > len(str(INT64)) or int(digits) > INT64:
            raise RequestError(StatusCode.INVALID_ARGUMENT, "")  # the one error that has no body
        return int(digits)


class _Unserved(Convertor[str]):
    regex = "classify|regress"

    def convert(self, value: str) -> str:
        raise RequestError(StatusCode.UNIMPLEMENTED, f"The server answers :predict only. Received: :{value.lower()}")


for name, convertor in {"name": _Name, "version": _Version, "unserved": _Unserved}.items():
    register_url_convertor(name, convertor())
MODEL = "/v1/models/{model:name}"
PLACES = (MODEL, MODEL + "/versions/{version:version}", MODEL + "/labels/{label:name}")


class _Route(Route):
    """A route whose path is taken in any case, as TensorFlow Serving's are."""

    def __init__(self, path, endpoint, methods):
        super().__init__(path, endpoint, methods=methods)
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)


class RestApi:
    """The endpoints, and how they fail.

    Args:
        service: What answers.
        entrypoint: How it runs graphs for this API; its limit of time is also that of a body to arrive.
        options: The flags of the server.
        metrics_path: Where the metrics are, or None.
    """

    def __init__(self, service: Service, entrypoint: Entrypoint, options: Namespace, metrics_path: str | None = None):
        self._service = service
        self._entrypoint = entrypoint
        self._largest = options.max_request_bytes
        self._headers = CORS if options.rest_api_enable_cors_support else {}
        self._metrics_path = metrics_path

    def application(self) -> Starlette:
        """The endpoints as an ASGI application."""
        routes = [
            *(_Route(f"{place}:predict", self._predict, ["POST"]) for place in PLACES),
            *(_Route(place, self._status, ["GET"]) for place in PLACES),
            *(_Route(f"{place}/metadata", self._metadata, ["GET"]) for place in PLACES),
            *(_Route(f"{place}:{{verb:unserved}}", self._predict, ["POST"]) for place in PLACES),
            _Route("/v1/models", self._no_name, ["GET"]),
            _Route("/v1/{path:path}", self._options, ["OPTIONS"]),
        ]
        if self._metrics_path:
            routes.append(Route(self._metrics_path, self._metrics))
        handlers = {
            RequestError: self._failed,
            ClientDisconnect: self._gone,
            404: self._no_route,
            405: self._no_route,
            TOO_LARGE: self._too_large,
            Exception: self._broken,
        }
        application = Starlette(routes=routes, exception_handlers=handlers)
        application.router.redirect_slashes = False
        return application

    async def _predict(self, request):
        body = await self._body(request)
        if request.headers.get("content-encoding", "").lower() == "gzip":
            body = await self._service.aside(self._largest, self._unpacked, body)  # it may be of any size then
        which = request.path_params
        with self._service.counted(which["model"], self._entrypoint):
            members = await self._service.aside(len(body), parse_object, body)
            question = Question(
                which["model"],
                which.get("version"),
                which.get("label"),
                _signature_name(members),
                lambda signature: inputs_from_json(members, signature.inputs),
                _unknown_signature,
                size=len(body),
            )
            answer = await self._service.predict(question, self._entrypoint)
            size = sum(array.nbytes for array in answer.outputs.values())
            text = await self._service.aside(size, json_from_outputs, answer.outputs, "instances" in members)
            return self._reply(text)

    async def _body(self, request):
        chunks, size = [], 0
        try:
            async with asyncio.timeout(self._entrypoint.timeout_in_ms / 1000):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > self._largest:
                        raise HTTPException(TOO_LARGE)
                    chunks.append(chunk)
        except TimeoutError as error:
            raise RequestError(StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for the request") from error
        return b"".join(chunks)

    def _unpacked(self, body):
        """The body as it was before its encoding."""
        try:
            unpacked = gzip.GzipFile(fileobj=io.BytesIO(body)).read(self._largest + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise invalid(f"Failed to decompress the request body: {error}") from error
        if len(unpacked) > self._largest:
            raise HTTPException(TOO_LARGE)
        return unpacked

    async def _status(self, request):
        which = request.path_params
        return self._reply(_json(self._service.models.status(which["model"], which.get("version"))))

    async def _metadata(self, request):
        which = request.path_params
        spec, signatures = self._service.metadata(which["model"], which.get("version"), which.get("label"))
        return self._reply(_json({"model_spec": spec, "metadata": {"signature_def": signatures}}))

    async def _no_name(self, request):
        raise invalid("Missing model name in request.")

    async def _options(self, request):
        if "origin" not in request.headers:
            raise HTTPException(405)
        return self._reply(b"")

    async def _metrics(self, request):
        return Response(self._service.metrics.page(), media_type="text/plain")

    def _reply(self, content, status=200):
        return Response(content, status, self._headers, "application/json")

    async def _failed(self, request, error):
        return self._reply(json.dumps({"error": error.message}) if error.message else b"", HTTP_STATUS[error.code])

    async def _gone(self, request, error):
        return Response()  # nobody reads it

    async def _no_route(self, request, error):
        path = request.scope["path"]
        if not path.lower().startswith("/v1/"):
            return HTMLResponse(NOT_FOUND, 404)
        return await self._failed(request, invalid(f"Malformed request: {request.method} {path}"))

    async def _too_large(self, request, error):
        message = f"The request must be of at most {self._largest} bytes"
        return self._reply(json.dumps({"error": message}), TOO_LARGE)

    async def _broken(self, request, error):
        return await self._failed(request, RequestError(StatusCode.INTERNAL, "Internal error"))  # Uvicorn logs it


def _signature_name(members):
    name = members.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(members)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def _unknown_signature(name):
    return invalid(f'Serving signature name: "{name}" not found in signature def')


def _json(value):
    """A message of TensorFlow Serving, or dictionaries of them, as JSON."""
    return json.dumps(value, indent=1, default=_members)


def _members(message: Message):
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
