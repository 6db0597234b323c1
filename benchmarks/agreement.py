"""Subject–verb agreement across attractors on the built-in grammar: n-gram, window, SimpleRNN, GRU and LSTM.

    python benchmarks/agreement.py [--only NAME …] [--seeds N …]

What an attractor is and how sentences are drawn: `seq_models.text.agreement`. With three attractors they are deeper
than any text of the training. Perplexity is that of the test sentences of `corpora.load`, held against the lowest
possible, that of the grammar itself.

A row is one model of `ROWS` and one seed, trained as the demo does. Results go to benchmarks/results/agreement.json,
and from there into the table of benchmarks/language_models.md; a row that was not run keeps its record.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import pages

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from seq_models import LanguageModel, NgramLanguageModel, WindowLanguageModel, demo  # noqa: E402  TensorFlow reads the environment once
from seq_models.text import corpora  # noqa: E402
from seq_models.text.agreement import agreement, agreement_pairs  # noqa: E402

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "agreement.json"
PAGE = HERE / "language_models.md"
ATTRACTORS = range(4)
SIZE, EPOCHS = 300_000, 4  # of the training
SIZES = {"units": 128, "embedding_units": 64}
# The class, the options and the seeds of each row; to count takes no seed.
ROWS = {
    "5-gram, modified Kneser–Ney": (NgramLanguageModel, {"order": 5}, [None]),
    "window of 4 words": (WindowLanguageModel, SIZES, [1]),
    "SimpleRNN": (LanguageModel, {"cell": "simple_rnn", **SIZES}, [1, 2, 3]),
    "GRU": (LanguageModel, {"cell": "gru", **SIZES}, [1, 2, 3]),
    "LSTM": (LanguageModel, {"cell": "lstm", **SIZES}, [1, 2, 3]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, help="those of the row if left out")
    options = parser.parse_args()
    corpus = corpora.load("language-model", train_size=SIZE)
    tests = [agreement_pairs(count) for count in ATTRACTORS]
    for name in options.only:
        seeds = ROWS[name][-1]
        for seed in options.seeds or seeds if seeds != [None] else seeds:
            record = measure(name, seed, corpus, tests)
            print(json.dumps(record, ensure_ascii=False), flush=True)
            write(record, corpus.lowest_perplexity)


def measure(name, seed, corpus, tests):
    """The record of one model."""
    task, options, _ = ROWS[name]
    started = time.perf_counter()
    if seed is None:
        model = task.from_examples(corpus.train, tokenizer="whitespace", **options)
    else:
        model = demo.train(task, corpus, {"epochs": EPOCHS, "model": options}, seed=seed)
    seconds = time.perf_counter() - started
    perplexity = float(model.score(corpus.test)["perplexity"])
    return {
        "model": name,
        "options": options,
        "seed": seed,
        "sentences": len(corpus.train),
        "epochs": 1 if seed is None else EPOCHS,
        "perplexity": round(perplexity, 4),
        "over lowest": round(perplexity / corpus.lowest_perplexity - 1, 4),
        "agreement": [round(agreement(model, pairs), 4) for pairs in tests],
        "seconds": round(seconds),
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
    }


def write(record, lowest):
    """Adds a record to the file in place of an earlier one, and writes the table of the page."""
    known = json.loads(RESULTS.read_text("utf-8"))["rows"] if RESULTS.exists() else []
    rows = [row for row in known if (row["model"], row["seed"]) != (record["model"], record["seed"])] + [record]
    rows.sort(key=lambda row: (list(ROWS).index(row["model"]), row["seed"] or 0))
    result = {"lowest perplexity": round(lowest, 4), "rows": rows}
    RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    page = pages.with_table(PAGE.read_text("utf-8"), "agreement", table(result).rstrip("\n"))
    PAGE.write_text(page, "utf-8")


def table(result):
    counts = " | ".join(f"{count} attractor{'s' * (count != 1)}" for count in ATTRACTORS)
    lines = [
        f"| model | seed | perplexity | over {result['lowest perplexity']:.3f} | {counts} | seconds | machine |",
        "|---" * (6 + len(ATTRACTORS)) + "|",
    ]
    for row in result["rows"]:
        shares = " | ".join(f"{share:.1%}" for share in row["agreement"])
        seed = "none" if row["seed"] is None else row["seed"]
        lines.append(
            f"| {row['model']} | {seed} | {row['perplexity']:.3f} | {row['over lowest']:.1%} | {shares} "
            f"| {row['seconds']} | {row['machine']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
