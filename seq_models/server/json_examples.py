"""Examples of the REST API: a JSON object of features <-> `tf.train.Example`, and the results of them."""

import numpy as np
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import input_pb2

from seq_models.server.json_tensors import decode_base64, is_base64
from seq_models.server.json_text import decimals, quote, shown, type_name
from seq_models.server.status import invalid

LISTS = {"bytes": "bytes_list", "float": "float_list", "int64": "int64_list"}


def input_from_json(body):
    """The examples of a request.

    Args:
        body: The members of the request: `examples`, and maybe the `context` that they share.
    Returns:
        An `Input`.
    Raises:
        RequestError: If there are none, or one is no object of features.
    """
    if "examples" not in body:
        raise invalid(
            f"JSON Value: {shown(body)} When method is classify, key 'examples' is expected and was not found"
        )
    if not isinstance(body["examples"], list):
        raise invalid(f"JSON Value: {shown(body)} Expecting 'examples' value to be an list/array")
    if not body["examples"]:
        raise invalid(f"JSON Value: {shown(body)} 'examples' value is an empty array")
    given = input_pb2.Input()
    if "context" in body:
        given.example_list_with_context.context.CopyFrom(_example(body["context"]))
        into = given.example_list_with_context.examples
    else:
        into = given.example_list.examples
    into.extend(_example(value) for value in body["examples"])
    return given


def _example(value):
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        _add_feature(example.features.feature[name], name, content if isinstance(content, list) else [content])
    return example


def _add_feature(feature, name, values):
    for value in values:
        kind, element = _element(name, value)
        if feature.WhichOneof("kind") not in (None, LISTS[kind]):
            raise invalid(f"Unexpected element type in feature: {name} expecting type: {_kind_of(feature)}")
        try:
            getattr(feature, LISTS[kind]).value.append(element)
        except (ValueError, OverflowError) as error:  # an integer of more than 64 bits
            raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.") from error


def _kind_of(feature):
    return {field: kind for kind, field in LISTS.items()}[feature.WhichOneof("kind")]


def _element(name, value):
    if isinstance(value, str):
        return "bytes", value.encode("utf-8")
    if is_base64(value):
        return "bytes", decode_base64(value["b64"])
    if isinstance(value, bool | int):
        return "int64", int(value)
    if isinstance(value, float):
        return "float", value
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")


def json_from_classification(result):
    """A `ClassificationResult` as JSON: for each example a list of [label, score]."""
    rows = []
    for row in result.classifications:
        scores = decimals(np.array([each.score for each in row.classes], np.float32))
        pairs = zip(row.classes, scores, strict=True)
        rows.append("[" + ", ".join(f"[{quote(each.label)}, {score}]" for each, score in pairs) + "]")
    return '{"results": [' + ", ".join(rows) + "]}"


def json_from_regression(result):
    """A `RegressionResult` as JSON: a number for each example."""
    values = np.array([each.value for each in result.regressions], np.float32)
    return '{"results": [' + ", ".join(decimals(values)) + "]}"
