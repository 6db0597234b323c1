"""Language models on the Penn Treebank (Mikolov's split), one after the other: perplexity, seconds, memory.

    python benchmarks/language_models.py [--data DIR] [--out DIR] [--only NAME …]

The corpus is not part of this project: DIR/ptb holds ptb.train.txt.gz, ptb.valid.txt and ptb.test.txt. Each row is one
`seq-models train` command in a process of its own and one `seq-models evaluate` on test. Results go to
benchmarks/results/language_models.json, one record a row; a row that was not run keeps its record. The tables of
benchmarks/language_models.md are written from it. A kind of row is a function that gives its rows: the name, and the
command after `seq-models train` without data and --out.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pages

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "language_models.json"
PAGE = HERE / "language_models.md"
DATA = "--train ptb/ptb.train.txt.gz --valid ptb/ptb.valid.txt"
STREAM = "corpus=stream tokenizer=whitespace unknown_share=0"
SMOOTHINGS = {"additive": "additive, δ = 0.1", "backoff": "backoff", "kneser_ney": "modified Kneser–Ney"}


def ngrams():
    """n-grams of each smoothing, n = 1 … 5."""
    for smoothing, shown in SMOOTHINGS.items():
        for order in range(1, 6):
            options = f"tokenizer=whitespace order={order} smoothing={smoothing}"
            yield f"{smoothing}-{order}", f"{order}-gram, {shown}", f"ngram --set {options}"


def recurrent():
    """Recurrent networks that read the corpus as one text, by the recipes of the literature."""
    zaremba = "optimizer=sgd learning_rate=20 clip_norm=0.25 schedule=decay batch_size=20 segment_length=20 epochs=8"
    options = f"{STREAM} units=200 layers=2 {zaremba} average=0.999 patience=8"
    yield "lstm-2x200", "LSTM 2 × 200", f"language-model --set {options}"
    gal_merity = "variational=true input_dropout=0.3 dropout=0.3 output_dropout=0.2 weight_dropout=0.2"
    falling = "optimizer=sgd learning_rate=25 clip_norm=0.25 schedule=cosine batch_size=20 segment_length=35"
    regularized = f"tie_weights=true {gal_merity} activation_penalty=1 {falling} average=0.9995"
    hour = f"{STREAM} units=400 layers=2 {regularized} epochs=13 patience=13"
    yield "lstm-2x400-hour", "LSTM 2 × 400, tied, regularized", f"language-model --set {hour}"


KINDS = {"n-grams": ngrams, "recurrent": recurrent}
ROWS = {name: (kind, shown, command) for kind, rows in KINDS.items() for name, shown, command in rows()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=HERE.parent / "runs" / "language_models")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    options = parser.parse_args()
    if not (options.data / "ptb").is_dir():
        sys.exit(f"The corpus must be in a directory ptb of --data. Received: --data {options.data}")
    for name in options.only:
        record = measure(name, options.data, options.out.resolve())
        records = {**(json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}), name: record}
        RESULTS.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", "utf-8")
        print(json.dumps(record, indent=1, ensure_ascii=False))
        write_page(records)


def measure(name, data, out):
    """One row: trained in out/NAME; a training that was stopped goes on there, and its seconds count."""
    _, _, command = ROWS[name]
    run = out / name
    before = elapsed(run)
    seconds, peak, _ = seq_models(f"train {command} {DATA} --out {shlex.quote(str(run))}", data)
    best = json.loads((run / "metrics.json").read_text("utf-8"))["best"]
    *_, printed = seq_models(f"evaluate {shlex.quote(str(run))} --data ptb/ptb.test.txt --json", data)
    return {
        "command": f"seq-models train {command} {DATA} --out runs/{name}",
        "perplexity": {"valid": best["val_perplexity"], "test": json.loads(printed)["perplexity"]},
        "seconds": round(before + seconds),
        "peak MB": round(peak),
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
    }


def elapsed(run):
    """Seconds from the first to the last record of a training that was stopped, 0 if there is none."""
    if not (run / "metrics.jsonl").exists():
        return 0
    times = [json.loads(line)["time"] for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    return times[-1] - times[0] if times else 0


def seq_models(arguments, data):
    """Seconds, largest resident memory in MB and last line of a command."""
    started = time.perf_counter()
    words = [sys.executable, "-m", "seq_models.cli", *shlex.split(arguments)]
    with subprocess.Popen(words, cwd=data, stdout=subprocess.PIPE, text=True) as process:
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{shlex.join(words)} must succeed. Received: exit code {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 1000, printed.splitlines()[-1]


def table(kind, records):
    """The rows of a kind as the table of the page."""
    lines = ["| model | valid | test | seconds | peak MB | machine |", "|---|---|---|---|---|---|"]
    for name, (of_kind, shown, _) in ROWS.items():
        if of_kind == kind and name in records:
            record = records[name]
            valid, test = (f"{record['perplexity'][part]:.2f}" for part in ("valid", "test"))
            lines.append(
                f"| {shown} | {valid} | {test} | {record['seconds']} | {record['peak MB']} | {record['machine']} |"
            )
    return "\n".join(lines)


def written(page, records):
    """The text of the page with the tables of the records."""
    for kind in KINDS:
        page = pages.with_table(page, kind, table(kind, records))
    return page


def write_page(records):
    PAGE.write_text(written(PAGE.read_text("utf-8"), records), "utf-8")


if __name__ == "__main__":
    main()
