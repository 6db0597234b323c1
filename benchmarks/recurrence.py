"""Times a recurrent layer over a whole sequence: ours, `keras.layers` and `torch.nn`, forward and forward + backward.

    python benchmarks/recurrence.py [--cells LSTM …] [--rounds N] [--out FILE]

Needs the extra `bench`. Every library runs in a process of its own with all cores, and they take turns: in each round
each times the same job, and the ratios of one round are what the medians are taken of. All have the same weights, and
their outputs and gradients are compared before anything is timed. `keras.layers` runs as it is and with
`jit_compile=True`; the faster one counts. The limit is the time of the job's matrix products alone at the rate that the
machine reaches on large ones. Memory is what one training step adds at its peak, each in a fresh process.

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

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

RESULTS = Path(__file__).resolve().parent / "results" / "recurrence.json"
CELLS = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}  # gates
DIRECTIONS = (1, 2)
SHAPES = ((32, 64, 256, 256), (64, 35, 512, 512), (16, 200, 128, 128), (128, 20, 256, 256), (1, 100, 256, 256))
LIBRARIES = ("ours", "keras", "keras-xla", "torch")
MODES = ("inference", "training")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    cases = list(itertools.product(options.cells, DIRECTIONS, SHAPES))
    rate = product_rate()
    with interleaved.workers(LIBRARIES, serve) as workers:
        records = [record for case in cases for record in measure(workers, case, rate, options.rounds)]
    for record in records:
        if record["mode"] == "training" and record["directions"] == 1:
            record["memory MB"] = {library: peak_memory(library, record) for library in ("ours", "keras", "torch")}
    kept = json.loads(options.out.read_text("utf-8"))["records"] if options.out.exists() else []
    records = [*(record for record in kept if record["cell"] not in options.cells), *records]
    result = {"machine": f"{os.cpu_count()} CPU cores", "product GFLOP/s": round(rate / 1e9), "records": records}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    options.out.with_suffix(".md").write_text(table(result), "utf-8")
    print(summary(result))


def measure(workers, case, rate, rounds):
    """Records of one case, one for each mode."""
    cell, directions, (B, T, D, H) = case
    answers = {library: worker.ask("prepare", *case) for library, worker in workers.items()}
    for library, answer in answers.items():
        for got, expected in zip(answer, answers["torch"], strict=True):
            if not math.isclose(got, expected, rel_tol=1e-3, abs_tol=1e-3):
                raise RuntimeError(f"{library} computes something else than torch for {case}: {answer}")
    for mode in MODES:
        seconds = interleaved.ask_all(workers, rounds, "time", mode)
        flops = directions * 2 * B * T * (D + H) * H * CELLS[cell] * (3 if mode == "training" else 1)
        ratios = [(min(turn["keras"], turn["keras-xla"]), turn["torch"], turn["ours"]) for turn in seconds]
        record = {
            "cell": cell,
            "directions": directions,
            "shape": [B, T, D, H],
            "mode": mode,
            "ms": {name: round(1e3 * statistics.median(turn[name] for turn in seconds), 3) for name in workers},
            "limit ms": round(1e3 * flops / rate, 3),
            "times keras": round(statistics.median(keras / ours for keras, _, ours in ratios), 3),
            "times torch": round(statistics.median(torch / ours for _, torch, ours in ratios), 3),
        }
        print(row(record), flush=True)
        yield record


def summary(result):
    """Geometric means of the ratios, by cell and over all."""
    lines = [
        "| | inference / Keras | inference / PyTorch | training / Keras | training / PyTorch |",
        "|---|---|---|---|---|",
    ]
    for name in (*CELLS, "all"):
        means = []
        for mode, peer in itertools.product(MODES, ("keras", "torch")):
            ratios = [
                record[f"times {peer}"]
                for record in result["records"]
                if record["mode"] == mode and name in (record["cell"], "all")
            ]
            means.append(f"{statistics.geometric_mean(ratios):.2f}" if ratios else "")
        lines.append(f"| {name} | {' | '.join(means)} |")
    return "\n".join(lines) + "\n"


def table(result):
    """The whole table."""
    lines = [
        f"Milliseconds on {result['machine']}; large products: {result['product GFLOP/s']} GFLOP/s. "
        "Written by `python benchmarks/recurrence.py`.\n",
        "How many times faster ours is, geometric means:\n",
        summary(result),
        "| cell | directions | B, T, D, H | mode | ours | Keras | Keras, XLA | PyTorch | limit | / Keras | / PyTorch |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *map(row, result["records"]),
        "\nMemory that one training step adds, MB:\n",
        "| cell | B, T, D, H | ours | Keras | PyTorch |",
        "|---|---|---|---|---|",
    ]
    for record in result["records"]:
        if "memory MB" in record:
            shape, memory = ", ".join(map(str, record["shape"])), record["memory MB"]
            lines.append(f"| {record['cell']} | {shape} | {memory['ours']} | {memory['keras']} | {memory['torch']} |")
    return "\n".join(lines) + "\n"


def row(record):
    ms = record["ms"]
    cells = [record["cell"], record["directions"], ", ".join(map(str, record["shape"])), record["mode"]]
    cells += [f"{ms[library]:.2f}" for library in LIBRARIES]
    cells += [f"{record['limit ms']:.2f}", f"{record['times keras']:.2f}", f"{record['times torch']:.2f}"]
    return f"| {' | '.join(map(str, cells))} |"


def serve(library):
    """Answers "prepare" with sums of what the job gives, and "time" with the seconds of one call."""
    jobs = {}

    def answer(what, *arguments):
        if what == "time":
            return interleaved.seconds_of(jobs[arguments[0]])
        jobs.update(prepare(library, *arguments))
        return [float(part) for mode in MODES for part in jobs[mode](check=True)]

    return answer


def prepare(library, cell, directions, shape):
    """The jobs of one case: mode -> function."""
    B, T, D, H = shape
    import numpy as np

    random = np.random.default_rng(1)

    def normal(*shape, scale=1.0):
        return (scale * random.normal(size=shape)).astype("float32")

    G = CELLS[cell] * H
    bias = (2, G) if cell == "GRU" else (G,)
    x, upstream = normal(B, T, D), normal(B, T, directions * H)
    weights = [
        normal(*shape, scale=H**-0.5) for _ in range(directions) for shape in ((D, G), (H, G), bias)
    ]  # packed as Keras does
    if library == "torch":
        return torch_jobs(cell, directions, x, upstream, weights)
    return keras_jobs(library, cell, directions, x, upstream, weights)


def keras_jobs(library, cell, directions, x, upstream, weights):
    import keras
    import tensorflow as tf

    from seq_models import layers

    module = layers if library == "ours" else keras.layers
    layer = getattr(module, cell)(weights[1].shape[0], return_sequences=True)
    layer = module.Bidirectional(layer) if directions == 2 else layer
    layer.build(x.shape)
    layer.set_weights(weights)
    variables = [variable.value for variable in layer.trainable_variables]
    x, upstream = tf.constant(x), tf.constant(upstream)

    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) * upstream[:, : tf.shape(x)[1]])
        return tape.gradient(loss, [x, *variables])

    options = {"jit_compile": True} if library == "keras-xla" else {"reduce_retracing": True}
    functions = {"inference": tf.function(layer, **options), "training": tf.function(gradients, **options)}

    def job(mode):
        def run(check=False, steps=None):
            results = tf.nest.flatten(functions[mode](x[:, :steps]))
            if check:
                return [tf.reduce_sum(tf.abs(results[0])).numpy()]

        return run

    return {mode: job(mode) for mode in MODES}


def torch_jobs(cell, directions, x, upstream, weights):
    import keras
    import torch

    from seq_models import layers

    B, T, D = x.shape
    H = weights[1].shape[0]
    layer = getattr(layers, cell)(H)
    layer = keras.layers.Bidirectional(layer) if directions == 2 else layer
    layer.build(x.shape)
    layer.set_weights(weights)
    kind = {"SimpleRNN": "RNN"}.get(cell, cell)
    module = getattr(torch.nn, kind)(D, H, batch_first=True, bidirectional=directions == 2)
    module.load_state_dict({name: torch.tensor(array) for name, array in layers.to_torch(layer).items()})
    x, upstream = torch.tensor(x), torch.tensor(upstream)

    def inference(check=False, steps=None):
        with torch.inference_mode():
            y, _ = module(x[:, :steps])
        if check:
            return [y.abs().sum()]

    def training(check=False, steps=None):
        module.zero_grad(set_to_none=True)
        leaf = x[:, :steps].detach().requires_grad_()
        y, _ = module(leaf)
        y.backward(upstream[:, :steps])
        if check:
            return [leaf.grad.abs().sum()]

    return {"inference": inference, "training": training}


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


def peak_memory(library, record):
    """MB that a training step adds at its peak to a process that has done a short one before."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory, (library, record["cell"], record["directions"], record["shape"]))


def _peak_memory(*case):
    job = prepare(*case)["training"]
    for steps in (2, 3, 2):  # of different lengths: so the graph takes any
        job(steps=steps)
    return interleaved.peak_memory(job)


if __name__ == "__main__":
    main()
