"""Tensors of the gRPC API: protos <-> arrays."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto

from seq_models.exports.tensors import FIELDS, array_of
from seq_models.server.servable import Signature
from seq_models.server.status import invalid


def inputs_from_protos(protos: Mapping[str, TensorProto], signature: Signature) -> dict[str, np.ndarray]:
    """The inputs of a signature from those of a request; what may be left out has its default.

    Raises:
        RequestError: If the request does not have these inputs.
    """
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


def _set(names):
    return "{" + ",".join(sorted(names)) + "}"


def array_from_proto(alias: str, proto: TensorProto) -> np.ndarray:
    """The array of a `TensorProto`, from its typed field or its `tensor_content`.

    Raises:
        RequestError: If its values do not fit its type and shape.
    """
    try:
        return array_of(proto)
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(f"tensor parsing error: {alias}: {error}") from error


def proto_from_array(array: np.ndarray) -> TensorProto:
    """The `TensorProto` of an array, in its typed field: what clients without TensorFlow read.

    Args:
        array: Numbers, truth values or byte strings.
    """
    dtype = tf.as_dtype(array.dtype).as_datatype_enum if array.dtype != object else types_pb2.DT_STRING
    if dtype not in FIELDS:
        return tf.make_tensor_proto(array)
    proto = TensorProto(dtype=dtype)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    values = array.view(np.uint16) if FIELDS[dtype] == "half_val" else array  # a half is sent as its bits
    getattr(proto, FIELDS[dtype]).extend(values.ravel().tolist())
    return proto
