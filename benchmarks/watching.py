"""Times training with everything that TensorBoard shows against training without it, for the four tasks of the demo.

    python benchmarks/watching.py [--tasks TASK …] [--epochs N] [--share S] [--out FILE]

Two models of the sizes of `make demo` are trained beside each other in one process, epochs in turn, one with all
callbacks of `seq_models.training.watching` and one without; the first of the two changes from one pair of epochs to the
next. An epoch here is training and validation. The first epochs, in which TensorFlow builds its graphs, those of the
callbacks too (they come with the hundredth step), are not in the ratio; what the callbacks take once is counted apart,
with the last look.

Writes benchmarks/results/watching.json, where tasks that were measured before stay, and prints the table.
"""

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402  TensorFlow reads the environment once, when it is imported

from seq_models.demo import RECIPES  # noqa: E402
from seq_models.tasks import TASKS  # noqa: E402
from seq_models.text import corpora  # noqa: E402
from seq_models.training.watching import watchers  # noqa: E402

EVERY = 100  # steps from one look to the next
RESULTS = Path(__file__).resolve().parent / "results" / "watching.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=list(TASKS))
    parser.add_argument("--epochs", type=int, default=10, help="of each of the two, after those of the first looks")
    parser.add_argument("--share", type=float, default=1.0, help="of the training examples of the demo")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error(f"--epochs must be 1 or more. Received: {options.epochs}")
    result = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {"records": {}}
    result["machine"] = f"{os.cpu_count()} CPU cores"
    for name in options.tasks:
        result["records"][name] = measure(name, options.epochs, options.share)
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(table(result))


def measure(name, epochs, share):
    corpus = corpora.load(name, train_size=int(share * RECIPES[name]["size"]))
    with tempfile.TemporaryDirectory() as directory:
        plain, watched = (Training(name, corpus, where) for where in (None, directory))
        warm = 1 + math.ceil(EVERY / watched.train.batches_in_epoch)
        pairs = []
        for number in range(warm + epochs):
            order = (plain, watched) if number % 2 == 0 else (watched, plain)
            seconds = {training: training.epoch() for training in order}
            pairs.append((seconds[plain], seconds[watched]))
        last = watched.end()
    warm, pairs = pairs[:warm], pairs[warm:]
    without, with_all = map(sum, zip(*pairs, strict=True))
    return {
        "share": share,
        "epochs": len(pairs),
        "seconds without": round(statistics.median(pair[0] for pair in pairs), 3),
        "seconds with": round(statistics.median(pair[1] for pair in pairs), 3),
        "ratio of sums": round(with_all / without, 4),
        "median ratio": round(statistics.median(b / a for a, b in pairs), 4),
        "seconds once": round(sum(b - a for a, b in warm) + last, 3),
    }


class Training:
    """A training of the demo, an epoch at a time, with all callbacks if it has a directory."""

    def __init__(self, name, corpus, directory):
        keras.utils.set_random_seed(1)
        self.model = TASKS[name].from_examples(corpus.train, tokenizer="whitespace", **RECIPES[name]["model"])
        self.train, self.valid = self.model.dataset(corpus.train, shuffle=True), self.model.dataset(corpus.valid)
        self.model.compile(keras.optimizers.Adam(4e-3), clip_norm=5.0)
        options = {"task": name, **RECIPES[name]["model"]}
        self.watchers = watchers(directory, self.model, corpus.valid, options, EVERY) if directory else []
        # One list over all epochs, so that the callbacks see one training; `fit` would begin and end one each time.
        self.callbacks = keras.callbacks.CallbackList(self.watchers, model=self.model, verbose=0)
        self.done = 0
        self.callbacks.on_train_begin()

    def epoch(self):
        started = time.perf_counter()
        self.model.fit(
            self.train,
            validation_data=self.valid,
            initial_epoch=self.done,
            epochs=self.done + 1,
            callbacks=[OneEpochOf(self.callbacks)] if self.watchers else [],
            verbose=0,
        )
        self.done += 1
        return time.perf_counter() - started

    def end(self):
        """Seconds that the callbacks take at the end of the training."""
        started = time.perf_counter()
        self.callbacks.on_train_end()
        return time.perf_counter() - started


class OneEpochOf(keras.callbacks.Callback):
    """Hands on what `fit` reports of an epoch, without the begin and the end of a training."""

    def __init__(self, callbacks):
        super().__init__()
        for name in ("on_epoch_begin", "on_epoch_end", "on_train_batch_end", "on_test_begin"):
            setattr(self, name, getattr(callbacks, name))


def table(result):
    lines = ["| task | epoch without, s | with all, s | ratio | once, s |", "|---|---|---|---|---|"]
    for name, record in result["records"].items():
        seconds = [f"{record[name]:.2f}" for name in ("seconds without", "seconds with")]
        lines.append(f"| {name} | {' | '.join(seconds)} | {record['ratio of sums']:.3f} | "
                     f"{record['seconds once']:.1f} |")  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
