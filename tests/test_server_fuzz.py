"""Whatever a client sends, the server answers it, says whose fault it was, and goes on, with no more memory."""

import gzip
import http.client
import json
import random
import socket
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from server_fixtures import post, running
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2

LIMIT = 200_000
FEW, MANY = 400, 10_000
NO_FAULTS_OF_THE_SERVER = {200, 400, 404, 413, 501}
# A message that is no proto is INTERNAL to any gRPC server.
CODES = {"OK", "INVALID_ARGUMENT", "OUT_OF_RANGE", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}
SIGNATURES = {
    "hpt": [""],
    "txt": ["", "two", "unchecked", "label"],
    "kinds": [
        "",
        "double",
        "int",
        "int64",
        "uint8",
        "bool",
        "bytes",
        "string",
        "number",
        "half",
        "scalar",
        "uneven",
        "matrix",
    ],
}
amounts = pytest.mark.parametrize("amount", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def server():
    with running(f"--max_request_bytes={LIMIT}", "--rest_api_timeout_in_ms=10000") as server:
        yield server


@pytest.fixture(autouse=True)
def alive(server):
    """After each test the server answers as before it."""
    yield
    assert post(server, "hpt:predict", {"instances": [1.0]}) == (200, {"predictions": [2.5]})
    assert post(server, "txt:predict", {"signature_name": "label", "instances": ["a"]}) == (200, {"predictions": ["A"]})


def resident_mebibytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def stays_flat(amount, step):
    """Asserts that many steps need no more memory than few did."""
    for number in range(amount // 4):
        step(number)
    before = resident_mebibytes()
    for number in range(amount // 4, amount):
        step(number)
    assert resident_mebibytes() - before < 60


def json_value(random, depth=0):
    """A value of any type, not often deep."""
    kind = random.randrange(12 if depth < 4 else 9)
    if kind == 9:
        return {json_word(random): json_value(random, depth + 1) for _ in range(random.randrange(4))}
    if kind >= 10:
        return [json_value(random, depth + 1) for _ in range(random.randrange(5))]
    plain = [None, True, random.randrange(-3, 9), random.choice([2**31, -(2**63), 2**64, 10**40]), random.gauss(0, 1e3)]
    special = [float("nan"), float("inf"), json_word(random), {"b64": random.choice(["YSBi", "//4=", "_", 1, "é"])}]
    return (plain + special)[kind]


def json_word(random):
    words = ["", "a b", "text", "x", "k", "b64", "inputs", "instances", "\x00", "é", "\U0001f600", "w " * 300]
    return random.choice(words)


def body_of(random):
    """A body that is nearly, or not at all, one that can be answered."""
    model = random.choice(list(SIGNATURES))
    body = {"signature_name": random.choice(SIGNATURES[model]), random.choice(["instances", "inputs"]): []}
    key = list(body)[1]
    body[key] = random.choice(
        [json_value(random), [json_value(random)], ["a", "b c"], [1, 2.5], [{"text": "a", "k": 1}] * 3, "scalar"]
    )
    if random.random() < 0.1:
        body[json_word(random)] = json_value(random)
    content = json.dumps(body, ensure_ascii=random.random() < 0.5).encode("utf-8")
    return model, damage(random, content)


def damage(random, content):
    """The same bytes, cut, changed, doubled, nested or in another encoding; often as they were."""
    place = random.randrange(len(content))
    return random.choice(
        [
            lambda: content,
            lambda: content,
            lambda: content,
            lambda: content[:place],
            lambda: content[:place] + random.randbytes(random.randrange(1, 5)) + content[place + 1 :],
            lambda: content[:place] + content,
            lambda: content.decode("utf-8").encode("utf-16"),
            lambda: b'{"instances":' + b"[" * random.choice([3, 70, 990, 30_000]) + content,
            lambda: content.replace(b'"a', b'"\\ud800a'),
            lambda: random.randbytes(random.randrange(200)),
            lambda: content + b" " * (LIMIT if random.random() < 0.1 else 10),
        ]
    )()


def encoded(random, content):
    """(body, headers): now and then as gzip, or as what says that it is."""
    if random.random() < 0.8:
        return content, {}
    packed = gzip.compress(random.choice([content, b" " * 10 * LIMIT]))
    cut = packed[: random.randrange(len(packed))]
    body = random.choice([packed, cut, content, packed[:10] + random.randbytes(20), packed + packed])
    return body, {"Content-Encoding": random.choice(["gzip", "GZIP"])}


def path_of(random, model):
    which = random.choice(["", "", "", "/versions/1", "/versions/123", "/versions/" + "9" * 30, "/labels/%00", "/x"])
    verb = random.choice([":predict", ":predict", ":predict", ":classify", ":regress", ":", "/metadata", ""])
    return f"/v1/models/{random.choice([model, model, model, 'no%ff', '%'])}{which}{verb}"


@pytest.mark.slow
@amounts
def test_http_requests(server, amount):
    numbers = random.Random(7)
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_api_port, timeout=30)
    seen = set()

    def step(_):
        model, content = body_of(numbers)
        body, headers = encoded(numbers, content)
        path = path_of(numbers, model)
        method = numbers.choice(["POST"] * 8 + ["GET", "PUT", "OPTIONS", "DELETE"])
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            reply = response.read()
        except (ConnectionError, http.client.HTTPException):  # it has closed the connection, after a body too large
            assert len(body) > LIMIT
            connection.close()
            return
        seen.add(response.status)
        assert response.status in NO_FAULTS_OF_THE_SERVER, (method, path, body[:300], reply)
        if reply:
            json.loads(reply)

    stays_flat(amount, step)
    connection.close()
    assert seen == NO_FAULTS_OF_THE_SERVER


@pytest.mark.slow
@amounts
def test_bytes_that_are_hardly_http(server, amount):
    numbers = random.Random(11)
    body = b'{"instances": [1]}'

    def step(_):
        length = numbers.choice([b"0", b"5", b"18", b"19", b"100000", b"-1", b"abc", b"9" * 30, b"18, 18"])
        head = b"POST /v1/models/hpt:predict HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n"
        chunked = b"POST /v1/models/hpt:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks = numbers.choice([b"12\r\n" + body + b"\r\n0\r\n\r\n", b"zz\r\n", b"fffffffff\r\n{", b"12\r\n"])
        sent = numbers.choice(
            [
                head + body,
                head + body + head + body,
                chunked + chunks,
                numbers.randbytes(numbers.randrange(1, 500)),
                b"GET /v1/models/" + b"a" * numbers.choice([10, 100_000]) + b" HTTP/1.1\r\n\r\n",
                b"GET " + numbers.randbytes(20) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                b"POST /v1/models/hpt:predict HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
                (head + body)[: numbers.randrange(len(head))],
            ]
        )
        with socket.create_connection(("127.0.0.1", server.rest_api_port), timeout=30) as client:
            try:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                reply = client.recv(1000)
            except ConnectionError:  # it reads no more of what it has refused
                return
        assert not reply or reply.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4")), (sent[:300], reply)

    stays_flat(amount, step)


def tensor_of(random, tensor):
    """Fills a tensor with what may or may not fit together."""
    tensor.dtype = random.choice(
        [1, 1, 3, 7, 7, 7, 10, 9, 19, 20, 21, 107, 0, random.choice(types_pb2.DataType.values())]
    )
    for _ in range(random.randrange(3)):
        tensor.tensor_shape.dim.add(size=random.choice([0, 1, 1, 2, 2, 3, -1, 2**40]))
    tensor.tensor_shape.unknown_rank = random.random() < 0.05
    for _ in range(random.randrange(4)):
        tensor.string_val.append(random.choice([b"a b", b"", b"\xff", b"w " * 500]))
        tensor.float_val.append(random.gauss(0, 1))
        tensor.int_val.append(random.choice([0, 1, -1, 2**31 - 1]))
        tensor.bool_val.append(True)
        tensor.int64_val.append(2**62)
    if random.random() < 0.2:
        tensor.tensor_content = random.randbytes(random.choice([0, 4, 8, 7]))


def message_of(random):
    """A PredictRequest, serialised; now and then damaged."""
    message = predict_pb2.PredictRequest()
    model = random.choice(list(SIGNATURES))
    message.model_spec.name = random.choice([model, model, model, model, "nope", ""])
    message.model_spec.signature_name = random.choice([*SIGNATURES[model], "zz", "__saved_model_init_op"])
    if random.random() < 0.2:
        message.model_spec.version.value = random.choice([1, 123, -1, 2**62])
    if random.random() < 0.1:
        message.model_spec.version_label = random.choice(["", "stable"])
    if random.random() < 0.2:  # what serving_default of one of the models takes
        alias, values = random.choice([("x", [1.0, 2.0]), ("text", [b"a b"])])
        message.inputs[alias].CopyFrom(tf.make_tensor_proto(values))
    else:
        for alias in random.sample(["x", "text", "k", "inputs", "b", ""], random.choice([0, 1, 1, 1, 2])):
            tensor_of(random, message.inputs[alias])
    if random.random() < 0.2:
        message.output_filter.extend(random.choices(["y", "label", "probs", "zz"], k=2))
    content = message.SerializeToString()
    if random.random() < 0.2:
        place = random.randrange(len(content))
        content = random.choice([content[:place], content[:place] + random.randbytes(3) + content[place:]])
    return content


@pytest.mark.slow
@amounts
def test_grpc_requests(server, amount):
    numbers = random.Random(13)
    seen = set()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

        def step(_):
            content = message_of(numbers)
            try:
                call(content, timeout=30)
                code = "OK"
            except grpc.RpcError as error:
                code = error.code().name
                if "deserializing" in error.details():
                    code = "no proto"
            seen.add(code)
            assert code in CODES | {"no proto"}, (content, code)

        stays_flat(amount, step)
    assert seen >= {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "no proto"}
