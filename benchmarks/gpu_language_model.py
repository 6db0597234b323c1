"""A published language model of GPU size [1] with the LSTM of this package, or of Keras, under Keras's JAX backend.

    python benchmarks/gpu_language_model.py --prepare DIR --out ids.npz      (text -> token ids; needs only NumPy)
    python benchmarks/gpu_language_model.py ids.npz --size medium [--layers keras] [--seconds 540 --checkpoint FILE]

DIR holds Penn Treebank as one file a split, with "train", "valid" and "test" in their names, gzipped or not. Two LSTM
layers, dropout D on what is not recurrent [1, section 3.1], every weight from U(-s, s) at first [1, section 4.1]:

    h_t^0 = E x_t      h_t^l, c_t^l = LSTM(D(h_t^{l-1}), h_{t-1}^l, c_{t-1}^l)      p(x_{t+1}) = softmax(W D(h_t^2) + b)

SGD on windows of T tokens of B rows, states carried from one to the next:

    L = -1/B Σ_{b,t} log p(x_{b,t+1})      g = ∂L/∂θ      θ' = θ - η min(1, clip / ‖g‖₂) g

η is 1, and is divided by `decay` at each epoch after the first few. An epoch is one compiled XLA call. Validation reads
B rows, the test one row, states carried, every token counted, `<eos>` too; the weights of the best validation epoch are
tested. With `--seconds` a run stops in time after an epoch, and goes on from `--checkpoint` as if it had not stopped.

References:
    [1] Zaremba, Sutskever and Vinyals 2014, Recurrent Neural Network Regularization.
"""

import argparse
import gzip
import json
import math
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")

SPLITS = ("train", "valid", "test")
EOS = 0  # also read before the first token of a stream
B, T, DEPTH = 20, 35, 2
TEST_T = 1000  # of the one row of the test: how it is cut does not change the result


class Setting(NamedTuple):
    """A row of [1, section 4.1]; `constant`: the epochs at learning rate 1; `published`: test perplexity."""

    units: int
    dropout: float
    scale: float
    epochs: int
    constant: int
    decay: float
    clip: float
    published: float | None = None


SETTINGS = {
    "tiny": Setting(32, 0.2, 0.1, 4, 2, 1.5, 5),  # to try the script with
    "medium": Setting(650, 0.5, 0.05, 39, 6, 1.2, 5, 82.7),
    "large": Setting(1500, 0.65, 0.04, 55, 14, 1.15, 10, 78.4),
}


