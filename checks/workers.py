"""Several workers against one process, a worker that is killed, and one replica a core against one on all cores.

    python checks/workers.py [--tasks NAME …] [--only equal killed cores] [--out FILE]

equal   two and four workers on the loopback address against one process, same global batch: the largest difference of
        any weight of the best model and of any score of any epoch, with validation and early stopping.
killed  of two workers one is killed by SIGKILL in mid-epoch; the other must leave by itself; both started again with
        the same command must end with the weights of an undisturbed run.
cores   tokens a second of `--strategy mirrored` (one replica a core) over those of `one`, from rounds of the two.

The four tasks train on the built-in corpora. The classifier pools by the mean in the first two: of the 96,000 maxima in
an epoch some are decided between values that agree to 1e-8, and any other order of sums can turn these round.

Writes checks/results/workers.json; what was not run keeps its record.
"""

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import trainings
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from local_cluster import LocalCluster  # noqa: E402  it is the tests' own

RESULTS = Path(__file__).resolve().parent / "results" / "workers.json"
OPTIONS = {"epochs": 3, "batch_size": 32, "units": 24, "embedding_units": 16, "patience": 1, "tokenizer": "whitespace"}
OPTIONS |= {"checkpoint_seconds": 1.0, "dropout": 0.0}
SMOOTH = {"classifier": {"pooling": "mean"}}
TRAIN_SIZE, VALID_SIZE = 2000, 203
LIMIT = 1800  # seconds for one training
TOLERANCE = 1e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=trainings.ENDINGS, default=list(trainings.ENDINGS))
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    results = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    for task in options.tasks:
        with tempfile.TemporaryDirectory() as directory:
            for name in track(options.only, task):
                results.setdefault(name, {})[task] = MEASURES[name](task, Path(directory) / name)
                print(task, name, json.dumps(results[name][task]), flush=True)
                options.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def table(results):
    lines = [
        "| largest difference of a weight, of a score | 2 workers | 4 workers | 2 workers, one killed in mid-epoch |",
        "|---|---|---|---|",
    ]
    for task in results["equal"]:
        records = [*results["equal"][task].values(), results["killed"][task]]
        cells = [f"{record['weights']:.0e}, {record['scores']:.0e}" for record in records]
        lines.append(f"| {task} | {' | '.join(cells)} |")
    if "cores" in results:
        lines += ["", "| one replica a core, tokens a second | of those of one replica on all cores |", "|---|---|"]
        lines += [f"| {task} | {record['mirrored / one']:.2f} |" for task, record in results["cores"].items()]
    return "\n".join(lines) + "\n"


def equal(task, directory):
    """Differences of two and four workers from one process."""
    paths = trainings.write_corpus(task, directory / "data", TRAIN_SIZE, VALID_SIZE)
    trainings.finish(command(task, paths, directory / "1"), directory / "log.txt", LIMIT)
    record = {}
    for count in (2, 4):
        seconds = together(task, paths, directory / str(count), count)
        record[f"{count} workers"] = {
            "weights": trainings.largest_difference(directory / "1", directory / str(count)),
            "scores": scores_apart(directory / "1", directory / str(count)),
            "seconds": round(seconds, 1),
        }
    return record


def killed(task, directory):
    """A run whose worker 1 is killed in mid-epoch, against one left in peace."""
    paths = trainings.write_corpus(task, directory / "data", TRAIN_SIZE, VALID_SIZE)
    together(task, paths, directory / "whole", 2)
    out = directory / "killed"
    with LocalCluster(of_several(task, paths, out), 2, directory) as cluster:
        cluster.until(lambda: len(list((out / "checkpoints").glob("*.npz"))) > 1, LIMIT)
        cluster.signal(1, signal.SIGKILL)
        started = time.monotonic()
        codes = [outcome.code for outcome in cluster.outcomes(LIMIT)]
        left = time.monotonic() - started
    together(task, paths, out, 2)
    return {
        "exit codes": codes,
        "seconds until the other left": round(left, 1),
        "weights": trainings.largest_difference(directory / "whole", out),
        "scores": scores_apart(directory / "whole", out),
    }


def cores(task, directory, rounds=3):
    """Tokens a second of an epoch after the first, one replica a core over one replica on all cores."""
    paths = trainings.write_corpus(task, directory / "data", 4 * TRAIN_SIZE, VALID_SIZE)
    options = {**OPTIONS, "units": 64, "embedding_units": 64, "batch_size": 64, "patience": 9}
    ratios = []
    for number in range(rounds):
        rates = {}
        for strategy in ("one", "mirrored"):
            out = directory / f"{strategy}-{number}"
            words = [*trainings.command(task, paths, out, **options), "--strategy", strategy]
            trainings.finish(words, directory / "log.txt", LIMIT)
            lines = map(json.loads, (out / "metrics.jsonl").read_text("utf-8").splitlines())
            rates[strategy] = max(line.get("epochs/tokens_a_second", 0) for line in lines if line["epoch"] > 1)
        ratios.append(rates["mirrored"] / rates["one"])
    return {"mirrored / one": round(statistics.median(ratios), 3), "ratios": [round(ratio, 3) for ratio in ratios]}


MEASURES = {"equal": equal, "killed": killed, "cores": cores}


def command(task, paths, out):
    return trainings.command(task, paths, out, **OPTIONS, **SMOOTH.get(task, {}))


def of_several(task, paths, out):
    return [*command(task, paths, out), "--strategy", "multi-worker"]


def together(task, paths, out, count):
    """Trains to the end with so many workers; gives the seconds."""
    started = time.monotonic()
    with LocalCluster(of_several(task, paths, out), count, paths["train"].parent) as cluster:
        outcomes = cluster.outcomes(LIMIT)
    for outcome in outcomes:
        if outcome.code:
            raise RuntimeError(f"A worker ended with {outcome.code}:\n{outcome.err[-2000:]}")
    return time.monotonic() - started


def scores_apart(one, other):
    """The largest difference of any score of any epoch, of scores above 1 as a share of them."""
    pairs = zip(trainings.epochs(one), trainings.epochs(other), strict=True)
    return max(abs(a[name] - b[name]) / max(abs(a[name]), 1) for a, b in pairs for name in a)


if __name__ == "__main__":
    sys.exit(main())
