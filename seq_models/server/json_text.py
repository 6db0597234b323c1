"""JSON as RapidJSON reads and writes it, which TensorFlow Serving uses."""

import json
import math
import re

import numpy as np

from seq_models.server.status import invalid

LONGEST_IN_A_MESSAGE = 256
SPACE = " \t\n\r"
SENTENCES = {  # what Python's reader says -> what RapidJSON says
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_object(body):
    """The members of the JSON object that a body starts with; what comes after it is not read.

    NaN and Infinity are numbers. Of members with the same name the first counts.

    Args:
        body: Bytes.
    Returns:
        A dictionary.
    Raises:
        RequestError: If there is no object.
    """
    text = _decode(body)
    start = len(text) - len(text.lstrip(SPACE))
    if start == len(text):
        raise _parse_error("The document is empty.", len(body))
    try:
        value, _ = READER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise _parse_error(_sentence(error), len(text[: error.pos].encode("utf-8"))) from error
    except RecursionError as error:
        raise _parse_error("Nested too deep.", 0) from error
    except ValueError as error:  # more digits than Python turns into a number
        raise _parse_error("Number too big to be stored in double.", 0) from error
    if SURROGATE.search(text):
        _check_surrogates(value)
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {shown(value)} Is not object")
    return value


def _decode(body):
    try:
        return body.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _parse_error("Invalid encoding in string.", error.start) from error


def _parse_error(sentence, offset):
    return invalid(f"JSON Parse error: {sentence} at offset: {offset}")


def _sentence(error):
    if error.msg == "Expecting ',' delimiter":
        before = error.doc[: error.pos].rstrip(SPACE)
        inside = "object member" if _innermost_is_object(before) else "array element"
        closing = "}" if inside == "object member" else "]"
        return f"Missing a comma or {closing} after an {inside}."
    return SENTENCES.get(error.msg, "Invalid value.")


def _innermost_is_object(text):
    """Whether a text that breaks off after a value breaks off in an object."""
    depth = 0
    for bracket in reversed(re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        if bracket in "]}":
            depth += 1
        elif bracket in "[{":
            if depth == 0:
                return bracket == "{"
            depth -= 1
    return False


def _check_surrogates(value):
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, RecursionError) as error:
        raise _parse_error("The surrogate pair in string is invalid.", 0) from error


def _first_wins(pairs):
    members = dict(pairs)
    return members if len(members) == len(pairs) else dict(reversed(pairs))


def _finite_float(text):
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


READER = json.JSONDecoder(object_pairs_hook=_first_wins, parse_float=_finite_float)
WRITER = json.JSONEncoder(ensure_ascii=False)
SHOWING = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def shown(value):
    """A JSON value in an error message: not more than its beginning."""
    pieces, length = [], 0
    for piece in SHOWING.iterencode(value):  # lazily: the value may be the whole of a large request
        pieces.append(piece[: LONGEST_IN_A_MESSAGE - length])
        length += len(pieces[-1])
        if length >= LONGEST_IN_A_MESSAGE:
            return "".join(pieces) + "...TRUNCATED"
    return "".join(pieces)


def type_name(value):
    """The type of a JSON value as error messages call it."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    names = {str: "String", int: "Number", float: "Number", list: "Array", dict: "Object"}
    return names[type(value)]


def quote(text):
    """A string as JSON."""
    return WRITER.encode(text)


def decimals(values):
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