class State(NamedTuple):
    """What a checkpoint holds after an epoch: θ, the seeds of dropout, θ of the best epoch, a record of each epoch."""

    weights: list
    seeds: list
    best: list
    records: list[dict[str, Any]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", type=Path, nargs="?", help="what --prepare wrote")
    parser.add_argument("--prepare", type=Path, metavar="DIR")
    parser.add_argument("--size", choices=SETTINGS, default="medium")
    parser.add_argument("--layers", choices=("ours", "keras"), default="ours")
    parser.add_argument("--epochs", type=int, help="stop after so many; the learning rates stay those of the size")
    parser.add_argument("--tokens", type=int, help="of each split, from its start")
    parser.add_argument("--precision", default="default", help="jax_default_matmul_precision; on a GPU default is TF32")
    parser.add_argument("--seed", type=int, default=1, help="of the first weights")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop, tested and saved, before so many")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.prepare and options.out:
        prepare(options.prepare, options.out)
    elif options.ids and not options.prepare:
        run(options)
    else:
        parser.error("Expected the ids to train on, or --prepare DIR --out FILE.")


def prepare(directory, out):
    """Token ids of the splits, uint16, numbered as they come, each line ended by `<eos>`."""
    texts = {}
    for split in SPLITS:
        [file] = directory.glob(f"*{split}*")
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8", newline="\n") as lines:
            texts[split] = [word for line in lines for word in (*line.split(), "<eos>")]
    vocabulary = {word: k for k, word in enumerate(dict.fromkeys(["<eos>", *texts["train"]]))}
    ids = {split: np.array([vocabulary[word] for word in words], "uint16") for split, words in texts.items()}
    np.savez_compressed(out, vocabulary=len(vocabulary), **ids)
    print(f"{out}: {out.stat().st_size:,} bytes, {len(vocabulary):,} words, {[len(ids[split]) for split in SPLITS]}")


def run(options):
    began = time.perf_counter()
    import jax
    import keras

    if keras.backend.backend() != "jax":
        sys.exit(f"KERAS_BACKEND must be jax. Received: KERAS_BACKEND={keras.backend.backend()}")
    jax.config.update("jax_default_matmul_precision", options.precision)
    setting, ids = SETTINGS[options.size], np.load(options.ids)
    streams = {split: ids[split][: options.tokens] for split in SPLITS}
    model = network(options.layers, setting, int(ids["vocabulary"]))
    made_with = {name: getattr(options, name) for name in ("size", "layers", "tokens", "precision", "seed")}
    state = load(options.checkpoint, made_with) or first_state(model, setting, options.seed)
    last = options.epochs or setting.epochs
    state = train(model, setting, streams, state, last, began + options.seconds)
    if options.checkpoint:
        save(options.checkpoint, made_with, state)
    test = perplexity(jax.jit(evaluation(model))(state.best, windows(streams["test"], 1, TEST_T)), streams["test"])
    result = {
        "device": jax.devices()[0].device_kind,
        "versions": {"jax": jax.__version__, "keras": keras.__version__, "numpy": np.__version__},
        **made_with,
        "setting": setting._asdict(),
        "tokens a second": round(statistics.median(record["tokens a second"] for record in state.records)),
        "best epoch": min(state.records, key=lambda record: record["valid"])["epoch"],
        "test perplexity": test,
        "epochs": state.records,
    }
    print(f"epoch {len(state.records)} of {last}, test perplexity {test:.2f}, published: {setting.published}")
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def network(layers, setting, V):
    """Tokens (B, T), h and c of each layer before them (B, H) -> logits (B, T, V), h and c after them."""
    import keras

    from seq_models.layers import LSTM

    layer_class = LSTM if layers == "ours" else keras.layers.LSTM
    tokens = keras.Input((None,), dtype="int32")
    before = [keras.Input((setting.units,)) for _ in range(2 * DEPTH)]
    h, after = keras.layers.Embedding(V, setting.units)(tokens), []
    for depth in range(DEPTH):
        h = keras.layers.Dropout(setting.dropout, seed=depth)(h)
        layer = layer_class(setting.units, return_sequences=True, return_state=True)
        h, *states = layer(h, initial_state=before[2 * depth : 2 * depth + 2])
        after += states
    h = keras.layers.Dropout(setting.dropout, seed=DEPTH)(h)
    return keras.Model([tokens, *before], [keras.layers.Dense(V)(h), *after])


def first_state(model, setting, seed):
    random, s = np.random.default_rng(seed), setting.scale
    weights = [random.uniform(-s, s, variable.shape).astype("float32") for variable in model.trainable_variables]
    return State(weights, [variable.value for variable in model.non_trainable_variables], weights, [])


def windows(stream, rows, length):
    """Inputs, targets and whether a target counts (1.0) or is padding (0.0), each (N, rows, length)."""
    in_row = math.ceil(len(stream) / rows)
    N = math.ceil(in_row / length)

    def cut(values):
        values = np.pad(values, (0, rows * in_row - len(values))).reshape(rows, in_row)
        return np.pad(values, ((0, 0), (0, N * length - in_row))).reshape(rows, N, length).swapaxes(0, 1)

    targets = stream.astype("int32")
    inputs = np.concatenate([[EOS], targets[:-1]], dtype="int32")
    return cut(inputs), cut(targets), cut(np.ones(len(stream), "float32"))


def perplexity(losses, stream):
    return math.exp(np.asarray(losses, "float64").sum() / len(stream))


def loss_of(model, weights, seeds, states, window, training):
    """-Σ log p of the targets of a window; the seeds of dropout and the states after it."""
    import jax
    import jax.numpy as jnp

    inputs, targets, counts = window
    (logits, *states), seeds = model.stateless_call(weights, seeds, [inputs, *states], training=training)
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], axis=-1)[..., 0]
    return -jnp.sum(log_p * counts), (seeds, states)


