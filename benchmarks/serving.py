"""Latency and throughput of the development server with the models of the demo, and where the time goes.

    make demo
    python benchmarks/serving.py [--demo demo] [--seconds 4] [--out FILE]

Each of the four tasks is asked one text at a time: the Keras model in a process of its own that has nothing else to do
(`predict_text`, and the `tf.function` of its answer), the export by the bare v1 `Session`, and the server over gRPC and
REST with 1, 8 and 32 clients. The clients are threads of one process on the same cores, so with many of them the
figures are those of both sides together. Then the classifier by a server with `--enable_batching`.

Writes benchmarks/results/serving.json and prints the table.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "serving" / "clients"))

import numpy as np  # noqa: E402
from grpc_client import GrpcClient  # noqa: E402  the clients that users are given
from load import measure  # noqa: E402
from rest_client import RestClient  # noqa: E402
from rich.progress import track  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "results" / "serving.json"
TEXTS = {
    "language-model": "the flights the airline was canceling were full",
    "labeler": "the pilots who read the old book see the flights and the doctor who was kind sees the pilot now",
    "classifier": "the library was not boring",
    "encoder-decoder": "the green witch who reads the old books sees the pilots and arrived",
}
CLIENTS = (1, 8, 32)
BATCHING = """
max_batch_size { value: 32 } batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 100 } num_batch_threads { value: 1 }
"""
START = 120  # seconds that a server may take to start
CALLS = 300  # of the bare session and of Keras


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="what `make demo` wrote (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="of load for each figure (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if not (options.demo / "exports").is_dir():
        parser.error(f"--demo must hold the exports of `make demo`. Received: {options.demo}")
    result = {"machine": f"{os.cpu_count()} CPU cores", "tasks": {}}
    for task in TEXTS:
        result["tasks"][task] = {
            **in_fresh_process(keras_alone, options.demo / "runs" / task, TEXTS[task]),
            "session": in_fresh_process(session_alone, options.demo / "exports" / task, TEXTS[task]),
        }
    with server(options.demo / "exports") as clients:
        for task in track(TEXTS, "load"):
            result["tasks"][task].update(loaded(clients, task, options.seconds))
    with server(options.demo / "exports", batching=True) as clients:
        result["classifier with batching"] = loaded(clients, "classifier", options.seconds)
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(table(result))


def in_fresh_process(function, *arguments):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def keras_alone(run, text):
    """Milliseconds of a text by the Keras model: by `predict_text` as users call it, and by a function traced once."""
    import tensorflow as tf

    import seq_models as sm

    model = sm.load_run(run)
    respond = tf.function(model.respond, input_signature=[tf.TensorSpec([None], tf.string)])
    question = tf.constant([text])
    return {
        "predict_text": timed(lambda: model.predict_text([text]), 5),
        "tf.function": timed(lambda: [tensor.numpy() for tensor in respond(question).values()], CALLS),
    }


def session_alone(base, text):
    """Milliseconds of a text by the newest export, with what TensorFlow Serving calls."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401
    from tensorflow.core.protobuf.config_pb2 import CallableOptions

    newest = max((path for path in base.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(newest)).signature_def["serving_default"]
    call = session._make_callable_from_options(
        CallableOptions(feed=[signature.inputs["text"].name], fetch=[i.name for i in signature.outputs.values()])
    )
    question = np.array([text.encode()], object)
    return timed(lambda: call(question), CALLS)


def timed(call, count):
    """The median, in milliseconds, after some calls that are not counted."""
    for _ in range(min(count, 20)):
        call()
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return round(1000 * statistics.median(seconds), 3)


@contextlib.contextmanager
def server(base, batching=False):
    """A development server in a process of its own; gives a client of each of its APIs."""
    with tempfile.TemporaryDirectory() as directory:
        words = [sys.executable, "-m", "seq_models.cli", "serve", "--model_base", str(base)]
        words += ["--port", "0", "--rest_api_port", "0"]
        if batching:
            path = Path(directory) / "batching.config"
            path.write_text(BATCHING, "utf-8")
            words += ["--enable_batching", "--batching_parameters_file", str(path)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            line = process.stdout.readline()  # "gRPC at HOST:PORT, REST at http://HOST:PORT/v1/models"
            grpc, rest = (part.split(" at ")[1] for part in line.split(", "))
            yield {
                "gRPC": GrpcClient(grpc, START),
                "REST": RestClient(rest.strip().removesuffix("/v1/models"), START),
            }
        finally:
            process.terminate()
            process.wait(START)


def loaded(clients, task, seconds):
    """p50, p95 and p99 in milliseconds and answers a second, by API and number of clients."""
    record = {}
    for api, client in clients.items():
        for count in CLIENTS:
            question = {"text": [TEXTS[task]]}
            measure(lambda client=client, question=question: client.predict(task, question), count, min(seconds, 1))
            found = measure(lambda client=client, question=question: client.predict(task, question), count, seconds)
            if found["errors"]:
                raise RuntimeError(f"{task} over {api}: {found['errors']} requests failed")
            record[f"{api}, {count} clients"] = {name: round(value, 2) for name, value in found.items()}
    return record


def table(result):
    lines = [
        "| one text | `predict_text` | `tf.function` | session | gRPC p50 / p95 / p99 | REST p50 / p95 / p99 | "
        "32 clients, answers a second: gRPC | REST |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, record in result["tasks"].items():
        alone = " | ".join(f"{record[name]:.2f}" for name in ("predict_text", "tf.function", "session"))
        lines.append(f"| {task} | {alone} | {' | '.join(served(record))} |")
    batching = result["classifier with batching"]
    lines.append(f"| classifier, batching | | | | {' | '.join(served(batching))} |")
    plain = result["tasks"]["classifier"]
    for api in ("gRPC", "REST"):
        one = plain[f"{api}, 1 clients"]["throughput"]
        ratio = batching[f"{api}, 32 clients"]["throughput"] / one
        lines.append(f"\n{api}, classifier: 32 clients with batching get {ratio:.1f} times the answers of one client.")
    return "\n".join(lines) + "\n"


def served(record):
    """The cells of a task's row that come from the server."""
    cells = []
    for api in ("gRPC", "REST"):
        one = record[f"{api}, 1 clients"]
        cells.append(f"{one['p50']:.2f} / {one['p95']:.2f} / {one['p99']:.2f} ms")
    return [*cells, *(f"{record[f'{api}, 32 clients']['throughput']:.0f}" for api in ("gRPC", "REST"))]


if __name__ == "__main__":
    main()
