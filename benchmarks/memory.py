"""The memory that training a language model takes, by the size of its vocabulary.

    python benchmarks/memory.py [--only V …] [--out FILE]

A text of two million tokens, in paragraphs of 20,000: each of V words once, the others as in `large_text.py`. Options
are the default ones: every word has an id, and from 50,000 words on the softmax is sampled in training. Of each V

train       `seq-models train` on the text, ended by SIGTERM when its first checkpoint is there
validate    a model of the V words in Python: five steps, validation on 2,240 tokens, `score`, `save_run`
evaluate    `seq-models evaluate` of that run on the 2,240 tokens, with the exact softmax

Each is a process of its own, and its memory the largest resident one (`os.wait4`). All is allocated in the first steps:
so a training is not waited for, and what runs beside changes nothing. Writes benchmarks/results/memory.json and the
table of benchmarks/language_models.md.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import large_text
import numpy as np
import pages

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results" / "memory.json", HERE / "language_models.md"
TOKENS, PARAGRAPH = 2_000_000, 20_000
VALID = 2 * 32 * 35  # tokens, the last ones: two batches
SIZES = (33_000, 330_000)
COLUMNS = ("train", "validate", "evaluate")
TRAIN = "train language-model --set checkpoint_seconds=5 --train text.txt --valid valid.txt --out run"
IN_PYTHON = """
import seq_models as sm
words, valid = sm.read_examples("words.txt"), sm.read_examples("valid.txt")
model = sm.LanguageModel.from_examples(words)
model.compile(clip_norm=5.0)
model.fit(model.dataset(words, shuffle=True).take(5), validation_data=model.dataset(valid), verbose=0)
model.score(valid)
model.save_run("run-of-words")
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", type=int, choices=SIZES, default=SIZES, metavar="V")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    for V in options.only:
        with tempfile.TemporaryDirectory() as directory:
            record = measure(V, Path(directory))
        result = {**(json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}), str(V): record}
        options.out.write_text(json.dumps(dict(sorted(result.items())), indent=1) + "\n", "utf-8")
        print(json.dumps({V: record}))
        PAGE.write_text(written(PAGE.read_text("utf-8"), result), "utf-8")


def measure(V, folder):
    """Megabytes of each of `COLUMNS`."""
    words = [large_text.spelled(rank) for rank in range(1, V + 1)]
    drawn = np.minimum(large_text.ranks(np.random.default_rng(1), TOKENS - V), V) - 1
    text = words + [words[number] for number in drawn.tolist()]
    for name, tokens in {"text": text, "words": words, "valid": text[-VALID:]}.items():
        with (folder / f"{name}.txt").open("w", encoding="utf-8") as file:
            for start in range(0, len(tokens), PARAGRAPH):
                file.write(" ".join(tokens[start : start + PARAGRAPH]) + "\n")
    checkpoints = folder / "run" / "checkpoints"
    return {
        "train": large_text.peak(TRAIN, folder, lambda: checkpoints.is_dir() and any(checkpoints.iterdir())),
        "validate": large_text.peak_of([sys.executable, "-c", IN_PYTHON], folder),
        "evaluate": large_text.peak("evaluate run-of-words --data valid.txt", folder),
    }


def table(result):
    lines = ["| words with an id | train, peak MB | validate | evaluate |", "|---|---|---|---|"]
    for V, record in sorted(result.items(), key=lambda item: int(item[0])):
        lines.append(f"| {int(V):,} | {' | '.join(f'{record[column]:,}' for column in COLUMNS)} |")
    return "\n".join(lines)


def written(page, result):
    """The text of the page with the table of the records."""
    return pages.with_table(page, "memory", table(result))


if __name__ == "__main__":
    main()
