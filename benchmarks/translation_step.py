"""Times the training step of an encoder-decoder with attention: ours through `fit`, stock Keras, PyTorch.

    python benchmarks/translation_step.py [--rounds 7] [--out FILE]

Needs the extra `bench`. The model is that of translation_models.py, the batches are of 64 pairs of 13 words on average,
teacher forcing, plain SGD. Every library runs in a process of its own with all cores, and they take turns of some steps
each, in a random order; all start from the same weights, and their losses are compared before anything is timed. Stock
Keras is `keras.layers` in a step of its own in a `tf.function`, whose loop calls `LSTMCell` and the attention once a
token; PyTorch is a loop over `LSTMCell`. In both the softmax is outside of the loop.

Writes benchmarks/results/translation_step.json and prints the table.
"""

import argparse
import json
import math
import os
import statistics
import time
from pathlib import Path

import interleaved
import numpy as np
from translation_models import BATCH, CONTROL, END, START, KerasParts, TorchParts, V, batches, our_network

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

RESULTS = Path(__file__).resolve().parent / "results" / "translation_step.json"
STEPS = 8  # of a turn
LEARNING_RATE = 0.1
NAMES = {"ours": "ours", "keras": "stock Keras", "torch": "PyTorch"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with interleaved.workers(NAMES, serve) as workers:
        losses = {library: worker.ask("losses") for library, worker in workers.items()}
        for library, found in losses.items():
            if not all(map(lambda one, other: math.isclose(one, other, rel_tol=1e-3), found, losses["torch"])):
                raise RuntimeError(f"The libraries do not compute the same. Received: {losses}, first {library}")
        turns = interleaved.ask_all(workers, options.rounds, "time")
    tokens = sum(int(weights.sum()) for *_, weights in data())
    result = {
        "machine": f"{os.cpu_count()} CPU cores",
        "target tokens a second": {
            library: round(tokens / statistics.median(turn[library] for turn in turns)) for library in NAMES
        },
        "times": {
            library: round(statistics.median(turn[library] / turn["ours"] for turn in turns), 3)
            for library in NAMES
            if library != "ours"
        },
    }
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(table(result))


def data():
    """The batches of a turn: source (B, S), target from `<s>` on (B, T), target to `</s>` (B, T), weights (B, T)."""
    generator = np.random.default_rng(2)
    for source, lengths in batches(STEPS * BATCH):
        T = lengths.max()
        real = np.arange(T) < lengths[:, None]
        words = np.where(real, generator.integers(CONTROL, V, real.shape), 0).astype("int32")
        words[np.arange(len(words)), lengths - 1] = END
        before = np.concatenate([np.full((len(words), 1), START, "int32"), words[:, :-1]], axis=1)
        yield source, np.where(real, before, 0), words, real.astype("float32")


def serve(library):
    """Answers "losses" with the losses of the batches of one turn, and "time" with the seconds of one more."""
    turn = {"ours": our_turn, "keras": keras_turn, "torch": torch_turn}[library]()

    def answer(what):
        started = time.perf_counter()
        losses = turn()
        return losses if what == "losses" else time.perf_counter() - started

    return answer


def our_turn():
    import keras
    import tensorflow as tf

    from seq_models.training.token_training import TokenTraining

    model = TokenTraining(our_network())
    model.compile(keras.optimizers.SGD(LEARNING_RATE), clip_norm=None)
    turn = list(data())

    def batch_by_batch():
        for source, before, words, weights in turn:
            yield (source, before), words, weights

    ids, weights = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None], tf.float32)
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(batch_by_batch, output_signature=((ids, ids), ids, weights))
    dataset = dataset.prefetch(2).with_options(options)
    tokens = np.array([weights.sum() for *_, weights in turn])

    def run():
        means = []
        keep = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: means.append(float(logs["loss"])))
        model.fit(dataset, verbose=0, callbacks=[keep])
        return of_each(means, tokens)

    return run


def of_each(means, tokens):
    """The loss of each batch, from the means over all tokens so far that `fit` reports."""
    return (np.diff(np.cumsum(tokens) * means, prepend=0) / tokens).tolist()


def keras_turn():
    import keras
    import tensorflow as tf

    parts, optimizer = KerasParts(), keras.optimizers.SGD(LEARNING_RATE)
    models = (parts.encode, parts.step, parts.logits)
    variables = [variable for model in models for variable in model.trainable_variables]
    optimizer.build(variables)
    ids, floats = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None], tf.float32)

    @tf.function(input_signature=[ids, ids, ids, floats])
    def step(source, before, words, weights):
        with tf.GradientTape() as tape:
            memory, keys, h, c = parts.encode(source)
            mask, T = source > 0, tf.shape(before)[1]
            seen = tf.TensorArray(tf.float32, T)
            for t in tf.range(T):
                now, h, c = parts.step([before[:, t], h, c, memory, keys, mask])
                seen = seen.write(t, now)
            logits = parts.logits(tf.transpose(seen.stack(), [1, 0, 2]))
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(words, logits)
            loss = tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)
        optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]))
        return loss

    turn = [tuple(map(tf.constant, batch)) for batch in data()]
    return lambda: [float(step(*batch)) for batch in turn]


def torch_turn():
    import torch

    model = TorchParts()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    turn = [tuple(map(torch.from_numpy, batch)) for batch in data()]

    def step(source, before, words, weights):
        source, before, words = source.long(), before.long(), words.long()
        optimizer.zero_grad(set_to_none=True)
        memory, keys, h, c = model.encode(source)
        mask, seen = source > 0, []
        for t in range(before.shape[1]):
            now, h, c = model.step(before[:, t], h, c, memory, keys, mask)
            seen.append(now)
        logits = model.logits(torch.stack(seen, dim=1))
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), words.flatten(), reduction="none")
        loss = (losses * weights.flatten()).sum() / weights.sum()
        loss.backward()
        optimizer.step()
        return loss.item()

    return lambda: [step(*batch) for batch in turn]


def table(result):
    lines = ["| | target tokens a second | times our seconds |", "|---|---|---|"]
    for library, rate in result["target tokens a second"].items():
        lines.append(f"| {NAMES[library]} | {rate:,} | {result['times'].get(library, 1):.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
