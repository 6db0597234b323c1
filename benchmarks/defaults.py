"""The tasks on real text with the command line's defaults: each trained without a single option, beside tuned ones.

    python benchmarks/defaults.py [--data DIR] [--out DIR] [--only NAME …] [--share S]

Commands, test data and tuned scores are those of benchmarks/real_text.py, without its `--set`, and Dutch entities. A
labeler is trained twice, the second time with unknown_share=0: what learning `<unk>` is worth on words that training
has not seen. The corpora are not part of this project: DIR holds them. A run that is finished is not trained again, one
that was stopped goes on. Results go to benchmarks/results/defaults.json, a record a corpus; with a share of the data
below 1, to try this out, to the directory of the runs.
"""

import argparse
import gzip
import json
import os
import time
from pathlib import Path

import real_text

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "defaults.json"
DUTCH = "conll2002_dutch/ned"
RENAMED = {  # files whose names do not say their format
    f"{DUTCH}.train.conll.gz": f"{DUTCH}.train.gz",
    f"{DUTCH}.testa.conll": f"{DUTCH}.testa",
    f"{DUTCH}.testb.conll": f"{DUTCH}.testb",
}

# Name: (train command after `seq-models train`, data to score, the score).
RECIPES = {
    name: (command.partition(" --set")[0], scored, score)
    for name, (command, scored, (score, *_), _) in real_text.RECIPES.items()
}
RECIPES["dutch"] = (
    f"labeler --train {DUTCH}.train.conll.gz --valid {DUTCH}.testa.conll",
    f"{DUTCH}.testb.conll",
    "entity_f1",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=HERE.parent / "runs" / "defaults")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--share", type=float, default=1.0, help="of the lines of every file, from its start")
    options = parser.parse_args()
    if not options.data.is_dir():
        parser.error(f"--data must be the directory of the corpora. Received: {options.data}")
    out = options.out.resolve()
    results = RESULTS if options.share == 1 else out / "defaults.json"
    for name in options.only:
        record = measure(name, options.data.resolve(), out, options.share)
        records = {**(json.loads(results.read_text("utf-8")) if results.exists() else {}), name: record}
        results.write_text(json.dumps(records, indent=1) + "\n", "utf-8")
        print(json.dumps(record, indent=1))
    print(table(records))


def measure(name, data, out, share):
    command, scored, score = RECIPES[name]
    corpora = out / "data"
    for word in f"{command} {scored}".split():
        if "/" in word:
            copy_lines(data / RENAMED.get(word, word), corpora / word, share)
    seconds = train(command, corpora, out / name)
    scores = json.loads(real_text.seq_models(f"evaluate {out / name} --data {scored} --json", corpora))
    tuned = json.loads(real_text.RESULTS.read_text("utf-8")).get(name, {"scores": {}})["scores"]
    record = {
        "command": f"seq-models train {command} --out runs/{name}",
        "scored on": scored,
        "score": score,
        "with defaults": scores[score],
        "tuned": tuned.get(score),
        "training seconds": round(seconds),
        "share": share,
        "machine": f"{os.cpu_count()} CPU cores",
    }
    if command.startswith("labeler"):
        without = out / f"{name}-without"
        train(f"{command} --set unknown_share=0", corpora, without)
        found = {run: on_unknown_words(out / run, corpora / scored) for run in (name, without.name)}
        record["accuracy on unknown words"] = {"with unknown_share": found[name], "without": found[without.name]}
    return record


def copy_lines(source, target, share):
    """The first lines of a file, up to the end of a sentence; of the whole file a link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    if share == 1:
        target.symlink_to(source)
        return
    opened = gzip.open if source.suffix == ".gz" else open
    with opened(source, "rt", encoding="utf-8", newline="\n") as file:
        lines = file.readlines()
    end = int(share * len(lines))
    while ".conll" in target.name and lines[end].strip():
        end += 1
    with (gzip.open if target.suffix == ".gz" else open)(target, "wt", encoding="utf-8", newline="\n") as file:
        file.writelines(lines[:end])


def train(command, data, run):
    """Trains into a run directory, or goes on with it, if it is not finished; the seconds of all its trainings."""
    metrics, clock = run / "metrics.json", Path(f"{run}.seconds")
    if not (metrics.exists() and json.loads(metrics.read_text("utf-8"))["finished"]):
        before, started = float(clock.read_text()) if clock.exists() else 0.0, time.perf_counter()
        try:
            real_text.seq_models(f"train {command}", data, "--out", run)
        finally:
            clock.write_text(str(before + time.perf_counter() - started))
    return float(clock.read_text())


def on_unknown_words(run, path):
    """The accuracy of a labeler on the tokens that are not in its vocabulary."""
    import seq_models as sm

    model = sm.load_run(run)
    examples = list(sm.read_examples(path))
    known = set(model.preprocessor.codec.vocabulary.tokens)
    clean = model.preprocessor.codec.clean
    right = total = 0
    for (tokens, tags), answer in zip(examples, model.predict_text([tokens for tokens, _ in examples]), strict=True):
        for token, tag, predicted in zip(clean(tokens).numpy(), tags, answer["tags"], strict=True):
            if token.decode() not in known:
                right, total = right + (tag == predicted), total + 1
    return right / total


def table(records):
    """The results as a table of Markdown."""
    rows = ["| corpus | score | with defaults | tuned | training | unknown words | without `unknown_share` |"]
    rows += ["|---|---|---|---|---|---|---|"]
    for name in RECIPES:
        if name in records:
            record = records[name]
            unknown = record.get("accuracy on unknown words", {}).values()
            cells = [record["with defaults"], record["tuned"], *(unknown or (None, None))]
            default, tuned, *unknown = ("" if cell is None else f"{cell:.4g}" for cell in cells)
            cells = [name, record["score"], default, tuned, f"{record['training seconds']} s", *unknown]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
