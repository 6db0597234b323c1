"""Tokens a second of generation: a loop in the graph against one call of Keras a token.

    python benchmarks/generation.py [--rounds 5] [--out FILE]

A language model of 2 x 200 LSTM units and 10,000 words writes 100 tokens, greedy and sampled, for 1 prompt and for 32:

    export        the signature `generate` of an export, by the bare v1 `Session` that TensorFlow Serving runs
    generate      `model.generate` in Python, called again
    keras         a model of `keras.layers` with stateful LSTMs, called once a token; the next token is its argmax
    step          `network.step`, called once a token
    tf.function   `network.step` in a `tf.function`, called once a token

Each is measured in turn in each round, and the figures are medians. Writes benchmarks/results/generation.json.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import seq_models as sm  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "results" / "generation.json"
V, UNITS, LAYERS, TOKENS = 10_000, 200, 2, 100
BATCHES = (1, 32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    model = a_model()
    with tempfile.TemporaryDirectory() as directory:
        served = session(sm.export(model, directory))
    found = {"machine": f"{os.cpu_count()} CPU cores"}
    for B in BATCHES:
        ways = ways_to_write(model, served, B)
        rounds = [{name: B * TOKENS / seconds(way) for name, way in ways.items()} for _ in range(options.rounds + 1)]
        found[f"batch {B}"] = {name: round(statistics.median(each[name] for each in rounds[1:])) for name in ways}
    options.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(table(found))


def a_model():
    """An untrained model that never ends a text by itself."""
    keras.utils.set_random_seed(1)
    texts = [" ".join(f"w{word}" for word in range(start, start + 20)) for start in range(0, V - 20, 20)]
    model = sm.LanguageModel.from_examples(texts, units=UNITS, layers=LAYERS, tokenizer="whitespace")
    bias = model.network.head.bias
    bias.assign(tf.tensor_scatter_nd_update(bias, [[3]], [-100.0]))
    return model


def session(path):
    """A function from inputs of the signature `generate` to its texts."""
    import tensorflow_text  # noqa: F401
    from tensorflow.core.protobuf.config_pb2 import CallableOptions

    opened = tf.compat.v1.Session(graph=tf.Graph())
    with opened.graph.as_default():
        signature = tf.compat.v1.saved_model.load(opened, ["serve"], str(path)).signature_def["generate"]
    names = ["prompt", "temperature", "max_length"]
    call = opened._make_callable_from_options(
        CallableOptions(feed=[signature.inputs[name].name for name in names], fetch=[signature.outputs["text"].name])
    )
    return lambda prompts, temperature: call(
        np.array(prompts, object), np.full(len(prompts), temperature, "float32"), np.full(len(prompts), TOKENS, "int32")
    )


def ways_to_write(model, served, B):
    """By name: functions that write `TOKENS` tokens for each of B prompts."""
    network, prompts, first = model.network, ["w1"] * B, tf.fill([B], 5)
    stock = stock_model(B)
    traced = tf.function(network.step, autograph=False)

    def one_a_token(step):
        tokens, states = first, network.start(first[:, None])
        for _ in range(TOKENS):
            logits, states = step(tokens, states)
            tokens = tf.argmax(logits, axis=1, output_type=tf.int32)
        return tokens.numpy()

    def with_keras():
        tokens = first
        for _ in range(TOKENS):
            tokens = tf.argmax(stock(tokens[:, None]), axis=1, output_type=tf.int32)
        return tokens.numpy()

    return {
        "export": lambda: served(prompts, 0.0),
        "export, sampled": lambda: served(prompts, 1.0),
        "generate": lambda: model.generate(prompts, TOKENS, 0),
        "generate, sampled": lambda: model.generate(prompts, TOKENS, 1),
        "generate, top_k=40": lambda: model.generate(prompts, TOKENS, 1, top_k=40),
        "generate, top_p=0.9": lambda: model.generate(prompts, TOKENS, 1, top_p=0.9),
        "keras": with_keras,
        "step": lambda: one_a_token(network.step),
        "tf.function": lambda: one_a_token(traced),
    }


def stock_model(B):
    tokens = keras.Input(batch_shape=(B, 1), dtype="int32")
    h = keras.layers.Embedding(V, UNITS)(tokens)
    for layer in range(LAYERS):
        h = keras.layers.LSTM(UNITS, stateful=True, return_sequences=layer + 1 < LAYERS)(h)
    return keras.Model(tokens, keras.layers.Dense(V)(h))


def seconds(way):
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def table(found):
    batches = [found[f"batch {B}"] for B in BATCHES]
    lines = [f"| tokens a second | {' | '.join(f'batch {B}' for B in BATCHES)} |", "|---|" + "---|" * len(BATCHES)]
    lines += [f"| {name} | {' | '.join(f'{each[name]:,}' for each in batches)} |" for name in batches[0]]
    for name in ("keras", "step", "tf.function"):
        times = " | ".join(f"{each['export'] / each[name]:.1f}" for each in batches)
        lines.append(f"| export / {name} | {times} |")
    again = " | ".join(f"{each['export'] / each['generate']:.2f}" for each in batches)
    lines.append(f"| export / generate | {again} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
