"""The gRPC client of `serving/clients`, against a stub, and how it reads and writes tensors."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from deployment_fixtures import ANSWER, TWO, client_of, grpc_stub
from grpc_client import GrpcClient
from retrying import ServingError
from tensors import from_tensor, to_tensor


@pytest.fixture
def rpc():
    with grpc_stub() as stub:
        yield stub


def test_grpc_sends_strings_and_gives_lists(rpc):
    with client_of(GrpcClient, rpc) as client:
        assert client.predict("classifier", {"text": TWO}) == ANSWER
    [request] = rpc.requests
    assert list(tf.make_ndarray(request.inputs["text"])) == [text.encode() for text in TWO]
    assert request.model_spec.name == "classifier" and request.model_spec.signature_name == "serving_default"
    assert request.model_spec.WhichOneof("version_choice") is None


def test_grpc_asks_for_a_version_or_a_label(rpc):
    with client_of(GrpcClient, rpc) as client:
        client.predict("classifier", {"text": TWO}, version=3)
        client.predict("classifier", {"text": TWO}, label="canary")
    assert rpc.requests[0].model_spec.version.value == 3 and rpc.requests[1].model_spec.version_label == "canary"


def test_grpc_sends_numbers_as_the_signature_wants_them(rpc):
    with client_of(GrpcClient, rpc) as client:
        client.predict("language-model", {"prompt": ["a"], "seed": [7]}, "generate")
        with pytest.raises(ServingError, match="language-model: "):
            client.predict("language-model", {"prompt": ["a"], "seed": ["seven", 7]}, "generate")
    [request] = rpc.requests
    assert tf.make_ndarray(request.inputs["seed"]).dtype == np.int64


def test_grpc_tries_again_while_the_server_is_unavailable(rpc):
    rpc.refusals += [(grpc.StatusCode.UNAVAILABLE, "the queue is full")] * 2
    with client_of(GrpcClient, rpc) as client:
        assert client.predict("classifier", {"text": TWO}) == ANSWER
    assert len(rpc.requests) == 3


def test_grpc_waits_no_longer_than_its_deadline(rpc):
    rpc.pause = 0.5
    with client_of(GrpcClient, rpc, deadline=0.2) as client, pytest.raises(ServingError, match="within 0.2 s"):
        client.predict("classifier", {"text": TWO})


@pytest.mark.parametrize(("code", "calls"), [("NOT_FOUND", 1), ("INVALID_ARGUMENT", 1), ("UNAVAILABLE", 2)])
def test_an_error_of_grpc_is_one_sentence(rpc, code, calls):
    rpc.refusals += [(grpc.StatusCode[code], "no such thing")] * 5
    with (
        client_of(GrpcClient, rpc, attempts=2) as client,
        pytest.raises(ServingError, match=f"answered {code}: no such thing"),
    ):
        client.predict("x", {"text": TWO})
    assert len(rpc.requests) == calls


@pytest.mark.parametrize(
    "array",
    [
        np.array([b"a", "caf\u00e9".encode()], object),
        np.array([[1, 2, 3], [4, 5, 6]], np.int32),
        np.array([[[1.5, -2.0]], [[0.0, 4.0]]], np.float32),
        np.array([2**40, -1], np.int64),
        np.array([[True], [False]]),
        np.array([0.1], np.float64),
        np.zeros([0], np.float32),
        np.zeros([2, 0], np.int32),
        np.array(3.0, np.float32),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_tensors_are_read_and_written_as_tensorflow_does(array):
    expected = [text.decode() for text in array] if array.dtype == object else array.tolist()
    proto = tf.make_tensor_proto(array)  # in tensor_content
    assert from_tensor(proto) == expected
    if array.ndim:
        written = to_tensor(expected, proto.dtype)  # in the typed fields
        assert from_tensor(written) == expected
        if array.shape[-1:] != (0,):
            np.testing.assert_array_equal(tf.make_ndarray(written), array)


@pytest.mark.parametrize("values", [[["a"], ["b", "c"]], [["a"], "b"]])
def test_lists_of_several_lengths_are_refused(values):
    with pytest.raises(ValueError, match="must have one length"):
        to_tensor(values)


def test_a_dtype_that_no_export_has_is_refused():
    with pytest.raises(ValueError, match="DT_HALF"):
        from_tensor(tf.make_tensor_proto(np.zeros(1, np.float16)))
