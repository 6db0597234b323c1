"""Kills a training at random moments, starts it again with the same command, and compares it with one left in peace.

    python checks/resume.py [--tasks NAME …] [--kills 20] [--seed 0] [--out FILE]

Each of the four tasks trains on the built-in corpora with dropout, once undisturbed and once killed by SIGTERM and
SIGKILL in turn, as often as asked for. SIGTERM must end it with exit code 143. Equal means: the same bits in all
weights of the best model, and the same numbers in every epoch's scores. Writes checks/results/resume.json.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import trainings
from rich.progress import track

RESULTS = Path(__file__).resolve().parent / "results" / "resume.json"
OPTIONS = {"epochs": 4, "batch_size": 16, "units": 24, "embedding_units": 16, "dropout": 0.2, "patience": 2}
OPTIONS |= {"checkpoint_seconds": 0.5, "tokenizer": "whitespace"}
TRAIN_SIZE, VALID_SIZE = 6000, 200
LIMIT = 600  # seconds for one process


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=trainings.ENDINGS, default=list(trainings.ENDINGS))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    kept = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    for task in options.tasks:
        with tempfile.TemporaryDirectory() as directory:
            kept[task] = measure(task, Path(directory), options.kills, random.Random(options.seed))
        print(task, json.dumps(kept[task]), flush=True)
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    return 0 if all(kept[task]["equal"] for task in options.tasks) else 1


def table(records):
    lines = [
        "| task | killed | by SIGTERM, exit code 143 | by SIGKILL | all weights and scores equal |",
        "|---|---|---|---|---|",
    ]
    for task, record in records.items():
        codes = record["exit codes"]
        equal = "to the last bit" if record["equal"] else "no"
        lines.append(f"| {task} | {record['kills']} times | {codes.get('143', 0)} | {codes.get('-9', 0)} | {equal} |")
    return "\n".join(lines) + "\n"


def measure(task, directory, kills, moments):
    """The record of a task: how often it was killed, and whether it came out equal."""
    paths = trainings.write_corpus(task, directory / "data", TRAIN_SIZE, VALID_SIZE)
    log = directory / "log.txt"
    seconds = trainings.finish(trainings.command(task, paths, directory / "whole", **OPTIONS), log, LIMIT)
    words = trainings.command(task, paths, directory / "killed", **OPTIONS)
    codes = []
    for kill in track(range(kills), f"{task} ({seconds:.0f} s undisturbed)"):
        code = disturbed(words, log, (signal.SIGTERM, signal.SIGKILL)[kill % 2], moments, directory / "killed")
        if code is None:
            break
        codes.append(code)
    trainings.finish(words, log, LIMIT)
    pairs = zip(trainings.weights(directory / "whole"), trainings.weights(directory / "killed"), strict=True)
    same_weights = all(np.array_equal(one, other) for one, other in pairs)
    same_scores = trainings.epochs(directory / "whole") == trainings.epochs(directory / "killed")
    return {
        "kills": len(codes),
        "exit codes": {str(code): codes.count(code) for code in sorted(set(codes))},
        "seconds undisturbed": round(seconds, 1),
        "epochs": len(trainings.epochs(directory / "whole")),
        "equal": same_weights and same_scores,
    }


def disturbed(words, log, number, moments, run):
    """Runs a training until a random moment soon after it trains; gives its exit code, None if it had ended before."""
    process = trainings.start(words, log)
    newest = newest_checkpoint(run)
    until = time.monotonic() + LIMIT
    while process.poll() is None and newest_checkpoint(run) == newest and time.monotonic() < until:
        time.sleep(0.05)  # until it has saved something new, or each start would be killed before it got anywhere
    try:
        code = process.wait(moments.uniform(0, 1.5))
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        return process.wait(LIMIT)
    if code:
        raise RuntimeError(f"The training ended with {code}:\n{Path(log).read_text('utf-8')[-2000:]}")
    return None


def newest_checkpoint(run):
    """What tells the newest checkpoint from those before."""
    return max(((path.name, path.stat().st_mtime_ns) for path in (run / "checkpoints").glob("*.npz")), default=None)


if __name__ == "__main__":
    sys.exit(main())
