"""Whether data ever keeps a training waiting, and the memory that a training on a large corpus takes.

    python benchmarks/pipeline.py [--only rate memory] [--share S] [--megabytes N] [--steps N] [--out FILE]

rate    examples a second of the pipeline alone and of training on it, the four tasks on the built-in corpora with the
        sizes of the demo: epochs of both by turns, the medians of all but the first. Then the wait between epochs: from
        the last step of one to the first of the next, less what a step takes; medians of several.
memory  20 files of sentences of the built-in grammar, 2 GB in all; resident memory while a vocabulary is built, the
        files are checked, and a language model trains for some hundred steps.

Writes benchmarks/results/pipeline.json and prints two tables; what was not run keeps its record.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import threading
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

RESULTS = Path(__file__).resolve().parent / "results" / "pipeline.json"
ROUNDS = 4  # the first is not counted
WAITS = 4
SHORT_EPOCH = 5  # seconds: of this the wait before it must be a small share
FILES = 20
SENTENCES = 100_000  # of the grammar, repeated from file to file in another order
SAMPLE_SECONDS = 1.0
MODEL = {"units": 128, "embedding_units": 64, "tokenizer": "whitespace"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("rate", "memory"), default=["rate", "memory"])
    parser.add_argument("--share", type=float, default=0.3, help="of the demo's examples (default: %(default)s)")
    parser.add_argument("--megabytes", type=int, default=2000, help="of the large corpus (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="of the training on it (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    result = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    result["machine"] = f"{os.cpu_count()} CPU cores"
    if "rate" in options.only:
        result["rate"] = in_fresh_process(rates, options.share)
    if "memory" in options.only:
        result["memory"] = in_fresh_process(memory, options.megabytes, options.steps)
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(table(result))


def table(result):
    lines = []
    if "rate" in result:
        lines += [
            "| examples a second | pipeline alone | training | pipeline / training | wait between epochs, ms | "
            f"of an epoch of {SHORT_EPOCH} s |",
            "|---|---|---|---|---|---|",
        ]
        for task, record in result["rate"].items():
            rates = f"{record['pipeline']:,} | {record['training']:,} | {record['pipeline / training']:.1f}"
            seconds = record["wait"]
            lines.append(f"| {task} | {rates} | {1000 * seconds:.0f} | {100 * seconds / SHORT_EPOCH:.1f} % |")
        lines.append("")
    if "memory" in result:
        record = result["memory"]
        lines += [
            f"| {FILES} files, {record['megabytes']:,} MB | seconds | resident MB at its start | median | largest |",
            "|---|---|---|---|---|",
        ]
        for phase, found in record["phases"].items():
            lines.append(f"| {phase} | {' | '.join(str(number) for number in found.values())} |")
    return "\n".join(lines) + "\n"


def in_fresh_process(function, *arguments):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def rates(share):
    from seq_models.demo import RECIPES

    return {task: rate(task, recipe, share) for task, recipe in RECIPES.items()}


def rate(task, recipe, share):
    """Examples a second, of the pipeline and of training on it."""
    from seq_models.tasks import TASKS
    from seq_models.text import corpora

    examples = corpora.load(task, int(share * recipe["size"]), 1).train
    model = TASKS[task].from_examples(examples, tokenizer="whitespace", **recipe["model"])
    model.compile(clip_norm=5.0)
    dataset = model.dataset(examples, shuffle=True)
    runs = {"pipeline": lambda: sum(1 for _ in dataset), "training": lambda: model.fit(dataset, verbose=0)}
    seconds = [{name: seconds_of(run) for name, run in runs.items()} for _ in range(ROUNDS)][1:]
    return {
        **{name: round(len(examples) / statistics.median(r[name] for r in seconds)) for name in runs},
        "pipeline / training": round(statistics.median(r["training"] / r["pipeline"] for r in seconds), 2),
        "wait": round(wait(model, dataset), 4),
    }


def wait(model, dataset):
    """Seconds from the last step of an epoch to the first of the next, less what a step takes."""
    ends = step_ends(model, dataset, epochs=1 + WAITS)
    steps = statistics.median(b - a for epoch in ends for a, b in itertools.pairwise(epoch))
    return statistics.median(after[0] - before[-1] for before, after in itertools.pairwise(ends)) - steps


def step_ends(model, dataset, epochs):
    """The times at which the steps of a training end, a list for each epoch."""
    from keras.callbacks import LambdaCallback

    ends = []
    watch = LambdaCallback(
        on_epoch_begin=lambda *_, **__: ends.append([]),
        on_train_batch_end=lambda *_, **__: ends[-1].append(time.perf_counter()),
    )
    model.fit(dataset, epochs=epochs, callbacks=[watch], verbose=0)
    return ends


def seconds_of(run):
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def memory(megabytes, steps):
    """Resident memory, in MB, and seconds of all that is done with a large corpus."""
    from seq_models.tasks import TASKS
    from seq_models.text.examples import read_examples

    with tempfile.TemporaryDirectory() as directory, Samples() as samples:
        samples.phase = "writing"
        write_files(Path(directory), megabytes)
        examples = read_examples(Path(directory) / "*.txt", cache=Path(directory) / "cache")
        samples.phase = "vocabulary"
        model = TASKS["language-model"].from_examples(examples, **MODEL)
        model.compile(clip_norm=5.0)
        samples.phase = "check"
        dataset = model.dataset(examples, shuffle=True)
        samples.phase = "training"
        model.fit(dataset.take(steps), verbose=0)
    return {"megabytes": megabytes, "steps": steps, "phases": phases(samples.taken)}


def phases(samples):
    """What the README shows of the samples of each phase."""
    found = {}
    for phase, taken in itertools.groupby(samples, key=lambda sample: sample["phase"]):
        seconds, sizes = zip(*((sample["seconds"], sample["MB"]) for sample in taken), strict=True)
        found[phase] = {
            "seconds": round(seconds[-1] - seconds[0]),
            "MB at its start": sizes[0],
            "median MB": round(statistics.median(sizes)),
            "largest MB": max(sizes),
        }
    return found


def write_files(directory, megabytes):
    """Files of the same sentences, each in an order of its own."""
    from seq_models.text import corpora

    sentences = corpora.load("language-model", SENTENCES, 1).train
    for number in range(FILES):
        order, left = random.Random(number), megabytes * 1_000_000 // FILES
        with (directory / f"part-{number:02d}.txt").open("w", encoding="utf-8") as file:
            while left > 0:
                left -= file.write("\n".join(order.sample(sentences, min(10_000, len(sentences)))) + "\n")


class Samples:
    """Within it, the resident memory of this process is taken every second (Linux)."""

    def __enter__(self):
        self.phase, self.taken, self.ended = "start", [], threading.Event()
        self.thread = threading.Thread(target=self._take)
        self.started = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def _take(self):
        while not self.ended.is_set():
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seconds = round(time.monotonic() - self.started, 1)
            size = round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
            self.taken.append({"phase": self.phase, "seconds": seconds, "MB": size})
            self.ended.wait(SAMPLE_SECONDS)


if __name__ == "__main__":
    main()
