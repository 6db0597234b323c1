"""The training step of a language model over 100,000 words with each softmax: full, sampled, adaptive.

    python benchmarks/adaptive_softmax.py [--rounds N] [--out FILE]

An LSTM of 128 units, 32 rows of 35 words, drawn with probability ∝ 1/rank, Adam: always the same batch. Each softmax
has a process of its own, for its largest resident memory, that of Python and TensorFlow included; milliseconds are the
median of the steps of all rounds, in which the processes take turns. Writes benchmarks/results/adaptive_softmax.json
and the table of benchmarks/language_models.md.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import time
from pathlib import Path

import pages

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results" / "adaptive_softmax.json", HERE / "language_models.md"
V, B, T = 100_000, 32, 35
SOFTMAXES = ("full", "sampled", "adaptive")
STEPS = 3  # of a round


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    pipes = {softmax: spawn.Pipe() for softmax in SOFTMAXES}
    workers = [spawn.Process(target=work, args=(softmax, pipe)) for softmax, (_, pipe) in pipes.items()]
    for worker in workers:
        worker.start()
    found = {softmax: [] for softmax in SOFTMAXES}
    for _ in range(options.rounds + 1):
        for softmax, (here, _) in pipes.items():
            here.send("step")
            found[softmax].append(here.recv())
    for worker, (here, _) in zip(workers, pipes.values(), strict=True):
        here.send("end")
        worker.join()
    records = {softmax: summary(rounds[1:]) for softmax, rounds in found.items()}  # the first one traces
    result = {"machine": f"{os.cpu_count()} CPU cores", "rounds": options.rounds, "softmax": records}
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    PAGE.write_text(written(PAGE.read_text("utf-8"), result), "utf-8")
    print(table(result))


def summary(rounds):
    """What is shown of the rounds, each a list of seconds and the megabytes after it."""
    seconds = [step for steps, _ in rounds for step in steps]
    return {"milliseconds": round(1e3 * statistics.median(seconds), 1), "peak MB": rounds[-1][1]}


def work(softmax, pipe):
    """Trains whenever it is told to, and says how long each step took."""
    import numpy as np
    import tensorflow as tf

    from seq_models.networks import LanguageModel
    from seq_models.training.token_training import TokenTraining

    model = TokenTraining(LanguageModel(V, softmax=softmax))
    model.compile("adam")
    ids = (V ** np.random.default_rng(1).random((B, T + 1))).astype("int32")
    batch = tf.constant(ids[:, :-1]), tf.constant(ids[:, 1:]), tf.ones((B, T))
    step = tf.function(lambda: model.train_step(batch))
    while pipe.recv() == "step":
        seconds = []
        for _ in range(STEPS):
            started = time.perf_counter()
            tf.nest.map_structure(lambda tensor: tensor.numpy(), step())
            seconds.append(time.perf_counter() - started)
        pipe.send((seconds, round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)))


def table(result):
    lines = ["| softmax over 100,000 words | a step, ms | peak MB |", "|---|---|---|"]
    for softmax, record in result["softmax"].items():
        lines.append(f"| {softmax} | {record['milliseconds']:,.0f} | {record['peak MB']:,} |")
    return "\n".join(lines)


def written(page, result):
    """The text of the page with the table of the records."""
    return pages.with_table(page, "adaptive", table(result))


if __name__ == "__main__":
    main()
