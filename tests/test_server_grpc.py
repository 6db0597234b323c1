"""The gRPC API answers as TensorFlow Serving does. The numbers of the checks are those of its written contract."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ovmsclient import make_grpc_client
from server_fixtures import grpc_stubs, model_base, running
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from seq_models.server.proto_tensors import array_from_proto, proto_from_array
from seq_models.server.status import RequestError


@pytest.fixture(scope="module")
def server():
    with running("--enable_grpc_healthcheck_service") as server:
        yield server


@pytest.fixture(scope="module")
def stubs(server):
    with grpc_stubs(server) as stubs:
        yield stubs


def request(model, signature="", version=None, output_filter=(), **inputs):
    message = predict_pb2.PredictRequest(output_filter=output_filter)
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    if version is not None:
        message.model_spec.version.value = version
    for alias, values in inputs.items():
        is_proto = isinstance(values, tensor_pb2.TensorProto)
        message.inputs[alias].CopyFrom(values if is_proto else tf.make_tensor_proto(values))
    return message


def fails(call, message, code, text):
    """Asserts that a call ends with a status."""
    with pytest.raises(grpc.RpcError) as raised:
        call(message, timeout=30)
    assert text in raised.value.details()
    assert raised.value.code() == code


def test_check_50_outputs_are_in_typed_fields(stubs):
    response = stubs[0].Predict(request("hpt", x=[1.0, 2.0, 5.0]))
    assert list(response.outputs["y"].float_val) == [2.5, 3.0, 4.5]
    assert not response.outputs["y"].tensor_content
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("hpt", 123, "serving_default")
    response = stubs[0].Predict(request("txt", text=[b"a b", b"c"]))
    assert list(response.outputs["label"].string_val) == [b"A B", b"C"]
    assert tf.make_ndarray(response.outputs["probs"]).shape == (2, 3)


@pytest.mark.parametrize("field", ["typed", "content"])
def test_check_51_inputs_are_in_either_field(stubs, field):
    tensor = tensor_pb2.TensorProto(dtype=tf.float32.as_datatype_enum)
    tensor.tensor_shape.dim.add(size=2)
    if field == "typed":
        tensor.float_val.extend([1, 2])
    else:
        tensor.tensor_content = np.array([1, 2], np.float32).tobytes()
    assert list(stubs[0].Predict(request("hpt", x=tensor)).outputs["y"].float_val) == [2.5, 3.0]


def test_check_51_the_filter_of_outputs(stubs):
    assert stubs[0].Predict(request("txt", output_filter=["label"], text=[b"a"])).outputs.keys() == {"label"}
    both = stubs[0].Predict(request("txt", output_filter=["probs", "label"], text=[b"a"])).outputs
    assert (list(both["label"].string_val), list(both["probs"].float_val)[:2]) == ([b"A"], [1.0, 2.0])
    for asked, text in ((["z"], "output tensor alias not found in signature: z"), (["y", "y"], "duplicate output")):
        fails(stubs[0].Predict, request("hpt", output_filter=asked, x=[1.0]), StatusCode.INVALID_ARGUMENT, text)


def test_check_52_the_model_must_be_named(stubs):
    no_model, no_name = predict_pb2.PredictRequest(), predict_pb2.PredictRequest()
    no_name.model_spec.signature_name = "x"
    fails(stubs[0].Predict, no_model, StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
    fails(stubs[0].Predict, no_name, StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")


@pytest.mark.parametrize(
    ("model", "version", "which"),
    [("nope", None, "Latest(nope)"), ("hpt", 0, "Specific(hpt, 0)"), ("hpt", -1, "Specific(hpt, -1)")],
)
def test_check_53_a_model_that_is_not_there(stubs, model, version, which):
    text = f"Servable not found for request: {which}"
    fails(stubs[0].Predict, request(model, version=version, x=[1.0]), StatusCode.NOT_FOUND, text)


def test_check_53_the_version_may_be_given(stubs):
    assert stubs[0].Predict(request("hpt", version=123, x=[1.0])).model_spec.version.value == 123


def test_check_54_a_signature_that_is_not_there(stubs):
    text = 'Serving signature key "zz" not found.'
    fails(stubs[0].Predict, request("hpt", "zz", x=[1.0]), StatusCode.FAILED_PRECONDITION, text)


def test_check_55_inputs_that_are_not_those_of_the_signature(stubs):
    missing = (
        "input size does not match signature: 0!=1 len({}) != len({text}). Sent extra: {}. "
        "Missing but required: {text}."
    )
    fails(stubs[0].Predict, request("txt"), StatusCode.INVALID_ARGUMENT, missing)
    extra = "2!=1 len({a,text}) != len({text}). Sent extra: {a}. Missing but required: {}."
    fails(stubs[0].Predict, request("txt", text=["a"], a=[1.0]), StatusCode.INVALID_ARGUMENT, extra)
    wrong = "input tensor alias not found in signature: zz. Inputs expected to be in the set {text}."
    fails(stubs[0].Predict, request("txt", zz=["a"]), StatusCode.INVALID_ARGUMENT, wrong)


def test_an_input_that_has_a_default_may_be_left_out(stubs):
    def total(**inputs):
        return list(stubs[0].Predict(request("kinds", "optional", **inputs), timeout=30).outputs["sum"].int_val)

    x = np.array([1, 2], np.int32)
    assert total(x=x) == [2, 3]
    assert total(x=x, k=np.array([5], np.int32)) == [6, 7]
    missing = "Sent extra: {}. Missing but required: {x}."
    fails(stubs[0].Predict, request("kinds", "optional", k=x), StatusCode.INVALID_ARGUMENT, missing)


def test_check_56_tensors_that_do_not_fit(stubs):
    mismatch = "Type mismatch: actual float vs. expect string"
    fails(stubs[0].Predict, request("txt", text=[1.0]), StatusCode.INVALID_ARGUMENT, mismatch)
    bad = tensor_pb2.TensorProto(dtype=tf.string.as_datatype_enum, string_val=[b"a", b"b"])
    bad.tensor_shape.dim.add(size=1)
    fails(stubs[0].Predict, request("txt", text=bad), StatusCode.INVALID_ARGUMENT, "tensor parsing error: text")


@pytest.mark.parametrize("signature", ["", "unchecked"])
def test_check_56_a_scalar_never_reaches_the_graph(stubs, signature):
    text = "is not compatible with expected shape"
    fails(stubs[0].Predict, request("txt", signature, text=b"hello"), StatusCode.INVALID_ARGUMENT, text)
    fails(stubs[0].Predict, request("txt", signature, text=[[b"a"]]), StatusCode.INVALID_ARGUMENT, text)
    assert stubs[0].Predict(request("txt", signature, text=[b"hello"])).outputs


def test_check_57_metadata(stubs):
    message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    message.model_spec.name = "hpt"
    response = stubs[0].GetModelMetadata(message)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].inputs["x"].dtype == tf.float32.as_datatype_enum
    assert (response.model_spec.name, response.model_spec.version.value) == ("hpt", 123)
    for fields, text in (((), "must specify at least one metadata_field"), (("foo",), "Metadata field foo is not")):
        message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        message.model_spec.name = "hpt"
        fails(stubs[0].GetModelMetadata, message, StatusCode.INVALID_ARGUMENT, text)
    empty = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    fails(stubs[0].GetModelMetadata, empty, StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")


def status_request(name, version=None):
    message = get_model_status_pb2.GetModelStatusRequest()
    message.model_spec.name = name
    if version is not None:
        message.model_spec.version.value = version
    return message


def test_check_58_status(stubs):
    (status,) = stubs[1].GetModelStatus(status_request("hpt")).model_version_status
    assert (status.version, status.state, status.status.error_code) == (123, 30, 0)
    fails(stubs[1].GetModelStatus, status_request("nope"), StatusCode.NOT_FOUND, "Could not find any versions of")
    fails(stubs[1].GetModelStatus, status_request("hpt", 9), StatusCode.NOT_FOUND, "Could not find version 9 of")
    empty = get_model_status_pb2.GetModelStatusRequest()
    fails(stubs[1].GetModelStatus, empty, StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")


def test_check_59_what_the_server_has_not_got_is_not_implemented(stubs):
    text = "Method not implemented"
    fails(stubs[0].Classify, classification_pb2.ClassificationRequest(), StatusCode.UNIMPLEMENTED, text)
    fails(stubs[0].Regress, regression_pb2.RegressionRequest(), StatusCode.UNIMPLEMENTED, text)
    fails(stubs[0].MultiInference, inference_pb2.MultiInferenceRequest(), StatusCode.UNIMPLEMENTED, text)


def reload_request(**models):
    message = model_management_pb2.ReloadConfigRequest()
    for name, path in models.items():
        message.config.model_config_list.config.add(name=name, base_path=str(path), model_platform="tensorflow")
    return message


def test_check_60_reloading_swaps_the_whole_set():
    with running() as server, grpc_stubs(server) as (prediction, model):
        response = model.HandleReloadConfigRequest(reload_request(a=model_base() / "hpt", txt=model_base() / "hpt"))
        assert response.status.error_code == 0
        assert prediction.Predict(request("a", x=[1.0])).outputs["y"].float_val == [2.5]
        assert prediction.Predict(request("txt", x=[1.0])).outputs["y"].float_val == [2.5]
        fails(prediction.Predict, request("hpt", x=[1.0]), StatusCode.NOT_FOUND, "Latest(hpt)")
        only = "Only ModelConfigList is currently supported"
        empty = model_management_pb2.ReloadConfigRequest()
        fails(model.HandleReloadConfigRequest, empty, StatusCode.INVALID_ARGUMENT, only)
        twice = reload_request(a=model_base() / "hpt")
        twice.config.model_config_list.config.extend(reload_request(a="x").config.model_config_list.config)
        fails(model.HandleReloadConfigRequest, twice, StatusCode.INVALID_ARGUMENT, "a name of its own")
        gone = reload_request(a=model_base() / "nowhere")
        fails(model.HandleReloadConfigRequest, gone, StatusCode.UNKNOWN, "did not become available: a")


def test_check_61_the_deadline_of_the_client(stubs):
    with pytest.raises(grpc.RpcError) as raised:
        stubs[0].Predict(request("kinds", "slow", steps=[3000]), timeout=0.2)
    assert raised.value.code() == StatusCode.DEADLINE_EXCEEDED


def test_check_62_health(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "ModelService", "PredictionService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        unknown = channel.unary_unary("/tensorflow.serving.PredictionService/Nothing")
        fails(unknown, b"", StatusCode.UNIMPLEMENTED, "Method not found")


def test_check_62_there_is_no_health_unless_asked_for():
    with (
        running(f"--model_base_path={model_base()}/hpt") as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        check = health_pb2_grpc.HealthStub(channel).Check
        fails(check, health_pb2.HealthCheckRequest(), StatusCode.UNIMPLEMENTED, "")


def test_a_long_message_is_cut(stubs):
    fails(stubs[0].Predict, request("n" * 2000, x=[1.0]), StatusCode.NOT_FOUND, "n" * 900 + "n")
    with pytest.raises(grpc.RpcError) as raised:
        stubs[0].Predict(request("n" * 2000, x=[1.0]))
    assert raised.value.details().endswith("...TRUNCATED")
    assert len(raised.value.details()) == 1024 + len("...TRUNCATED")


def test_a_request_above_the_limit_is_refused():
    with (
        running(f"--model_base_path={model_base()}/hpt", "--max_request_bytes=1000") as server,
        grpc_stubs(server) as (prediction, _),
    ):
        large = request("default", x=[1.0] * 1000)
        fails(prediction.Predict, large, StatusCode.RESOURCE_EXHAUSTED, "larger than max")


def test_an_independent_client_understands_the_server(server):
    client = make_grpc_client(f"127.0.0.1:{server.port}")
    assert client.get_model_status("hpt", model_version=123)[123]["state"] == "AVAILABLE"
    assert client.predict({"x": np.array([1, 2], np.float32)}, "hpt", model_version=123).tolist() == [2.5, 3.0]
    reply = client.predict({"text": ["a b"]}, "txt", model_version=1)
    assert (reply["label"].tolist(), reply["probs"].shape) == ([b"A B"], (1, 3))
    assert client.get_model_metadata("hpt", model_version=123)["inputs"]["x"]["dtype"] == "DT_FLOAT"


ARRAYS = [
    np.array([[1.5, -2]], np.float32),
    np.array([1.5], np.float64),
    np.array([-3, 4], np.int8),
    np.array(5, np.int16),
    np.array([[[6]]], np.int32),
    np.array([2**40], np.int64),
    np.array([255], np.uint8),
    np.array([65535], np.uint16),
    np.array([2**32 - 1], np.uint32),
    np.array([2**64 - 1], np.uint64),
    np.array([True, False]),
    np.array([[b"a", b"\xff"]], object),
    np.array([1.5, 2], np.float16),
    np.array([1.5, 2], tf.bfloat16.as_numpy_dtype),
    np.zeros((0, 3), np.float32),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.dtype))
def test_an_array_comes_back_from_its_proto(array):
    proto = proto_from_array(array)
    assert not proto.tensor_content
    for same in (array_from_proto("x", proto), tf.make_ndarray(proto)):
        assert same.tolist() == array.tolist()
        assert (same.dtype, same.shape) == (array.dtype, array.shape)


def test_a_proto_may_leave_equal_values_out():
    shape = {"dim": [{"size": 3}]}
    words = tensor_pb2.TensorProto(dtype=tf.string.as_datatype_enum, tensor_shape=shape, string_val=[b"a"])
    assert array_from_proto("x", words).tolist() == [b"a"] * 3
    nothing = tensor_pb2.TensorProto(dtype=tf.string.as_datatype_enum, tensor_shape=shape)
    assert array_from_proto("x", nothing).tolist() == [b""] * 3
    large = tensor_pb2.TensorProto(dtype=tf.float32.as_datatype_enum, float_val=[1])
    large.tensor_shape.dim.add(size=2**40)
    with pytest.raises(RequestError, match="tensor parsing error: x"):
        array_from_proto("x", large)
