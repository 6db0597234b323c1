"""The gRPC API: its two services, PredictionService and ModelService."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.message import DecodeError
from grpc import HandlerCallDetails, RpcMethodHandler, StatusCode
from grpc.aio import ServicerContext
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, GetModelMetadataResponse
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, GetModelStatusResponse
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest, ReloadConfigResponse
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from seq_models.errors import InputError
from seq_models.exports.tensors import size_of
from seq_models.server.config import check_models
from seq_models.server.models import Models
from seq_models.server.proto_tensors import inputs_from_protos, proto_from_array
from seq_models.server.service import Entrypoint, Question, Service
from seq_models.server.status import RequestError, invalid

METADATA = "signature_def"
LONGEST_MESSAGE = 1024
LOG = logging.getLogger(__name__)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predictions and what can be asked for; its other methods are UNIMPLEMENTED.

    Args:
        service: What answers.
        entrypoint: How it runs graphs for this API.
    """

    def __init__(self, service: Service, entrypoint: Entrypoint):
        self._service = service
        self._entrypoint = entrypoint

    async def Predict(self, request: PredictRequest, context: ServicerContext) -> PredictResponse:
        """Runs a signature on tensors."""
        return await _answered(context, self._predict(request))

    async def GetModelMetadata(
        self, request: GetModelMetadataRequest, context: ServicerContext
    ) -> GetModelMetadataResponse:
        """Tells the signatures of a model."""
        return await _answered(context, self._metadata(request))

    async def _predict(self, request):
        question = question_of(request)
        with self._service.counted(question.model, self._entrypoint):
            answer = await self._service.predict(question, self._entrypoint)
            spec = ModelSpec(name=question.model, signature_name=answer.signature_name)
            spec.version.value = answer.version
            response = PredictResponse(model_spec=spec)
            for alias, array in answer.outputs.items():
                response.outputs[alias].CopyFrom(proto_from_array(array))
            return response

    async def _metadata(self, request):
        which = _which(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != METADATA:
                raise invalid(f"Metadata field {field} is not supported")
        spec, signatures = self._service.metadata(*which)
        response = GetModelMetadataResponse(model_spec=spec)
        response.metadata[METADATA].Pack(signatures)
        return response


def question_of(request: PredictRequest) -> Question:
    """A `PredictRequest` as a question.

    Raises:
        RequestError: If it names no model.
    """
    model, version, label = _which(request)
    return Question(
        model,
        version,
        label,
        request.model_spec.signature_name,
        lambda signature: inputs_from_protos(request.inputs, signature),
        _unknown_signature,
        request.output_filter,
        sum(map(size_of, request.inputs.values())),
    )


def _unknown_signature(name):
    return RequestError(StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """The states of models, and which models there are.

    Args:
        models: The models.
    """

    def __init__(self, models: Models):
        self._models = models

    async def GetModelStatus(self, request: GetModelStatusRequest, context: ServicerContext) -> GetModelStatusResponse:
        """Tells the states of a model's versions."""
        return await _answered(context, self._status(request))

    async def HandleReloadConfigRequest(
        self, request: ReloadConfigRequest, context: ServicerContext
    ) -> ReloadConfigResponse:
        """Makes the models those of the request and no others."""
        return await _answered(context, asyncio.to_thread(self._reload, request))

    async def _status(self, request):
        name, version, _ = _which(request)
        return self._models.status(name, version)

    def _reload(self, request):
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid("ServerModelConfig type not supported. Only ModelConfigList is currently supported")
        configs = list(request.config.model_config_list.config)
        try:
            check_models(configs, "The request")
        except InputError as error:
            raise invalid(str(error)) from error
        self._models.set(configs)
        return ReloadConfigResponse(status={"error_code": 0})


class Messages(grpc.aio.ServerInterceptor):
    """Lets a request that is no message fail with INTERNAL, as TensorFlow Serving does; gRPC would say UNKNOWN here."""

    def __init__(self):
        self._of_bytes = functools.cache(_of_bytes)  # as long as the server lives: a handler holds all its models

    async def intercept_service(
        self,
        continuation: Callable[[HandlerCallDetails], Awaitable[RpcMethodHandler]],
        handler_call_details: HandlerCallDetails,
    ) -> RpcMethodHandler:
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


def _which(request):
    """(name, version or None, label or None) of the model that a request names."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise invalid("ModelSpec has no name specified.")
    kind = spec.WhichOneof("version_choice")
    return (
        spec.name,
        spec.version.value if kind == "version" else None,
        spec.version_label if kind == "version_label" else None,
    )


async def _answered(context, answer):
    """Awaits an answer; an error ends the call with a status."""
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
