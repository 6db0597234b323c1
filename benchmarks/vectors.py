"""Vectors of words: time and memory that reading a large file takes, and what they bring to a small training set.

    python benchmarks/vectors.py reading [--words 400000] [--size 100] [--out FILE]
    python benchmarks/vectors.py accuracy [--data DIR] [--examples 300] [--seeds 3] [--only NAME …] [--out FILE]

`reading` writes a file of random vectors, reads it in a new process for a vocabulary of all its words, and prints
seconds, those of CPU (fewer where other work runs beside it), and how much memory that took above the table.

`accuracy` trains a window model on the texts of a corpus without their labels, writes its embedding as vectors, and
trains a model on a few labeled examples, chosen by as many others, without and with them; each training is a
`seq-models train` command. DIR holds the corpora as `CORPORA` below names them; they are not part of this project.

Both keep what they measured in benchmarks/results/vectors.json and print it as a table.
"""

import argparse
import gzip
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
RESULTS = Path(__file__).resolve().parent / "results" / "vectors.json"
MB = 2**20
TEXTS = (
    "--set epochs=2 batch_size=64 order=5 units=100 embedding_units=100 tokenizer=whitespace learning_rate=0.003 "
    "min_count=2"
)
LABELS = "--set epochs=30 patience=5 batch_size=16 embedding_units=100 tokenizer=whitespace"
# Name: (task, training file, those to validate and to test with, options, the score).
CORPORA = {
    "sst2": ("classifier", "sst2/train.tsv", "sst2/dev.tsv", "sst2/test.tsv", "units=64 dropout=0.5", "accuracy"),
    "ewt": (
        "labeler",
        "ud_english_ewt/en_ewt-ud-train.conllu.gz",
        "ud_english_ewt/en_ewt-ud-dev.conllu",
        "ud_english_ewt/en_ewt-ud-test.conllu",
        "units=64 dropout=0.4 characters=false",
        "accuracy",
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, command in {"reading": measure_reading, "accuracy": measure_accuracy, "read": read}.items():
        own = commands.add_parser(name)
        own.set_defaults(run=command)
        own.add_argument("--out", type=Path, default=RESULTS)
        if name == "accuracy":
            own.add_argument("--data", type=Path, default=RESULTS.parents[3] / "shared" / "data")
            own.add_argument("--examples", type=int, default=300)
            own.add_argument("--seeds", type=int, default=3)
            own.add_argument("--only", nargs="+", default=list(CORPORA), choices=list(CORPORA))
        else:
            own.add_argument("--words", type=int, default=400_000)
            own.add_argument("--size", type=int, default=100)
            own.add_argument("--file", type=Path, help="of `read`")
    options = parser.parse_args()
    options.run(options)


def keep(path, records):
    """Puts records, by name, among those that are there; prints all."""
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known |= records
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    print(table(known))


def table(records):
    lines = []
    if reading := records.get("reading"):
        lines += ["| vectors | file | seconds | of CPU | MB above the table |", "|---|---|---|---|---|"]
        lines += [
            f"| {reading['words']:,} × {reading['size']} | {reading['file_mb']:.0f} MB | {reading['seconds']:.1f} | "
            f"{reading['cpu_seconds']:.1f} | {reading['mb_above_table']:.0f} |",
            "",
        ]
    if rows := {name: record for name, record in records.items() if name in CORPORA}:
        lines += ["| corpus | labeled examples | without vectors | with vectors | seeds |", "|---|---|---|---|---|"]
        for name, record in rows.items():
            cells = [spread(record[side]) for side in ("without", "with")]
            lines.append(f"| {name} | {record['examples']} | {' | '.join(cells)} | {len(record['with'])} |")
    return "\n".join(lines)


def spread(scores):
    deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return f"{100 * statistics.mean(scores):.1f} ± {100 * deviation:.1f} %"


# Reading


def measure_reading(options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.vec"
        write_random(path, options.words, options.size)
        flags = ["--words", str(options.words), "--size", str(options.size), "--file", str(path)]
        found = subprocess.run([sys.executable, __file__, "read", *flags], check=True, stdout=subprocess.PIPE)
        record = {**json.loads(found.stdout), "file_mb": path.stat().st_size / MB}
    keep(options.out, {"reading": {"words": options.words, "size": options.size, **record}})


def write_random(path, words, size):
    """A file as GloVe's: words and five digits of each number."""
    import numpy as np

    generator = np.random.default_rng(1)
    form = " %.5f" * size + "\n"
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, words, 10_000):
            rows = generator.normal(0, 0.4, (min(10_000, words - start), size)).tolist()
            file.writelines(f"word{start + k}" + form % tuple(row) for k, row in enumerate(rows))


def read(options):
    """Reads a file in this process, and prints what that took."""
    from seq_models.text.vectors import find_vectors
    from seq_models.text.vocabulary import SPECIAL_TOKENS

    tokens = [*SPECIAL_TOKENS, *(f"word{k}" for k in range(options.words))]
    before, start, worked = peak(), time.perf_counter(), time.process_time()
    found = find_vectors(options.file, tokens, "nfc")
    took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - worked}
    assert found.coverage()["exact"] == options.words  # noqa: S101
    print(json.dumps({**took, "mb_above_table": peak() - before - found.rows.nbytes / MB}))


def peak():
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# Accuracy


def measure_accuracy(options):
    records = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            records[name] = accuracy(name, options, Path(folder) / name)
    keep(options.out, records)


def accuracy(name, options, folder):
    """Scores on test data without and with vectors of the corpus, a training for each seed."""
    task, train, valid, test, network, score = CORPORA[name]
    folder.mkdir()
    write_texts(options.data / train, options.data / valid, folder)
    start = time.perf_counter()
    files = f"--train {folder / 'train.txt'} --valid {folder / 'valid.txt'}"
    command(f"train window {files} --out {folder / 'texts'} {TEXTS} watch_share=0")
    command(f"vectors {folder / 'texts'} --out {folder / 'texts.vec'}")
    few = first_examples(options.data / train, options.examples, folder / "few-train")
    chosen_by = first_examples(options.data / valid, options.examples, folder / "few-valid")
    record = {"examples": options.examples, "without": [], "with": []}
    for seed in range(1, options.seeds + 1):
        for side in ("without", "with"):
            run = folder / f"{side}-{seed}"
            vectors = f"vectors={folder / 'texts.vec'} vectors_words=100000" if side == "with" else ""
            files = f"--train {few} --valid {chosen_by} --out {run}"
            command(f"train {task} {files} {LABELS} {network} seed={seed} watch_share=0 {vectors}")
            scores = json.loads(command(f"evaluate {run} --data {options.data / test} --json"))
            record[side].append(scores[score])
    return {**record, "seconds": time.perf_counter() - start}


def command(line):
    words = [sys.executable, "-m", "seq_models.cli", *shlex.split(line)]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def write_texts(train, valid, folder):
    """The texts of both files without their labels, a line each."""
    from seq_models.text.examples import read_examples

    for path, name in ((train, "train.txt"), (valid, "valid.txt")):
        texts = (example[0] for example in read_examples(path))
        lines = (text if isinstance(text, str) else " ".join(text) for text in texts)
        (folder / name).write_text("".join(line + "\n" for line in lines if line.strip()), "utf-8")


def first_examples(path, count, place):
    """A file with the first examples of another one."""
    ends = {".tsv": "\n", ".conllu": "\n\n"}
    ending = next(ending for ending in ends if ending in path.suffixes)
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode("utf-8")
    few = place.with_suffix(ending)
    few.write_text(ends[ending].join(text.split(ends[ending])[:count]) + ends[ending], "utf-8")
    return few


if __name__ == "__main__":
    main()
