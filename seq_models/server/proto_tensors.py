"""Tensors of the gRPC API: protos <-> arrays."""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto

from seq_models.server.servable import Signature
from seq_models.server.status import invalid

MOST_ELEMENTS = 2**28  # a few bytes of a proto can ask for any number of equal values
FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_BFLOAT16: "half_val",
}


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
        return _array(proto)
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(f"tensor parsing error: {alias}") from error


def _array(proto):
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError("the shape must be known")
    count = math.prod(shape)
    if count > MOST_ELEMENTS:
        raise ValueError("too many elements")
    if proto.dtype == types_pb2.DT_STRING:
        return _strings(proto, count).reshape(shape)
    if proto.dtype not in FIELDS:
        raise TypeError("a type without a field")
    if not proto.tensor_content and len(getattr(proto, FIELDS[proto.dtype])) > count:
        raise ValueError("more values than the shape has")
    return tf.make_ndarray(proto)


def _strings(proto, count):
    values = list(proto.string_val)
    if len(values) > count or proto.tensor_content:
        raise ValueError("string_val must have the values of the shape")
    values += [values[-1] if values else b""] * (count - len(values))  # as with numbers, the last one is repeated
    array = np.empty(count, object)
    array[:] = values
    return array


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
