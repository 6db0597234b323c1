"""Predictions over gRPC; it needs `tensorflow-serving-api`, whose messages are part of TensorFlow and bring it along.

python serving/clients/grpc_client.py --model classifier "the library was not boring"
"""

import sys

import grpc
from command_line import run
from retrying import ServingError, Unavailable, retried
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub
from tensors import from_tensor, to_tensor

OPTIONS = {
    # Over all addresses of a headless Service: dns:///name:8500
    "grpc.service_config": '{"loadBalancingConfig": [{"round_robin": {}}]}',
    "grpc.initial_reconnect_backoff_ms": 100,  # 1000 else, and a server that starts is found later than it could be
    "grpc.max_receive_message_length": -1,  # 4 MB else
}


class GrpcClient:
    """A server's gRPC interface, over one connection to each of its addresses.

    Args:
        address: Host and port.
        deadline: Seconds for a prediction, all attempts together.
        attempts: How often to ask at most while the server is unavailable.
    """

    ADDRESS = "127.0.0.1:8500"

    def __init__(self, address=ADDRESS, deadline=10.0, attempts=6):
        self.address, self.deadline, self.attempts = address, deadline, attempts
        self.channel = grpc.insecure_channel(address, options=list(OPTIONS.items()))
        self.stub = PredictionServiceStub(self.channel)

    def predict(self, model, inputs, signature="serving_default", version=None, label=None):
        """What a signature gives for a batch.

        Args:
            model: Name of the model.
            inputs: Input name -> values, a list with an element an example.
            signature: Name of the signature.
            version, label: Of the version to ask, at most one of them; else the newest answers.
        Returns:
            Output name -> values.
        Raises:
            ServingError: If there is no answer.
        """
        spec = _spec(model, signature, version, label)
        request = PredictRequest(model_spec=spec)
        dtypes = {} if _all_strings(inputs) else self._dtypes(spec)
        try:
            for name, values in inputs.items():
                request.inputs[name].CopyFrom(to_tensor(values, dtypes.get(name, types_pb2.DT_STRING)))
            outputs = self._call(self.stub.Predict, request).outputs
            return {name: from_tensor(outputs[name]) for name in sorted(outputs)}
        except (ValueError, TypeError) as error:
            raise ServingError(f"{model}: {error}") from error

    def close(self):
        self.channel.close()

    def _dtypes(self, spec):
        """Input name -> dtype of a signature: a number in Python may be one of several."""
        request = GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        signatures = SignatureDefMap()
        self._call(self.stub.GetModelMetadata, request).metadata["signature_def"].Unpack(signatures)
        return {name: tensor.dtype for name, tensor in signatures.signature_def[spec.signature_name].inputs.items()}

    def _call(self, method, request):
        return retried(lambda seconds: self._once(method, request, seconds), self.deadline, self.attempts)

    def _once(self, method, request, seconds):
        try:
            return method(request, timeout=seconds)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise ServingError(f"{self.address} gave no answer within {self.deadline:g} s.") from error
            kind = Unavailable if error.code() == grpc.StatusCode.UNAVAILABLE else ServingError
            raise kind(f"{self.address} answered {error.code().name}: {error.details()}") from error


def _spec(model, signature, version, label):
    if version is not None and label is not None:
        raise ServingError(f"A version or a label is asked for, not both. Received: {version} and {label}")
    spec = ModelSpec(name=model, signature_name=signature)
    if version is not None:
        spec.version.value = version
    elif label is not None:
        spec.version_label = label
    return spec


def _all_strings(values):
    if isinstance(values, dict):
        values = list(values.values())
    return all(map(_all_strings, values)) if isinstance(values, list) else isinstance(values, str | bytes)


if __name__ == "__main__":
    sys.exit(run(GrpcClient))
