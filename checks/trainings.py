"""Training jobs of the command line on the built-in corpora, and what they leave behind."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import seq_models as sm
from seq_models.text import corpora

ENDINGS = {"language-model": "txt", "labeler": "conll", "classifier": "tsv", "encoder-decoder": "tsv"}
# A line (or, of a labeler, the lines) of an example in a file.
LINES = {
    "language-model": str,
    "labeler": lambda example: "".join(f"{token}\t{tag}\n" for token, tag in zip(*example, strict=True)),
    "classifier": "\t".join,
    "encoder-decoder": "\t".join,
}


def write_corpus(task, directory, train_size, held_out_size):
    """Writes the built-in corpus of a task; gives the files {"train": path, "valid": path}."""
    corpus = corpora.load(task, train_size, held_out_size)
    directory.mkdir(parents=True, exist_ok=True)
    paths = {}
    for split in ("train", "valid"):
        paths[split] = directory / f"{split}.{ENDINGS[task]}"
        lines = [f"{LINES[task](example)}\n" for example in getattr(corpus, split)]
        paths[split].write_text("".join(lines), "utf-8")
    return paths


def command(task, paths, out, **options):
    """`seq-models train` as a list of words."""
    settings = [f"{key}={value}" for key, value in options.items()]
    files = ["--train", str(paths["train"]), "--valid", str(paths["valid"])]
    return [sys.executable, "-m", "seq_models.cli", "train", task, *files, "--out", str(out), "--set", *settings]


def start(words, log):
    """Starts a command whose output goes to a file."""
    with Path(log).open("ab") as file:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        )


def finish(words, log, seconds):
    """Runs a command to its end; gives the seconds that it took.

    Raises:
        RuntimeError: If it ends with another code than 0; with the end of its output.
    """
    started = time.monotonic()
    code = start(words, log).wait(seconds)
    if code:
        raise RuntimeError(f"{' '.join(words)} ended with {code}:\n{Path(log).read_text('utf-8')[-2000:]}")
    return time.monotonic() - started


def weights(run):
    """The weights of the best model of a run directory, a list of arrays."""
    return sm.load_run(run).get_weights()


def epochs(run):
    """What metrics.json of a run directory says of every epoch."""
    return json.loads((Path(run) / "metrics.json").read_text("utf-8"))["epochs"]


def largest_difference(one, other):
    """Between the weights of two runs."""
    pairs = zip(weights(one), weights(other), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)
