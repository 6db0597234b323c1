"""JSON texts: what a body holds, and how values and numbers are written."""

import json
import math
from typing import Any

import numpy as np

from seq_models.server.status import invalid

LONGEST_IN_A_MESSAGE = 256
LONG = 2**20  # bytes of a body that is read little by little
SPACE = " \t\n\r"


def parse_object(body: bytes) -> dict:
    """The members of the JSON object that a body starts with; what comes after it is not read.

    NaN and Infinity are numbers; of members of the same name the first counts.

    Raises:
        RequestError: If there is no object.
    """
    reader = READER if len(body) <= LONG else YIELDING
    try:
        value, _ = reader.raw_decode(body.decode("utf-8").removeprefix("\ufeff").lstrip(SPACE))
    except (ValueError, RecursionError) as error:  # also bytes that are no UTF-8, and numbers of too many digits
        raise invalid(f"JSON Parse error: the body must be a JSON object. Received: {error}") from error
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {shown(value)} Is not object")
    return value


def _finite_float(text):
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"a number too large, {text[:20]}")
    return value


def _first_of_each(pairs):
    members = dict(pairs)
    if len(members) < len(pairs):
        members.update(reversed(pairs))
    return members


class _Yielding(json.JSONDecoder):
    """Reads in Python and not in C, which would keep all other threads waiting to its end."""

    def __init__(self, **options):
        super().__init__(**options)
        self.parse_object, self.parse_array = json.decoder.JSONObject, json.decoder.JSONArray
        self.scan_once = json.scanner.py_make_scanner(self)


OPTIONS: dict[str, Any] = {"parse_float": _finite_float, "object_pairs_hook": _first_of_each}
READER, YIELDING = json.JSONDecoder(**OPTIONS), _Yielding(**OPTIONS)
WRITER = json.JSONEncoder(ensure_ascii=False)
SHOWING = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def shown(value: object) -> str:
    """A JSON value in an error message: not more than its beginning."""
    pieces, length = [], 0
    for piece in SHOWING.iterencode(value):  # lazily: the value may be the whole of a large request
        pieces.append(piece[: LONGEST_IN_A_MESSAGE - length])
        length += len(pieces[-1])
        if length >= LONGEST_IN_A_MESSAGE:
            return "".join(pieces) + "...TRUNCATED"
    return "".join(pieces)


def type_name(value: object) -> str:
    """The type of a JSON value as error messages call it."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    names = {str: "String", int: "Number", float: "Number", list: "Array", dict: "Object"}
    return names[type(value)]


def quote(text: str) -> str:
    """A string as JSON."""
    return WRITER.encode(text)


def decimals(values: np.ndarray) -> list[str]:
    """Numbers as JSON: the shortest of six digits and all digits that gives the same number back.

    Args:
        values: An array (n,) of float32 or float64.
    Returns:
        n texts; a whole number ends in .0 unless it has an exponent.
    """
    numbers = values.tolist()
    short = [f"{number:g}" for number in numbers]
    with np.errstate(over="ignore"):  # the largest numbers, rounded up
        same = np.array(short, np.float64).astype(values.dtype) == values
    digits = 9 if values.dtype == np.float32 else 17
    return [_decimal(number, text, kept, digits) for number, text, kept in zip(numbers, short, same, strict=True)]


def _decimal(number, short, kept, digits):
    if not math.isfinite(number):
        return json.dumps(number)
    text = short if kept else f"{number:.{digits}g}"
    return text if "." in text or "e" in text else text + ".0"
