"""How time and memory of a training step of one layer grow with T.

    python benchmarks/scaling.py [--cells LSTM …] [--out FILE]

Time: seconds of one step at T from 50 to 3,200, as a multiple of what is proportional to the time at T = 400. Memory:
what one step adds at its peak to a process that has done a short one before, as a multiple of what the backward pass
needs: inputs x, states and gates of all steps, their gradients of width G, and the gradients of x and of the output.
Each figure is taken in a fresh process.

Writes benchmarks/results/scaling.json and prints two tables.
"""

import argparse
import json
import multiprocessing
import os
from pathlib import Path

import interleaved

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

RESULTS = Path(__file__).resolve().parent / "results" / "scaling.json"
B, D, H = 32, 256, 256
LENGTHS = (50, 100, 200, 400, 800, 1600, 3200)
UNIT = 400  # the length that the others are held against
MEMORY_LENGTH = 800
CELLS = {"LSTM": (4, 2, 4), "GRU": (3, 1, 4), "SimpleRNN": (1, 1, 0)}  # width of W in H, states, gates


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    records = [
        {
            "cell": cell,
            "seconds": dict(zip(map(str, LENGTHS), in_fresh_process(seconds, cell), strict=True)),
            "memory MB": {library: in_fresh_process(peak_memory, library, cell) for library in ("ours", "keras")},
            "needed MB": round(needed(cell)),
        }
        for cell in options.cells
    ]
    result = {"machine": f"{os.cpu_count()} CPU cores", "B, D, H": [B, D, H], "records": records}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(table(result))


def table(result):
    lines = [f"| time / proportional, T = | {' | '.join(map(str, LENGTHS))} |", "|---" * (1 + len(LENGTHS)) + "|"]
    for record in result["records"]:
        unit = record["seconds"][str(UNIT)] / UNIT
        ratios = [f"{record['seconds'][str(T)] / T / unit:.2f}" for T in LENGTHS]
        lines.append(f"| {record['cell']} | {' | '.join(ratios)} |")
    lines += [
        "",
        f"| MB of a step, T = {MEMORY_LENGTH} | needed | ours | Keras | ours / needed |",
        "|---|---|---|---|---|",
    ]
    for record in result["records"]:
        ours, keras = (record["memory MB"][library] for library in ("ours", "keras"))
        needed = record["needed MB"]
        lines.append(f"| {record['cell']} | {needed} | {ours} | {keras} | {ours / needed:.2f} |")
    return "\n".join(lines) + "\n"


def needed(cell):
    """MB of x, dx, states, gates, dW's factor and the gradient of the output, all steps."""
    width, states, gates = CELLS[cell]
    return 4e-6 * B * MEMORY_LENGTH * (2 * D + (states + gates + width + 1) * H)


def in_fresh_process(function, *arguments):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def seconds(cell):
    step = training_step("ours", cell)
    return [min(interleaved.seconds_of(lambda T=T: step(T)) for _ in range(5)) for T in LENGTHS]


def peak_memory(library, cell):
    step = training_step(library, cell)
    for _ in range(3):
        step(50)
    return interleaved.peak_memory(lambda: step(MEMORY_LENGTH))


def training_step(library, cell):
    """A function of T that takes one step of forward and backward on random inputs."""
    import keras
    import tensorflow as tf

    from seq_models import layers

    layer = getattr(layers if library == "ours" else keras.layers, cell)(H, return_sequences=True)
    layer.build((B, None, D))
    variables = [variable.value for variable in layer.trainable_variables]
    whole = tf.random.normal((B, max(LENGTHS), D))

    @tf.function(input_signature=[tf.TensorSpec((B, None, D))])
    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, [x, *variables])

    inputs = {}

    def step(T):
        if T not in inputs:
            inputs[T] = tf.identity(whole[:, :T])
        gradients(inputs[T])

    step(2)
    return step


if __name__ == "__main__":
    main()
