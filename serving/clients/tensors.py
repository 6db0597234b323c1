"""Tensors of the gRPC interface to and from lists, without NumPy or TensorFlow's operations."""

import math
import struct

from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto

# dtype: the field of its values, and how they lie in `tensor_content`, which a server may use instead.
FIELDS = {
    types_pb2.DT_STRING: ("string_val", None),
    types_pb2.DT_BOOL: ("bool_val", "?"),
    types_pb2.DT_INT32: ("int_val", "i"),
    types_pb2.DT_INT64: ("int64_val", "q"),
    types_pb2.DT_FLOAT: ("float_val", "f"),
    types_pb2.DT_DOUBLE: ("double_val", "d"),
}


def to_tensor(values, dtype=types_pb2.DT_STRING):
    """A list of values, or of lists of one length, as a tensor.

    Raises:
        ValueError: If lists differ in length, or the dtype is none that this client sends.
        TypeError: If a value is not of the dtype.
    """
    field, _ = _field(dtype)
    tensor = TensorProto(dtype=dtype)
    flat = values
    tensor.tensor_shape.dim.add(size=len(flat))
    while flat and isinstance(flat[0], list):
        if any(not isinstance(row, list) or len(row) != len(flat[0]) for row in flat):
            raise ValueError(f"the lists of one input must have one length. Received: {flat}")
        tensor.tensor_shape.dim.add(size=len(flat[0]))
        flat = [value for row in flat for value in row]
    strings = dtype == types_pb2.DT_STRING
    getattr(tensor, field).extend(value.encode() if strings and isinstance(value, str) else value for value in flat)
    return tensor


def from_tensor(tensor):
    """A tensor as a value, a list or lists of lists; strings as text."""
    field, code = _field(tensor.dtype)
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    flat = list(getattr(tensor, field))
    if code and tensor.tensor_content:
        flat = list(struct.unpack(f"<{math.prod(shape)}{code}", tensor.tensor_content))
    if tensor.dtype == types_pb2.DT_STRING:
        flat = [value.decode(errors="replace") for value in flat]
    return _nested(flat, shape)


def _nested(flat, shape):
    if not shape:
        return flat[0]
    if len(shape) == 1:
        return flat
    step = math.prod(shape[1:])
    return [_nested(flat[row * step : (row + 1) * step], shape[1:]) for row in range(shape[0])]


def _field(dtype):
    if dtype not in FIELDS:
        raise ValueError(f"the client knows no tensors of {types_pb2.DataType.Name(dtype)}.")
    return FIELDS[dtype]
