"""Tensors of the gRPC API: protos <-> arrays."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

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


def array_from_proto(alias, proto):
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


def proto_from_array(array):
    """The `TensorProto` of an array, in its typed field: what clients without TensorFlow read.

    Args:
        array: Of numbers, truth values or byte strings.
    Returns:
        The proto.
    """
    dtype = tf.as_dtype(array.dtype).as_datatype_enum if array.dtype != object else types_pb2.DT_STRING
    if dtype not in FIELDS:
        return tf.make_tensor_proto(array)
    proto = tensor_pb2.TensorProto(dtype=dtype)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    values = array.view(np.uint16) if FIELDS[dtype] == "half_val" else array  # a half is sent as its bits
    getattr(proto, FIELDS[dtype]).extend(values.ravel().tolist())
    return proto
