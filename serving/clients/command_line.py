"""What both clients take on the command line, and what they print."""

import argparse
import json
import sys

from retrying import ServingError
from texts import read_texts


def run(client_class, arguments=None):
    """Asks a server for predictions, prints one line of JSON an example.

    Returns:
        The exit code: 0, or 2 after one sentence on standard error.
    """
    parser = _parser(client_class)
    options = parser.parse_args(arguments)
    if sum(map(bool, (options.texts, options.file, options.inputs))) != 1:
        parser.error("texts, --texts or --inputs are needed, one of them")
    client = client_class(options.address, options.deadline)
    try:
        inputs = options.inputs or {options.input: options.texts or read_texts(options.file)}
        answer = client.predict(options.model, inputs, options.signature, options.version, options.label)
    except (ServingError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        client.close()
    for row in rows(answer):
        print(json.dumps(row, ensure_ascii=False))
    return 0


def rows(outputs):
    """Outputs of a batch as one value, or one dict of values, an example."""
    if not isinstance(outputs, dict):
        return outputs
    return [dict(zip(outputs, values, strict=True)) for values in zip(*outputs.values(), strict=True)]


def _parser(client_class):
    parser = argparse.ArgumentParser(description=client_class.__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="*", help="the batch")
    parser.add_argument("--texts", dest="file", metavar="FILE", help="instead: a file in UTF-8 with a text a line")
    parser.add_argument("--model", required=True)
    parser.add_argument("--signature", default="serving_default")
    parser.add_argument("--input", default="text", help="the name of the input that takes the texts")
    parser.add_argument("--inputs", type=_inputs, help="instead of texts: JSON, input name -> list of values")
    version = parser.add_mutually_exclusive_group()
    version.add_argument("--version", type=int)
    version.add_argument("--label", help="of a version, such as stable or canary")
    parser.add_argument("--address", default=client_class.ADDRESS)
    parser.add_argument("--deadline", type=float, default=10.0, help="seconds, all attempts together")
    return parser


def _inputs(text):
    inputs = json.loads(text)
    if not isinstance(inputs, dict) or not all(isinstance(values, list) for values in inputs.values()):
        raise ValueError
    return inputs
