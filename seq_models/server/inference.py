"""What the API asks of a servable: predict, classify, regress, several of these at once, and its signatures.

Each function takes a servable and a request of TensorFlow Serving's protos; the sentences of the errors are its own.
"""

import numpy as np
from grpc import StatusCode
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from seq_models.server.proto_tensors import array_from_proto, proto_from_array
from seq_models.server.servable import DEFAULT_SIGNATURE
from seq_models.server.status import RequestError, invalid

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
METADATA = "signature_def"


async def predict(servable, request, run):
    """Answers a `PredictRequest`.

    Args:
        servable: The `Servable` that the request names.
        request: The request.
        run: Awaited with (servable, signature, arrays by alias, output aliases); gives an array for each output.
    Returns:
        A `PredictResponse`, its tensors in typed fields.
    Raises:
        RequestError: If the request does not fit the signature.
    """
    key = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if key not in servable.signatures:
        raise RequestError(StatusCode.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.')
    signature = servable.signatures[key]
    inputs = _inputs(signature, request.inputs)
    outputs = _asked_outputs(signature, request.output_filter)
    response = predict_pb2.PredictResponse(model_spec=_spec(request.model_spec, servable, key))
    arrays = await run(servable, signature, inputs, outputs)
    for alias, array in zip(outputs, arrays, strict=True):
        response.outputs[alias].CopyFrom(proto_from_array(array))
    return response


def _inputs(signature, protos):
    expected = signature.inputs.keys()
    sent = protos.keys()
    missing = expected - sent - signature.defaults.keys()
    if len(protos) > len(expected) or len(protos) < len(expected) and (missing or not signature.defaults):
        sizes = f"{len(protos)}!={len(expected)} len({_set(sent)}) != len({_set(expected)})"
        extra, missing = _set(set(sent) - expected), _set(missing)
        raise invalid(
            f"input size does not match signature: {sizes}. Sent extra: {extra}. Missing but required: {missing}."
        )
    for alias in sorted(sent):
        if alias not in expected:
            expectation = f"Inputs expected to be in the set {_set(expected)}."
            raise invalid(f"input tensor alias not found in signature: {alias}. {expectation}")
    return {
        alias: array_from_proto(alias, protos[alias]) if alias in protos else signature.defaults[alias]
        for alias in expected
    }


def _asked_outputs(signature, output_filter):
    seen = []
    for alias in output_filter:
        if alias not in signature.outputs:
            expectation = f"Outputs expected to be in the set {_set(signature.outputs)}."
            raise invalid(f"output tensor alias not found in signature: {alias} {expectation}")
        if alias in seen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        seen.append(alias)
    return seen or list(signature.outputs)


def _set(names):
    return "{" + ",".join(sorted(names)) + "}"


def _spec(asked, servable, signature_name):
    spec = model_pb2.ModelSpec(name=asked.name, signature_name=signature_name)
    spec.version.value = servable.version
    return spec


async def classify(servable, request, run):
    """Answers a `ClassificationRequest`; as `predict`, but for examples."""
    signature = _signature_of_method(servable, request.model_spec, "classification", CLASSIFY)
    examples = serialized_examples(request.input)
    result = await _classifications(servable, signature, examples, run)
    key = request.model_spec.signature_name or DEFAULT_SIGNATURE
    return classification_pb2.ClassificationResponse(model_spec=_spec(request.model_spec, servable, key), result=result)


async def regress(servable, request, run):
    """Answers a `RegressionRequest`; as `predict`, but for examples."""
    signature = _signature_of_method(servable, request.model_spec, "regression", REGRESS)
    examples = serialized_examples(request.input)
    result = await _regressions(servable, signature, examples, run)
    key = request.model_spec.signature_name or DEFAULT_SIGNATURE
    return regression_pb2.RegressionResponse(model_spec=_spec(request.model_spec, servable, key), result=result)


async def multi_inference(servable, request, run):
    """Answers a `MultiInferenceRequest`: its tasks have one model and other signatures each."""
    response = inference_pb2.MultiInferenceResponse()
    examples = serialized_examples(request.input)
    seen = set()
    for task in request.tasks:
        key = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        if key in seen:
            raise invalid(f"Duplicate evaluation of signature: {key}")
        seen.add(key)
        result = response.results.add(model_spec=_spec(task.model_spec, servable, key))
        await _infer(servable, task, result, examples, run)
    return response


async def _infer(servable, task, result, examples, run):
    if task.method_name == CLASSIFY:
        signature = _signature_of_method(servable, task.model_spec, "classification", CLASSIFY)
        result.classification_result.CopyFrom(await _classifications(servable, signature, examples, run))
    elif task.method_name == REGRESS:
        signature = _signature_of_method(servable, task.model_spec, "regression", REGRESS)
        result.regression_result.CopyFrom(await _regressions(servable, signature, examples, run))
    else:
        raise RequestError(StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")


def _signature_of_method(servable, spec, kind, method):
    key = spec.signature_name or DEFAULT_SIGNATURE
    if key not in servable.signatures:
        raise invalid(f"No signature was found with the name: {key}")
    signature = servable.signatures[key]
    # Signatures that TensorFlow 2 writes say that they are for predict, so the aliases decide.
    if "inputs" not in signature.inputs or len(signature.inputs) != 1:
        raise RequestError(
            StatusCode.FAILED_PRECONDITION, f"Expected {kind} signature to have the one input inputs. Was: {key}"
        )
    wanted = {"classes", "scores"} if method == CLASSIFY else {"outputs"}
    if not signature.outputs.keys() or not signature.outputs.keys() <= wanted:
        raise RequestError(
            StatusCode.FAILED_PRECONDITION, f"Expected {kind} signature outputs to be among {_set(wanted)}. Was: {key}"
        )
    return signature


def serialized_examples(given):
    """The examples of an `Input`, each with its context, as an array of bytes (n,).

    Raises:
        RequestError: If there are none.
    """
    kind = given.WhichOneof("kind")
    examples = getattr(given, kind).examples if kind else []
    if not examples:
        raise invalid("Input is empty.")
    context = given.example_list_with_context.context if kind == "example_list_with_context" else example_pb2.Example()
    array = np.empty(len(examples), object)
    # Serialised messages that follow each other are read as one, the later features winning.
    array[:] = [context.SerializeToString() + example.SerializeToString() for example in examples]
    return array


async def _classifications(servable, signature, examples, run):
    aliases = list(signature.outputs)
    arrays = dict(zip(aliases, await run(servable, signature, {"inputs": examples}, aliases), strict=True))
    for alias, array in arrays.items():
        dtype = object if alias == "classes" else np.float32
        _check_output(array, len(examples), array.ndim == 2, "[batch_size num_classes]", dtype)
    result = classification_pb2.ClassificationResult()
    rows, classes = next(iter(arrays.values())).shape
    for row in range(rows):
        added = result.classifications.add().classes
        for place in range(classes):
            added.add(
                label=arrays["classes"][row, place].decode("utf-8", "replace") if "classes" in arrays else "",
                score=arrays["scores"][row, place] if "scores" in arrays else 0.0,
            )
    return result


async def _regressions(servable, signature, examples, run):
    (array,) = await run(servable, signature, {"inputs": examples}, ["outputs"])
    fits = array.ndim == 1 or array.ndim == 2 and array.shape[1] == 1
    _check_output(array, len(examples), fits, "either [batch_size] or [batch_size, 1]", np.float32)
    result = regression_pb2.RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _check_output(array, size, fits, shape, dtype):
    if not fits:
        raise invalid(f"Expected output Tensor shape to be {shape} but got {list(array.shape)}")
    if len(array) != size:
        raise invalid(f"Input batch size did not match output batch size: {size} vs. {len(array)}")
    if array.dtype != dtype:
        expected = "DT_STRING" if dtype is object else "DT_FLOAT"
        raise invalid(f"Expected output Tensor of {expected}. Got: {array.dtype}")


def check_metadata_fields(request):
    """Refuses what metadata there is not.

    Raises:
        RequestError: If a `GetModelMetadataRequest` asks for nothing, or something other than `signature_def`.
    """
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != METADATA:
            raise invalid(f"Metadata field {field} is not supported")


def metadata_spec(name, servable):
    """Of which model and version metadata is: a `ModelSpec`."""
    return _spec(model_pb2.ModelSpec(name=name), servable, "")


def signature_map(servable):
    """The signatures of a servable, as a `SignatureDefMap`."""
    return get_model_metadata_pb2.SignatureDefMap(signature_def=servable.graph.signature_def)
