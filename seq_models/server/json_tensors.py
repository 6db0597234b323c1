"""Tensors of the REST API: the members of a JSON body <-> arrays, by row ("instances") or by column ("inputs")."""

import base64
import math

import numpy as np
import tensorflow as tf
from grpc import StatusCode

from seq_models.server.json_text import decimals, quote, shown, type_name
from seq_models.server.servable import TensorSpec
from seq_models.server.status import RequestError, invalid

HIGHEST_RANK = 64  # of NumPy
INTEGERS = {  # the range that is checked, which is that of the field of the proto
    tf.int8: np.int32,
    tf.int16: np.int32,
    tf.int32: np.int32,
    tf.uint8: np.int32,
    tf.int64: np.int64,
    tf.uint32: np.uint32,
    tf.uint64: np.uint64,
}
FLOATS = {tf.float32: np.float32, tf.float64: np.float64}
WRITABLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")


def type_text(dtype: tf.DType) -> str:
    """A type as error messages call it."""
    return {tf.float16: "half", tf.float32: "float", tf.float64: "double"}.get(dtype, dtype.name)


def inputs_from_json(body: dict, specs: dict[str, TensorSpec]) -> dict[str, np.ndarray]:
    """The inputs of a signature from a request, by alias.

    Args:
        body: The members of the request.
        specs: What each input is, by alias.
    Raises:
        RequestError: If the request does not have these inputs.
    """
    if "instances" not in body and "inputs" not in body:
        raise invalid("Missing 'inputs' or 'instances' key")
    if "instances" in body and "inputs" in body:
        problem = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        raise invalid(f"JSON Value: {shown(body)} {problem}")
    if "inputs" in body:
        return _from_columns(body["inputs"], specs)
    rows = body["instances"]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {shown(body)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {shown(body)} No values in 'instances' array")
    return _from_rows(rows, specs)


def _from_columns(value, specs):
    if isinstance(value, dict) and not _is_base64(value):
        for alias in specs:
            if alias not in value:
                raise invalid(f"Missing named input: {alias} in 'inputs' object.")
        return {alias: _array(value[alias], spec.dtype) for alias, spec in specs.items()}
    if len(specs) > 1:
        raise invalid("inputs is a plain value/list, but expecting an object as multiple input tensors required")
    return {alias: _array(value, spec.dtype) for alias, spec in specs.items()}


def _from_rows(rows, specs):
    if len(specs) > 1 and not isinstance(rows[0], dict):
        raise invalid("instances is a plain list, but expecting list of objects as multiple input tensors required")
    columns = {alias: _Column(spec.dtype) for alias, spec in specs.items()}
    if _is_record(rows[0]):
        for place, row in enumerate(rows):
            _add_record(columns, place, row)
    else:
        for place, row in enumerate(rows):
            _add_value(next(iter(columns.values())), place, row)
    return {alias: column.array(len(rows)) for alias, column in columns.items()}


def _add_record(columns, place, row):
    if not _is_record(row):
        raise invalid(f"Expecting object but got list at item {place} of input list")
    for alias, value in row.items():
        with _Place(f"{place} key: {alias}"):
            if alias not in columns:
                raise invalid(f"JSON object: does not have named input: {alias}")
            columns[alias].add(value)
    if row.keys() != columns.keys():
        problem = f"JSON object: {shown(row)} keys must be equal to: {','.join(columns)}"
        raise invalid(f"Failed to process element: {place} of 'instances' list. {problem}")


def _add_value(column, place, row):
    if _is_record(row):
        raise invalid(f"Expecting value/list but got object at item {place} of input list")
    with _Place(place):
        column.add(row)


class _Place:
    """Lets an error within it say in which element of `instances` it is."""

    def __init__(self, place):
        self.place = place

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, RequestError):
            message = f"{error.code.name}: {error.message}"
            raise invalid(f"Failed to process element: {self.place} of 'instances' list. Error: {message}") from error


