"""Latency and throughput of the development server with the models of the demo, and where the time goes.

    make demo
    python benchmarks/serving.py [--demo demo] [--rounds 5] [--seconds 2] [--out FILE]

Each of the four tasks is asked one text at a time: the Keras model in a process of its own that has nothing else to do
(`predict_text`, and the `tf.function` of its answer), the export by the bare v1 `Session`, and the server over gRPC and
REST with 1, 8 and 32 clients, those of lean_clients.py: one process on the same cores. Then the classifier by a server
with `--enable_batching` and one thread of TensorFlow. Servers and sessions are new in each round. The figures are
medians over the rounds, and so is what the server adds to the session and 32 clients to one.

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

import numpy as np  # noqa: E402
from lean_clients import load  # noqa: E402
from rich.progress import track  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "results" / "serving.json"
TEXTS = {
    "language-model": "the flights the airline was canceling were full",
    "labeler": "the pilots who read the old book see the flights and the doctor who was kind sees the pilot now",
    "classifier": "the library was not boring",
    "encoder-decoder": "the green witch who reads the old books sees the pilots and arrived",
}
APIS = ("gRPC", "REST")
CLIENTS = (1, 8, 32)
LOADS = {f"{api}, {count} clients": (api, count) for api in APIS for count in CLIENTS}
BATCHING = """
max_batch_size { value: 32 } batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 100 } num_batch_threads { value: 1 }
"""
ONE_THREAD = ["--tensorflow_intra_op_parallelism=1", "--tensorflow_inter_op_parallelism=1"]
START = 120  # seconds that a server may take to start
CALLS = 300  # of the bare session and of Keras
BATCHED = "classifier with batching"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="what `make demo` wrote (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2, help="of load in a round (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if not (options.demo / "exports").is_dir():
        parser.error(f"--demo must hold the exports of `make demo`. Received: {options.demo}")
    alone = {task: in_fresh_process(keras_alone, options.demo / "runs" / task, TEXTS[task]) for task in TEXTS}
    rounds = [one_round(options) for _ in track(range(options.rounds), "rounds")]
    result = {
        "machine": f"{os.cpu_count()} CPU cores",
        "tasks": {task: {**alone[task], **over_rounds([found[task] for found in rounds])} for task in TEXTS},
        BATCHED: over_rounds([found[BATCHED] for found in rounds]),
    }
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
    """A development server in a process of its own; gives the address of each of its APIs."""
    with tempfile.TemporaryDirectory() as directory:
        words = [sys.executable, "-m", "seq_models.cli", "serve", "--model_base", str(base)]
        words += ["--port", "0", "--rest_api_port", "0"]
        if batching:
            path = Path(directory) / "batching.config"
            path.write_text(BATCHING, "utf-8")
            words += ["--enable_batching", "--batching_parameters_file", str(path), *ONE_THREAD]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            line = process.stdout.readline()  # "gRPC at HOST:PORT, REST at http://HOST:PORT/v1/models"
            grpc, rest = (part.split(" at ")[1] for part in line.split(", "))
            yield {"gRPC": grpc, "REST": rest.strip().removeprefix("http://").removesuffix("/v1/models")}
        finally:
            process.terminate()
            process.wait(START)


def one_round(options):
    """What is measured of each task and of batching, with processes that are new: one may be slower than the next."""
    exports = options.demo / "exports"
    with server(exports) as addresses:
        found = {task: measured(addresses, exports, task, options.seconds) for task in TEXTS}
    with server(exports, batching=True) as addresses:
        return {**found, BATCHED: measured(addresses, exports, "classifier", options.seconds)}


def measured(addresses, exports, task, seconds):
    """Milliseconds of the bare session and, by API and number of clients, p50, p95, p99 and answers a second."""
    found = {"session": in_fresh_process(session_alone, exports / task, TEXTS[task])}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for name, (api, count) in LOADS.items():
            found[name] = pool.apply(load, (api, addresses[api], task, TEXTS[task], count, seconds))
    return found


def over_rounds(rounds):
    """Medians, also of what the server adds to the session and of how many times the answers of one client 32 get."""
    record = {"session": median(found["session"] for found in rounds)}
    for name in LOADS:
        record[name] = {figure: median(found[name][figure] for found in rounds) for figure in rounds[0][name]}
    for api in APIS:
        one, *_, many = (f"{api}, {count} clients" for count in CLIENTS)
        record[f"{api}, more than the session"] = median(found[one]["p50"] - found["session"] for found in rounds)
        record[f"{api}, times one client"] = median(
            found[many]["throughput"] / found[one]["throughput"] for found in rounds
        )
    return record


def median(values):
    return round(statistics.median(values), 2)


def table(result):
    lines = [
        "| one text | `predict_text` | `tf.function` | session | gRPC p50 / p95 / p99 | REST p50 / p95 / p99 | "
        "32 clients, answers a second: gRPC | REST |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, record in result["tasks"].items():
        alone = " | ".join(f"{record[name]:.2f}" for name in ("predict_text", "tf.function", "session"))
        lines.append(f"| {task} | {alone} | {' | '.join(served(record))} |")
    batching = result[BATCHED]
    lines.append(f"| classifier, batching | | | | {' | '.join(served(batching))} |\n")
    for api in APIS:
        overheads = [record[f"{api}, more than the session"] for record in result["tasks"].values()]
        lines.append(
            f"{api}: {min(overheads):.1f} to {max(overheads):.1f} ms more than the session; with batching 32 clients "
            f"get {batching[f'{api}, times one client']:.1f} times the answers of one.\n"
        )
    return "\n".join(lines)


def served(record):
    """The cells of a task's row that come from the server."""
    cells = []
    for api in APIS:
        one = record[f"{api}, 1 clients"]
        cells.append(f"{one['p50']:.2f} / {one['p95']:.2f} / {one['p99']:.2f} ms")
    return [*cells, *(f"{record[f'{api}, 32 clients']['throughput']:.0f}" for api in APIS)]


if __name__ == "__main__":
    main()
