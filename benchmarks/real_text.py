"""Five tasks on real text: trains each with one command, scores it on test data, exports it, asks it one question.

    python benchmarks/real_text.py [--data DIR] [--out DIR] [--only NAME …]

The corpora are not part of this project: DIR holds them as `DATA` below names them. Results go to
benchmarks/results/real_text.json, one record a corpus; a corpus that was not run keeps its record.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "real_text.json"

# Name: (train command after `seq-models train`, data to score, the score, at least or at most, a question).
RECIPES = {
    "ewt": (
        "labeler --train ud_english_ewt/en_ewt-ud-train.conllu.gz --valid ud_english_ewt/en_ewt-ud-dev.conllu "
        "--set epochs=6 batch_size=32 units=128 embedding_units=128 dropout=0.4 lowercase=true learning_rate=0.002 "
        "schedule=cosine",
        "ud_english_ewt/en_ewt-ud-test.conllu",
        ("accuracy", ">=", 0.91),
        "The flights the airline was canceling were full.",
    ),
    "sst2": (
        "classifier --train sst2/train.tsv --valid sst2/dev.tsv "
        "--set epochs=6 batch_size=32 units=64 embedding_units=128 dropout=0.5 tokenizer=whitespace min_count=2",
        "sst2/test.tsv",
        ("accuracy", ">=", 0.78),
        "a moving film that is never dull",
    ),
    "chnsenticorp": (
        "classifier --train chnsenticorp/train.tsv.gz --valid chnsenticorp/dev.tsv --columns text_a label "
        "--set epochs=5 batch_size=32 units=64 embedding_units=128 dropout=0.4 tokenizer=chars max_length=256",
        "chnsenticorp/test.tsv --columns text_a label",
        ("accuracy", ">=", 0.85),
        "房间很干净，服务也很好。",
    ),
    "ptb": (
        "language-model --train ptb/ptb.train.txt.gz --valid ptb/ptb.valid.txt "
        "--set epochs=2 batch_size=32 units=200 tie_weights=true dropout=0.1 learning_rate=0.003 tokenizer=whitespace "
        "schedule=cosine",
        "ptb/ptb.valid.txt",
        ("perplexity", "<=", 220),
        "the company said its profit rose N N",
    ),
    "multi30k": (
        "encoder-decoder --train multi30k/train.en.gz multi30k/train.de.gz --valid multi30k/val.en multi30k/val.de "
        "--set epochs=2 batch_size=64 cell=gru units=256 embedding_units=128 dropout=0.2 min_count=3 "
        "learning_rate=0.003 schedule=cosine max_length=64 clip_norm=1.0",
        "multi30k/test_2016_flickr.en multi30k/test_2016_flickr.de",
        ("bleu", ">=", 15),
        "A man in a blue shirt is standing on a ladder.",
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=HERE.parent / "runs")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    options = parser.parse_args()
    if not options.data.is_dir():
        sys.exit(f"The corpora must be in a directory. Received: --data {options.data}")
    for name in options.only:
        record = measure(name, options.data, options.out.resolve())
        records = {**(json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}), name: record}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", "utf-8")
        print(json.dumps(record, indent=1, ensure_ascii=False))
    print(table(records))


def table(records):
    """The results as the table of the README."""
    rows = ["| corpus | score | must reach | training | command |", "|---|---|---|---|---|"]
    for name, (_, _, (score, relation, bound), _) in RECIPES.items():
        if name in records:
            record = records[name]
            reached, seconds = record["scores"][score], record["training seconds"]
            command = f"`{record['command']}`"
            rows.append(f"| {name} | {score} {reached:.4g} | {relation} {bound} | {seconds} s | {command} |")
    return "\n".join(rows) + "\n"


def measure(name, data, out):
    command, scored, (score, relation, bound), question = RECIPES[name]
    run, exports = out / name, out / "exports"
    started = time.perf_counter()
    seq_models(f"train {command}", data, "--out", run)
    seconds = time.perf_counter() - started
    scores = json.loads(seq_models(f"evaluate {run} --data {scored} --json", data))
    version = seq_models(f"export {run} --to {exports} --name {name}", data).strip()
    reached = scores[score] >= bound if relation == ">=" else scores[score] <= bound
    return {
        "command": f"seq-models train {command} --out runs/{name}",
        "scored on": scored,
        "scores": scores,
        "must reach": f"{score} {relation} {bound}",
        "reached": reached,
        "training seconds": round(seconds),
        "question": question,
        "answer of the export": ask(version, question),
        "machine": f"{os.cpu_count()} CPU cores",
    }


def seq_models(arguments, data, *more):
    command = [sys.executable, "-m", "seq_models.cli", *shlex.split(arguments), *map(str, more)]
    done = subprocess.run(command, cwd=data, check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, file=sys.stderr)
    return done.stdout.splitlines()[-1] if done.stdout else ""


def ask(version, question):
    """The answer of an export to one question, in a process that knows nothing of seq_models."""
    program = (
        "import sys, json, tensorflow as tf, tensorflow_text\n"
        "answer = tf.saved_model.load(sys.argv[1]).signatures['serving_default'](text=tf.constant([sys.argv[2]]))\n"
        "def plain(v):\n"
        "    return [plain(x) for x in v] if isinstance(v, list) else v.decode() if isinstance(v, bytes) else v\n"
        "print(json.dumps({name: plain(tensor.numpy().tolist())[0] for name, tensor in answer.items()}))\n"
    )
    command = [sys.executable, "-I", "-c", program, version, question]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
