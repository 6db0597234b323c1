"""Times the training step of a labeler with each of its heads: softmax, legal steps only, CRF.

    python benchmarks/crf.py [--rounds N] [--out FILE]

32 rows of 40 tokens, 20 tags, Adam, accuracy measured in every step as in a training, so that the CRF runs Viterbi too.
All heads are in one process and take turns, in a random order in each round; a ratio is the median of those of the
rounds. With characters a labeler has its default options; the smaller it is, the more a head weighs.

Writes benchmarks/results/crf.json and prints the table.
"""

import argparse
import json
import os
import random
import statistics
from pathlib import Path

import interleaved

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

RESULTS = Path(__file__).resolve().parent / "results" / "crf.json"
B, T, TAGS, V, C, WORD = 32, 40, 20, 5000, 100, 12
HEADS = ("softmax", "legal", "crf")
# Name of a labeler: the number of characters, or none are read, and its units.
LABELERS = {"128 units, characters": (C, 128), "128 units": (None, 128), "64 units": (None, 64)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    records = [measure(name, *labeler, options.rounds) for name, labeler in LABELERS.items()]
    result = {"machine": f"{os.cpu_count()} CPU cores", "rounds": options.rounds, "records": records}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(table(result))


def measure(name, characters, units, rounds):
    steps = {head: training_step(head, characters, units) for head in HEADS}
    turns = (random.sample(HEADS, len(HEADS)) for _ in range(rounds))
    seconds = [{head: interleaved.seconds_of(steps[head]) for head in turn} for turn in turns]
    return {
        "labeler": name,
        "milliseconds": {head: round(1e3 * statistics.median(turn[head] for turn in seconds), 2) for head in HEADS},
        "times softmax": {
            head: round(statistics.median(turn[head] / turn["softmax"] for turn in seconds), 3) for head in HEADS[1:]
        },
    }


def training_step(head, characters, units):
    """A function that does one step of a training on always the same batch."""
    import numpy as np
    import tensorflow as tf

    from seq_models.networks import SequenceLabeler
    from seq_models.training.metrics import TokenAccuracy
    from seq_models.training.token_training import TokenTraining

    generator = np.random.default_rng(1)
    legal = np.ones((TAGS + 1, TAGS + 1), int).tolist()  # which steps are legal takes no time
    network = SequenceLabeler(V, TAGS, characters, legal, units=units, head=head)
    model = TokenTraining(network, [TokenAccuracy()])
    model.compile("adam")
    tokens = generator.integers(4, V, (B, T)).astype("int32")
    inputs = tokens if characters is None else (tokens, generator.integers(4, C, (B, T, WORD)).astype("int32"))
    targets = generator.integers(0, TAGS, (B, T)).astype("int32")
    weights = np.arange(T) < T - 1  # the last token is the end
    batch = tf.nest.map_structure(tf.constant, (inputs, targets, np.tile(weights, (B, 1)).astype("float32")))
    return tf.function(lambda: model.train_step(batch))


def table(result):
    lines = ["| labeler | softmax | legal | CRF | legal : softmax | CRF : softmax |", "|---|---|---|---|---|---|"]
    for record in result["records"]:
        times = [f"{record['milliseconds'][head]:.1f} ms" for head in HEADS]
        ratios = [f"{record['times softmax'][head]:.2f}" for head in HEADS[1:]]
        lines.append(f"| {record['labeler']} | {' | '.join(times + ratios)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
