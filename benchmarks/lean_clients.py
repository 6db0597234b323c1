"""Clients that cost little: a question is written once and its answers are not read, so that the server is timed.

All of them run in one event loop, and take the time of one core at most.
"""

import asyncio
import contextlib
import json
import math
import time

import grpc
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis.predict_pb2 import PredictRequest

PREDICT = "/tensorflow.serving.PredictionService/Predict"
WARM = 20  # questions of each client before the time is taken


def load(api, address, model, text, clients, seconds):
    """So many clients ask about a text again and again, each as soon as it is answered.

    Args:
        api: "gRPC" or "REST".
        address: HOST:PORT.
        model: Its name.
        text: What it is asked.
        clients: Their number.
        seconds: How long they ask.
    Returns:
        p50, p95, p99: of the latencies, in milliseconds.
        throughput: answers a second.
    Raises:
        RuntimeError: If the server answers with an error.
    """
    return asyncio.run(_load({"gRPC": _grpc, "REST": _rest}[api](address, model, text), clients, seconds))


async def _load(connect, clients, seconds):
    latencies = []

    async def ask(question):
        while (begun := time.perf_counter()) < end:
            await question()
            latencies.append(1000 * (time.perf_counter() - begun))

    async with contextlib.AsyncExitStack() as stack:
        questions = [await stack.enter_async_context(connect()) for _ in range(clients)]
        for question in questions * WARM:
            await question()
        started = time.perf_counter()
        end = started + seconds
        await asyncio.gather(*map(ask, questions))
        elapsed = time.perf_counter() - started  # the last answers come after the end
    latencies.sort()
    percentiles = {f"p{share}": latencies[math.ceil(share / 100 * len(latencies)) - 1] for share in (50, 95, 99)}
    return {**percentiles, "throughput": len(latencies) / elapsed}


def _grpc(address, model, text):
    request = PredictRequest()
    request.model_spec.name = model
    tensor = request.inputs["text"]
    tensor.dtype = types_pb2.DT_STRING
    tensor.tensor_shape.dim.add(size=1)
    tensor.string_val.append(text.encode())
    written = request.SerializeToString()

    @contextlib.asynccontextmanager
    async def connect():
        async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            predict = channel.unary_unary(PREDICT)  # bytes in, bytes out; raises for an error
            yield lambda: predict(written)

    return connect


def _rest(address, model, text):
    host, port = address.split(":")
    body = json.dumps({"inputs": {"text": [text]}}).encode()
    head = f"POST /v1/models/{model}:predict HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n\r\n"
    written = head.encode() + body

    @contextlib.asynccontextmanager
    async def connect():
        reader, writer = await asyncio.open_connection(host, int(port))

        async def question():
            writer.write(written)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200 "):
                raise RuntimeError(f"The server must answer with 200. Received: {head.decode()}")
            [length] = (line[15:] for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length))

        try:
            yield question
        finally:
            writer.close()

    return connect
