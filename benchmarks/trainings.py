"""Rows of a page of trainings: each is one `seq-models train` command and what `seq-models evaluate` says of its run.

A page of trainings, as benchmarks/language_models.py, has a table of rows by name; those that are asked for by --only
are trained, and the others keep their record.
"""

import argparse
import itertools
import json
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
PAUSE = 10  # times the usual time between two records
MACHINE = f"{os.cpu_count()} CPU cores, {platform.machine()}"


class Trained(NamedTuple):
    """A run: the command that makes it, its best epoch, seconds of the training, largest resident memory in MB."""

    command: str
    best: dict
    seconds: int
    peak: int

    def record(self):
        """What each record of a row has."""
        return {"command": self.command, "seconds": self.seconds, "peak MB": self.peak, "machine": MACHINE}


def asked(document, rows, corpus, out):
    """The arguments of a page's command: data, the directory of corpora; out, of runs; only, names of rows."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=HERE.parent / "runs" / out)
    parser.add_argument("--only", nargs="+", choices=rows, default=list(rows), metavar="NAME")
    options = parser.parse_args()
    if not (options.data / corpus).is_dir():
        sys.exit(f"The corpus must be in a directory {corpus} of --data. Received: --data {options.data}")
    options.out = options.out.resolve()
    return options


def records_of(results):
    """The records of a file, {} if there is none."""
    return json.loads(results.read_text("utf-8")) if results.exists() else {}


def keep(results, name, record):
    """Writes a record beside those of the other rows, prints it, and returns all."""
    records = {**records_of(results), name: record}
    results.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(record, indent=1, ensure_ascii=False))
    return records


def train(command, data, run):
    """A `Trained` of a command after `seq-models train`; one that was stopped goes on, and its seconds count."""
    before = _elapsed(run)
    seconds, peak, _ = _seq_models(f"train {command} --out {shlex.quote(str(run))}", data)
    best = json.loads((run / "metrics.json").read_text("utf-8"))["best"]
    return Trained(f"seq-models train {command} --out runs/{run.name}", best, round(before + seconds), round(peak))


def evaluate(run, arguments, data):
    """The scores of a run, a dictionary."""
    *_, printed = _seq_models(f"evaluate {shlex.quote(str(run))} {arguments} --json", data)
    return json.loads(printed)


def _elapsed(run):
    """Seconds from the first to the last record of a training that was stopped, 0 if there is none.

    A time between two records of many times the usual one is one in which nothing was trained, and does not count.
    """
    if not (run / "metrics.jsonl").exists():
        return 0
    times = [json.loads(line)["time"] for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    between = [later - earlier for earlier, later in itertools.pairwise(times)]
    steps = [seconds for seconds in between if seconds > 1]  # several records are of one step
    longest = PAUSE * statistics.median(steps) if steps else math.inf
    return sum(seconds for seconds in between if seconds <= longest)


def _seq_models(arguments, data):
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
