"""The gRPC API: its two services, PredictionService and ModelService."""

import asyncio
import functools
import logging

import grpc
from google.protobuf.message import DecodeError
from grpc import StatusCode
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from seq_models.errors import InputError
from seq_models.server.config import check_models
from seq_models.server.inference import (
    METADATA,
    check_metadata_fields,
    classify,
    metadata_spec,
    multi_inference,
    predict,
    regress,
    signature_map,
)
from seq_models.server.status import RequestError, invalid

LONGEST_MESSAGE = 1024
LOG = logging.getLogger(__name__)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predictions and what can be asked for.

    Args:
        service: A `Service`.
        pool: An executor, for the graphs.
    """

    def __init__(self, service, pool):
        self._service = service
        self._pool = pool

    async def Predict(self, request, context):
        """Runs a signature on tensors."""
        return await _answered(context, self._infer("Predict", predict, request))

    async def Classify(self, request, context):
        """Runs a signature on examples, for classes."""
        return await _answered(context, self._infer("Classify", classify, request))

    async def Regress(self, request, context):
        """Runs a signature on examples, for numbers."""
        return await _answered(context, self._infer("Regress", regress, request))

    async def MultiInference(self, request, context):
        """Runs several signatures on the same examples."""
        return await _answered(context, self._multi_inference(request))

    async def GetModelMetadata(self, request, context):
        """The signatures of a model."""
        return await _answered(context, self._metadata(request))

    async def _infer(self, api, function, request):
        return await self._run(api, function, request, _spec_of(request))

    async def _multi_inference(self, request):
        if not request.tasks:
            raise invalid("Inference request must have at least one task")
        return await self._run("MultiInference", multi_inference, request, _spec_of(request.tasks[0]))

    async def _run(self, api, function, request, spec):
        with self._service.counted(spec.name, api, "GRPC"), self._use(spec) as servable:
            return await function(servable, request, self._service.runner(spec.name, api, self._pool))

    async def _metadata(self, request):
        spec = _spec_of(request)
        check_metadata_fields(request)
        with self._use(spec) as servable:
            response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=metadata_spec(spec.name, servable))
            response.metadata[METADATA].Pack(signature_map(servable))
            return response

    def _use(self, spec):
        return self._service.models.use(spec.name, *_which(spec))


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """The states of models, and which models there are.

    Args:
        models: `Models`.
    """

    def __init__(self, models):
        self._models = models

    async def GetModelStatus(self, request, context):
        """The states of a model's versions."""
        return await _answered(context, self._status(request))

    async def HandleReloadConfigRequest(self, request, context):
        """Makes the models those of the request and no others."""
        return await _answered(context, asyncio.to_thread(self._reload, request))

    async def _status(self, request):
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        return self._models.status(request.model_spec.name, _which(request.model_spec)[0])

    def _reload(self, request):
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid("ServerModelConfig type not supported. Only ModelConfigList is currently supported")
        configs = list(request.config.model_config_list.config)
        try:
            check_models(configs, "The request")
        except InputError as error:
            raise invalid(str(error)) from error
        self._models.set(configs)
        return model_management_pb2.ReloadConfigResponse(status={"error_code": 0})


class Messages(grpc.aio.ServerInterceptor):
    """Lets a request that is no message fail with INTERNAL, as TensorFlow Serving does; gRPC would say UNKNOWN here."""

    def __init__(self):
        self._of_bytes = functools.cache(_of_bytes)  # as long as the server lives: a handler holds all its models

    async def intercept_service(self, continuation, handler_call_details):
        """The handler of a call."""
        handler = await continuation(handler_call_details)
        return handler and self._of_bytes(handler)


def _of_bytes(handler):
    if handler.unary_unary is None:  # the health service also streams
        return handler

    async def answer(content, context):
        try:
            request = handler.request_deserializer(content)
        except DecodeError:
            await context.abort(StatusCode.INTERNAL, "Exception deserializing request!")
        return await handler.unary_unary(request, context)

    return handler._replace(request_deserializer=None, unary_unary=answer)


def _spec_of(request):
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not request.model_spec.name:
        raise invalid("ModelSpec has no name specified.")
    return request.model_spec


def _which(spec):
    """(version or None, label or None) of a `ModelSpec`."""
    kind = spec.WhichOneof("version_choice")
    return (
        spec.version.value if kind == "version" else None,
        spec.version_label if kind == "version_label" else None,
    )


async def _answered(context, answer):
    """What is awaited; what that raises ends the call with a status."""
    try:
        return await answer
    except RequestError as error:
        problem = error
    except Exception:
        LOG.exception("a call failed")
        problem = RequestError(StatusCode.INTERNAL, "Internal error")
    await context.abort(problem.code, _cut(problem.message))


def _cut(message):
    message = message.encode("utf-8", "replace").decode("utf-8")
    return message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + "...TRUNCATED"
