"""Times a recurrent layer over a whole sequence in several libraries, forward and forward + backward.

    python benchmarks/recurrence.py [--cells LSTM …] [--rounds N] [--out FILE]

Needs the extra `bench`. Ours with the compiled kernels ("fused") and as it is without a compiler ("loop"), stock
`keras.layers` as it is and with `jit_compile=True` (the faster one counts), `torch.nn`, and ONNX Runtime in inference.
Every library runs in a process of its own with all cores, and they take turns in random order: in each round each times
the same job, and the ratios of one round are what the medians are taken of. All have the same weights, and their
outputs and gradients are compared before anything is timed. Some cases are padded batches with 59 % real tokens, of
which PyTorch gets packed sequences. The limit is the time of the job's matrix products alone at the rate that the
machine reaches on large ones. `scaling.py` measures memory.

Writes benchmarks/results/recurrence.json and, with the whole table, recurrence.md; a cell that was not run keeps its
records.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import statistics
from pathlib import Path

import interleaved
from recurrence_jobs import CELLS, MODES, serve

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

RESULTS = Path(__file__).resolve().parent / "results" / "recurrence.json"
BOTH_WAYS = ((32, 64, 256, 256), (64, 35, 512, 512), (16, 200, 128, 128), (128, 20, 256, 256), (1, 100, 256, 256))
SHAPES = (*BOTH_WAYS, (8, 20, 64, 64), (48, 40, 192, 320), (24, 90, 300, 256), (96, 28, 128, 384))
PADDED = ((32, 64, 256, 256), (16, 200, 128, 128))
LIBRARIES = ("fused", "loop", "keras", "keras-xla", "torch", "onnx")
PEERS = ("keras", "torch", "onnx")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    cases = [(cell, 1, shape, False) for cell in options.cells for shape in SHAPES]
    cases += [(cell, 2, shape, False) for cell in options.cells for shape in BOTH_WAYS]
    cases += [(cell, 1, shape, True) for cell in options.cells for shape in PADDED]
    rate = product_rate()
    with interleaved.workers(LIBRARIES, serve) as workers:
        records = [record for case in cases for record in measure(workers, case, rate, options.rounds)]
    kept = json.loads(options.out.read_text("utf-8"))["records"] if options.out.exists() else []
    records = [*(record for record in kept if record["cell"] not in options.cells), *records]
    result = {"machine": f"{os.cpu_count()} CPU cores", "product GFLOP/s": round(rate / 1e9), "records": records}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    options.out.with_suffix(".md").write_text(table(result), "utf-8")
    print(summary(result))


def measure(workers, case, rate, rounds):
    """Records of one case, one for each mode."""
    cell, directions, (B, T, D, H), padded = case
    answers = {library: worker.ask("prepare", *case) for library, worker in workers.items()}
    for library, answer in answers.items():
        for mode, got in answer.items():
            if not math.isclose(got, answers["torch"][mode], rel_tol=1e-3, abs_tol=1e-3):
                raise RuntimeError(f"{library} computes something else than torch for {case}: {answer}")
    for mode in MODES:
        seconds = interleaved.ask_all(workers, rounds, "time", mode)
        flops = directions * 2 * B * T * (D + H) * H * CELLS[cell] * (3 if mode == "training" else 1)
        timed = [library for library in workers if mode in answers[library]]
        for turn in seconds:
            turn["keras, best"] = min(turn["keras"], turn["keras-xla"])
        record = {
            **{"cell": cell, "directions": directions, "shape": [B, T, D, H], "padded": padded, "mode": mode},
            "ms": {name: round(1e3 * statistics.median(turn[name] for turn in seconds), 3) for name in timed},
            "limit ms": round(1e3 * flops / rate, 3),
            "times": {name: times(seconds, name, answers, mode) for name in ("fused", "loop")},
        }
        print(row(record), flush=True)
        yield record


def times(seconds, ours, answers, mode):
    """How many times faster an engine of ours is than each peer that has the mode: medians of the rounds' ratios."""
    peers = {peer: "keras, best" if peer == "keras" else peer for peer in PEERS if mode in answers[peer]}
    return {
        peer: round(statistics.median(turn[name] / turn[ours] for turn in seconds), 3) for peer, name in peers.items()
    }


def summary(result):
    """Geometric means of the ratios over the batches without padding, and the least ratio to Keras."""
    head = ["", "engine", *(f"{mode} / {peer}" for mode in MODES for peer in PEERS if (mode, peer) != SKIPPED)]
    head += [f"least {mode} / keras" for mode in MODES]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for ours, name in itertools.product(("fused", "loop"), (*CELLS, "all", "B = 1", "padded")):
        means, least = [], []
        for mode, peer in itertools.product(MODES, PEERS):
            if (mode, peer) == SKIPPED:
                continue
            chosen = [record for record in result["records"] if record["mode"] == mode and in_group(record, name)]
            ratios = [record["times"][ours][peer] for record in chosen]
            means.append(f"{statistics.geometric_mean(ratios):.2f}" if ratios else "")
            if peer == "keras":
                least.append(f"{min(ratios):.2f}" if ratios else "")
        lines.append(f"| {name} | {ours} | {' | '.join(means + least)} |")
    return "\n".join(lines) + "\n"


SKIPPED = ("training", "onnx")


def in_group(record, name):
    """Whether a record is of a group of the summary."""
    if record["padded"] or name == "padded":
        return record["padded"] and name == "padded"
    return name in ("all", record["cell"]) or (name == "B = 1" and record["shape"][0] == 1)


def table(result):
    """The whole table."""
    columns = ["cell", "directions", "B, T, D, H", "mode", *LIBRARIES, "limit", "fused / keras", "fused / torch"]
    lines = [
        f"Milliseconds on {result['machine']}; large products: {result['product GFLOP/s']} GFLOP/s. "
        "Written by `python benchmarks/recurrence.py`.\n",
        "How many times faster ours is, with a compiler (fused) and without one (loop), geometric means:\n",
        summary(result),
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
        *map(row, result["records"]),
    ]
    return "\n".join(lines) + "\n"


def row(record):
    ms, ratios = record["ms"], record["times"]["fused"]
    shape = ", ".join(map(str, record["shape"])) + (", padded" if record["padded"] else "")
    cells = [record["cell"], record["directions"], shape, record["mode"]]
    cells += [f"{ms[library]:.2f}" if library in ms else "" for library in LIBRARIES]
    cells += [f"{record['limit ms']:.2f}", f"{ratios['keras']:.2f}", f"{ratios['torch']:.2f}"]
    return f"| {' | '.join(map(str, cells))} |"


def product_rate():
    """FLOP/s of a large product of float32 matrices on all cores, the better of TensorFlow and PyTorch."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return max(pool.map(_product_rate, ("torch", "tensorflow")))


def _product_rate(library):
    N = 2048
    if library == "torch":
        import torch

        a = torch.randn(N, N)
        product = lambda: a @ a  # noqa: E731
    else:
        import tensorflow as tf

        a = tf.random.normal((N, N))
        product = tf.function(lambda: tf.matmul(a, a))
    return 2 * N**3 / min(interleaved.seconds_of(product) for _ in range(20))


if __name__ == "__main__":
    main()