class _Column:
    """The values of one input, row by row; each row has the shape of the first."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.values = []
        self.shape = None

    def add(self, row):
        before = len(self.values)
        shape = _fill(row, self.dtype, self.values)
        if self.shape is None:
            self.shape = shape
        if math.prod(self.shape) != len(self.values) - before:
            raise invalid(f"Expecting tensor size: {math.prod(self.shape)} but got: {len(self.values) - before}")
        if self.shape != shape:
            raise invalid(f"Expecting shape {_shape_text(self.shape)} but got: {_shape_text(shape)}")

    def array(self, rows):
        return _to_array(self.values, (rows, *self.shape), self.dtype)


def _shape_text(shape):
    return "[" + ",".join(map(str, shape)) + "]"


def _array(value, dtype):
    values = []
    shape = _fill(value, dtype, values)
    return _to_array(values, shape, dtype)


def _to_array(values, shape, dtype):
    array = np.empty(len(values), INTEGERS.get(dtype, dtype.as_numpy_dtype))
    array[:] = values
    return array.astype(dtype.as_numpy_dtype, copy=False).reshape(shape)


def _fill(value, dtype, values):
    """Appends the elements of a nested list to `values`; returns its shape, that of the first element at each level."""
    shape = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    if len(shape) >= HIGHEST_RANK:
        raise invalid(f"Encountered lists nested {len(shape)} deep, expected < {HIGHEST_RANK}")
    _fill_level(value, 0, shape, _converter(dtype), values)
    return tuple(shape)


def _fill_level(value, level, shape, convert, values):
    if not isinstance(value, list):
        if level != len(shape):
            problem = f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {len(shape)}"
            raise invalid(f"JSON Value: {shown(value)} {problem}")
        values.append(convert(value))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for inner in value:
        _fill_level(inner, level + 1, shape, convert, values)


def _converter(dtype):
    """A function that checks a JSON value and returns the element of a tensor."""
    if dtype == tf.string:
        return _string
    if dtype == tf.bool:
        return _boolean
    if dtype in INTEGERS:
        bounds = np.iinfo(INTEGERS[dtype])
        return lambda value: _integer(value, dtype, bounds)
    if dtype in FLOATS:
        bounds = np.finfo(FLOATS[dtype])
        return lambda value: _float(value, dtype, bounds)
    return lambda value: _unsupported(value, dtype)


def _type_error(value, dtype):
    return invalid(f"JSON Value: {shown(value)} Type: {type_name(value)} is not of expected type: {type_text(dtype)}")


def _string(value):
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise invalid("A string must not hold half of a surrogate pair.") from error
    if not isinstance(value, dict):
        raise _type_error(value, tf.string)
    if not _is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    return _decode_base64(value["b64"])


def _decode_base64(text):
    """The bytes that a text stands for.

    Raises:
        RequestError: If it is not base64 in the standard alphabet.
    """
    text = "".join(text.split()).rstrip("=")  # absl, too, takes spaces and does without padding
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise invalid("Unable to base64 decode") from error


def _boolean(value):
    if not isinstance(value, bool):
        raise _type_error(value, tf.bool)
    return value


def _integer(value, dtype, bounds):
    if type(value) is not int or not bounds.min <= value <= bounds.max:
        raise _type_error(value, dtype)
    return value


def _float(value, dtype, bounds):
    if type(value) not in (int, float):
        raise _type_error(value, dtype)
    is_integer = type(value) is int and -(2**63) <= value < 2**64  # a larger one is read as a float
    largest = 2 ** (bounds.nmant + 1) - 1 if is_integer else float(bounds.max)
    if abs(value) > largest and value not in (math.inf, -math.inf):
        raise invalid(f"Cannot convert JSON value: {shown(value)} to {type_text(dtype)} without loss of precision.")
    return float(value)


def _unsupported(value, dtype):
    message = f"Conversion of JSON Value: {shown(value)} to type: {type_text(dtype)}"
    raise RequestError(StatusCode.UNIMPLEMENTED, message)


def _is_base64(value):
    """Whether a JSON value is bytes: an object with the one member b64."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_record(value):
    return isinstance(value, dict) and not _is_base64(value)


def json_from_outputs(arrays: dict[str, np.ndarray], by_row: bool) -> str:
    """The reply to a request.

    Args:
        arrays: The outputs, by alias.
        by_row: Whether the request had rows.
    Returns:
        A JSON text.
    Raises:
        RequestError: If an output cannot be written.
    """
    if not arrays:
        raise invalid("Cannot convert empty tensor map to JSON")
    if by_row:
        return '{"predictions": [' + ", ".join(_rows(arrays)) + "]}"
    columns = {alias: _nested(_texts(alias, array), array.shape) for alias, array in arrays.items()}
    return '{"outputs": ' + _record(columns) + "}"


def _rows(arrays):
    size = None
    for alias, array in arrays.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {alias} has no shape information")
        if size is not None and size != len(array):
            raise invalid(f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {size}")
        size = len(array)
    columns = {alias: _each_row(_texts(alias, array), array.shape) for alias, array in arrays.items()}
    return [_record({alias: column[row] for alias, column in columns.items()}) for row in range(size)]


def _record(texts):
    """An object, or the only value itself."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "{" + ", ".join(f"{quote(alias)}: {text}" for alias, text in texts.items()) + "}"


def _each_row(texts, shape):
    size = math.prod(shape[1:])
    return [_nested(texts[row * size : (row + 1) * size], shape[1:]) for row in range(shape[0])]


def _nested(texts, shape):
    """The elements of a tensor, one after the other, as nested lists."""
    if not shape:
        return texts[0]
    if len(shape) == 1:
        return "[" + ", ".join(texts) + "]"
    return "[" + ", ".join(_each_row(texts, shape)) + "]"


def _texts(alias, array):
    flat = array.ravel()
    if array.dtype == object:
        return [_bytes_text(value) if alias.endswith("_bytes") else _text(value) for value in flat.tolist()]
    if array.dtype in (np.float32, np.float64):
        return decimals(flat)
    if array.dtype == bool:
        return ["true" if value else "false" for value in flat.tolist()]
    if array.dtype.name in WRITABLE:
        return [str(value) for value in flat.tolist()]
    raise invalid(f"Failed to write JSON value for tensor type: {type_text(tf.as_dtype(array.dtype))}")


def _text(value):
    return quote(value.decode("utf-8", "replace"))  # bytes that are no text must not make the whole reply unreadable


def _bytes_text(value):
    return '{"b64": "' + base64.b64encode(value).decode("ascii") + '"}'
