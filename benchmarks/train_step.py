"""Times the training step of a whole language model: ours through `fit`, `keras.layers` through `fit`, PyTorch.

    python benchmarks/train_step.py [--rounds N] [--out FILE]

Needs the extra `bench`. Embedding, two LSTM layers of H units, a softmax over 10,000 words, plain SGD, 20 rows of 35
tokens a step. Every library runs in a process of its own with all cores, and they take turns of some steps each; all
start from the same weights, and their losses are compared before anything is timed. `keras.layers` runs as it is and
with `jit_compile=True`; the faster one counts. The autotuner of tf.data, which can keep the end of an epoch waiting, is
off for all.

Writes benchmarks/results/train_step.json and prints the table.
"""

import argparse
import json
import math
import os
import statistics
import time
from pathlib import Path

import interleaved

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

RESULTS = Path(__file__).resolve().parent / "results" / "train_step.json"
V, B, T, DEPTH = 10_000, 20, 35, 2
STEPS = {200: 20, 650: 6}  # of a turn, by H
LIBRARIES = ("ours", "keras", "keras-xla", "torch")
LEARNING_RATE = 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    records = []
    with interleaved.workers(LIBRARIES, serve) as workers:
        for H in STEPS:
            losses = {library: worker.ask("prepare", H) for library, worker in workers.items()}
            if not all(math.isclose(loss, losses["torch"], rel_tol=1e-3) for loss in losses.values()):
                raise RuntimeError(f"The libraries do not compute the same: {losses}")
            records.append(measure(workers, H, options.rounds))
    result = {"machine": f"{os.cpu_count()} CPU cores", "records": records}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(table(result))


def measure(workers, H, rounds):
    seconds = interleaved.ask_all(workers, rounds, "time")
    tokens = STEPS[H] * B * T
    ratios = [(min(turn["keras"], turn["keras-xla"]), turn["torch"], turn["ours"]) for turn in seconds]
    return {
        "H": H,
        "tokens a second": {
            name: round(tokens / statistics.median(turn[name] for turn in seconds)) for name in workers
        },
        "times keras": round(statistics.median(keras / ours for keras, _, ours in ratios), 3),
        "times torch": round(statistics.median(torch / ours for _, torch, ours in ratios), 3),
    }


def table(result):
    lines = [
        "| tokens a second | ours | Keras | Keras, XLA | PyTorch | times Keras | times PyTorch |",
        "|---|---|---|---|---|---|---|",
    ]
    for record in result["records"]:
        rates = [f"{record['tokens a second'][library]:,}" for library in LIBRARIES]
        ratios = [f"{record[f'times {peer}']:.2f}" for peer in ("keras", "torch")]
        lines.append(f"| {DEPTH} × {record['H']} | {' | '.join(rates + ratios)} |")
    return "\n".join(lines) + "\n"


def serve(library):
    """Answers "prepare" with the loss of the first epoch, and "time" with the seconds of one more."""
    epochs = []

    def answer(what, *arguments):
        if what == "prepare":
            epochs[:] = [torch_epoch(*arguments) if library == "torch" else keras_epoch(library, *arguments)]
            return epochs[0]()
        started = time.perf_counter()
        epochs[0]()
        return time.perf_counter() - started

    return answer


def random_start(H):
    """Token ids (rows, T + 1), and the weights packed as Keras does: embedding, LSTMs, logits."""
    import numpy as np

    random = np.random.default_rng(1)
    tokens = random.integers(4, V, (STEPS[H] * B, T + 1)).astype("int32")
    shapes = [(V, H), *[(H, 4 * H), (H, 4 * H), (4 * H,)] * DEPTH, (H, V), (V,)]
    return tokens, [random.uniform(-0.05, 0.05, shape).astype("float32") for shape in shapes]


def keras_epoch(library, H):
    import keras
    import tensorflow as tf

    tokens, weights = random_start(H)
    optimizer = keras.optimizers.SGD(LEARNING_RATE)
    if library == "ours":
        from seq_models.networks import LanguageModel
        from seq_models.training.token_training import TokenTraining

        model = TokenTraining(LanguageModel(V, cell="lstm", units=H, layers=DEPTH))
        model.compile(optimizer)
    else:
        inputs = h = keras.Input((None,), dtype="int32")
        h = keras.layers.Embedding(V, H)(h)
        for _ in range(DEPTH):
            h = keras.layers.LSTM(H, return_sequences=True)(h)
        model = keras.Model(inputs, keras.layers.Dense(V)(h))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss=loss, jit_compile=library == "keras-xla")
    model.set_weights(weights)
    options = tf.data.Options()
    options.autotune.enabled = False
    parts = (tokens[:, :-1], tokens[:, 1:])
    parts = (*parts, tf.ones((len(tokens), T))) if library == "ours" else parts
    dataset = tf.data.Dataset.from_tensor_slices(parts).batch(B, drop_remainder=True).prefetch(2).with_options(options)
    return lambda: model.fit(dataset, verbose=0).history["loss"][0]


def torch_epoch(H):
    import torch

    tokens, (embeddings, *recurrent, output, bias) = random_start(H)
    tensors = [torch.tensor(array) for array in (embeddings, *recurrent, output, bias)]
    embedding, lstm = torch.nn.Embedding(V, H), torch.nn.LSTM(H, H, DEPTH, batch_first=True)
    linear = torch.nn.Linear(H, V)
    model = torch.nn.ModuleList([embedding, lstm, linear])
    with torch.no_grad():
        embedding.weight.copy_(tensors[0])
        for depth in range(DEPTH):
            W, U, b = tensors[1 + 3 * depth : 4 + 3 * depth]
            for name, tensor in (("weight_ih", W.T), ("weight_hh", U.T), ("bias_ih", b), ("bias_hh", 0 * b)):
                getattr(lstm, f"{name}_l{depth}").copy_(tensor)
        linear.weight.copy_(tensors[-2].T)
        linear.bias.copy_(tensors[-1])
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    batches = [torch.tensor(tokens[k : k + B], dtype=torch.long) for k in range(0, len(tokens), B)]

    def epoch():
        total = 0.0
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            logits = linear(lstm(embedding(batch[:, :-1]))[0])
            loss = torch.nn.functional.cross_entropy(logits.reshape(-1, V), batch[:, 1:].reshape(-1))
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total / len(batches)

    return epoch


if __name__ == "__main__":
    main()
