"""Tensors as protocol buffers -> arrays, no larger than what is sent."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto

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
TYPES = {kind: tf.as_dtype(kind).as_numpy_dtype for kind in FIELDS}  # object of strings
UNSENT = 2**16  # bytes of an array that may stand for values that were not sent
CHUNK = 2**12  # values that are read at a time; between two chunks other threads go on


def size_of(proto: TensorProto) -> int:
    """The bytes of what was sent of a tensor, about; its texts are taken for short ones."""
    return len(proto.tensor_content) + 8 * len(getattr(proto, FIELDS.get(proto.dtype, "string_val")))


def array_of(proto: TensorProto) -> np.ndarray:
    """The array of a tensor, from its typed field or its `tensor_content`.

    As in TensorFlow, the last value stands for those that were left out; but of 64 KiB at most, for a few bytes can
    declare any shape.

    Raises:
        ValueError: If its values are not those of its type and shape.
        TypeError: If its type has no field.
        OverflowError: If a value is too large for its type.
    """
    if proto.dtype not in FIELDS or proto.tensor_content and proto.dtype == types_pb2.DT_STRING:
        raise TypeError("the values must be in the field of their type")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise ValueError("the shape must be known")
    count = math.prod(shape)
    if count == 0 and math.prod(size or 1 for size in shape) > UNSENT:
        raise ValueError(f"a shape without elements must have at most {UNSENT} of something. Received: {shape}")
    dtype = TYPES[proto.dtype]
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, dtype).copy().reshape(shape)
    values = getattr(proto, FIELDS[proto.dtype])
    sent = len(values)
    last: Any = b"" if dtype is object else 0
    if sent != count:
        last = values[-1] if sent else last
        one = len(last) + 8 if dtype is object else np.dtype(dtype).itemsize
        if sent > count or (count - sent) * one > UNSENT:
            raise ValueError(f"the shape must have as many elements as were sent. Received: {shape} with {sent}")
    array = np.empty(count, np.uint16 if FIELDS[proto.dtype] == "half_val" else dtype)  # a half is sent as its bits
    for start in range(0, sent, CHUNK):
        stop = min(start + CHUNK, sent)
        array[start:stop] = values[start:stop]
    array[sent:] = last
    return array.view(dtype).reshape(shape)
