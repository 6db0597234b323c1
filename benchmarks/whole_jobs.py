"""Times whole epochs of the demo's four trainings with and without the compiled kernels.

    python benchmarks/whole_jobs.py [--rounds N] [--share S] [--out FILE]

Through `fit`, from texts to updates, on the demo's corpora with the demo's options. "fused" and "loop" (what is left
without a compiler) run in a process each with all cores, and take turns of one epoch in random order; they start from
the same weights, and their losses after the first epoch are compared.

Writes benchmarks/results/whole_jobs.json and prints the table.
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

RESULTS = Path(__file__).resolve().parent / "results" / "whole_jobs.json"
TASKS = ("language-model", "labeler", "classifier", "encoder-decoder")
ENGINES = ("fused", "loop")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.2, help="of the training examples")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with interleaved.workers(ENGINES, serve) as workers:
        records = [measure(workers, task, options) for task in TASKS]
    result = {"machine": f"{os.cpu_count()} CPU cores", "records": records}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(table(result))


def measure(workers, task, options):
    losses = {engine: worker.ask("prepare", task, options.share) for engine, worker in workers.items()}
    if not math.isclose(losses["fused"], losses["loop"], rel_tol=1e-3):
        raise RuntimeError(f"the engines have other losses in {task}: {losses}")
    turns = interleaved.ask_all(workers, options.rounds, "epoch")
    seconds = {engine: round(statistics.median(turn[engine] for turn in turns), 3) for engine in ENGINES}
    ratio = round(statistics.median(turn["loop"] / turn["fused"] for turn in turns), 3)
    record = {"task": task, "seconds": seconds, "times": ratio}
    print(record, flush=True)
    return record


def serve(engine):
    if engine == "loop":
        os.environ["CXX"] = "none"  # there is no such compiler
    import keras

    from seq_models import demo, tasks
    from seq_models.text import corpora

    job = {}

    def epoch():
        started = time.perf_counter()
        job["loss"] = job["model"].fit(job["data"], verbose=0).history["loss"][0]
        return time.perf_counter() - started

    def prepare(task, share):
        recipe = demo.RECIPES[task]
        corpus = corpora.load(task, train_size=int(share * recipe["size"]))
        keras.utils.set_random_seed(1)
        job["model"] = tasks.TASKS[task].from_examples(corpus.train, tokenizer="whitespace", **recipe["model"])
        job["data"] = job["model"].dataset(corpus.train, shuffle=True)
        job["model"].compile(keras.optimizers.Adam(1e-3), clip_norm=5.0)
        epoch()  # not counted: it traces
        return job["loss"]

    return lambda what, *arguments: prepare(*arguments) if what == "prepare" else epoch()


def table(result):
    """The table of the README."""
    lines = ["| task | fused s | loop s | times as fast |", "|---|---|---|---|"]
    for record in result["records"]:
        seconds = record["seconds"]
        lines.append(f"| {record['task']} | {seconds['fused']:.2f} | {seconds['loop']:.2f} | {record['times']:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