def zeros(model, windows):
    """The states before the first window."""
    rows = windows[0].shape[1]
    return [np.zeros((rows, before.shape[1]), "float32") for before in model.inputs[1:]]


def evaluation(model):
    """A function that gives the loss of each window: weights, windows -> losses."""
    import jax

    seeds = [variable.value for variable in model.non_trainable_variables]  # not used: nothing is dropped

    def losses(weights, windows):
        def step(states, window):
            loss, (_, states) = loss_of(model, weights, seeds, states, window, training=False)
            return states, loss

        return jax.lax.scan(step, zeros(model, windows), windows)[1]

    return losses


def training(model, clip):
    """A function that trains on all windows in turn: weights, seeds, η, windows -> weights, seeds, losses."""
    import jax
    import jax.numpy as jnp

    def mean_loss(weights, *arguments):
        loss, after = loss_of(model, weights, *arguments, training=True)
        return loss / B, (loss, *after)

    def epoch(weights, seeds, rate, windows):
        def step(carry, window):
            weights, seeds, states = carry
            gradients, (loss, seeds, states) = jax.grad(mean_loss, has_aux=True)(weights, seeds, states, window)
            norm = jnp.sqrt(sum(jnp.sum(g**2) for g in gradients))
            clipped_rate = rate * jnp.minimum(1, clip / norm)
            weights = [w - clipped_rate * g for w, g in zip(weights, gradients, strict=True)]
            return (weights, seeds, states), loss

        (weights, seeds, _), losses = jax.lax.scan(step, (weights, seeds, zeros(model, windows)), windows)
        return weights, seeds, losses

    return epoch


def train(model, setting, streams, state, last, deadline):
    """The state after the last epoch, or after the last one that ends before the deadline."""
    import jax

    seen, judged = (jax.device_put(windows(streams[split], B, T)) for split in ("train", "valid"))
    state = State(*jax.device_put(state[:3]), state.records)
    epoch_of = jax.jit(training(model, setting.clip)).lower(state.weights, state.seeds, 1.0, seen).compile()
    judge = jax.jit(evaluation(model)).lower(state.weights, judged).compile()
    for epoch in range(len(state.records) + 1, last + 1):
        began = time.perf_counter()
        if state.records and began + 1.2 * max(record["seconds"] for record in state.records) > deadline:
            break
        rate = setting.decay ** -max(0, epoch - setting.constant)
        weights, seeds, losses = epoch_of(state.weights, state.seeds, rate, seen)
        record = {"epoch": epoch, "learning rate": rate, "train": perplexity(losses, streams["train"])}
        trained = time.perf_counter()
        record["valid"] = perplexity(judge(weights, judged), streams["valid"])
        record["seconds"] = round(time.perf_counter() - began, 3)
        record["tokens a second"] = round(len(streams["train"]) / (trained - began))
        print(*(f"{name} {value:.6g}" for name, value in record.items()), sep="  ", flush=True)
        better = all(record["valid"] < before["valid"] for before in state.records)
        state = State(weights, seeds, weights if better else state.best, [*state.records, record])
    return state


def save(file, made_with, state):
    arrays = {f"{name} {k}": a for name in State._fields[:3] for k, a in enumerate(getattr(state, name))}
    with open(file, "wb") as stream:
        np.savez(stream, made_with=json.dumps(made_with), records=json.dumps(state.records), **arrays)


def load(file, made_with):
    """The state in a checkpoint; None where there is none yet."""
    if not file or not file.exists():
        return None
    with np.load(file) as arrays:
        if (found := json.loads(str(arrays["made_with"]))) != made_with:
            sys.exit(f"The checkpoint {file} must be of a run with {made_with}. Received: {found}")
        lists = ([arrays[key] for key in arrays if key.startswith(f"{name} ")] for name in State._fields[:3])
        return State(*lists, json.loads(str(arrays["records"])))


if __name__ == "__main__":
    main()
