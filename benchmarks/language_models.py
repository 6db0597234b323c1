"""Language models on the Penn Treebank (Mikolov's split), one after the other: perplexity, seconds, memory.

    python benchmarks/language_models.py [--data DIR] [--out DIR] [--only NAME …]

The corpus is not part of this project: DIR/ptb holds ptb.train.txt.gz, ptb.valid.txt and ptb.test.txt. Each row is one
`seq-models train` command in a process of its own and one `seq-models evaluate` on test. Results go to
benchmarks/results/language_models.json, one record a row; a row that was not run keeps its record. The tables of
benchmarks/language_models.md are written from it. A kind of row is a function that gives its rows: the name, and the
command after `seq-models train` without data and --out.
"""

from pathlib import Path

import pages
import trainings

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
    options = trainings.asked(__doc__, ROWS, "ptb", "language_models")
    for name in options.only:
        records = trainings.keep(RESULTS, name, measure(name, options.data, options.out / name))
        PAGE.write_text(written(PAGE.read_text("utf-8"), records), "utf-8")


def measure(name, data, run):
    """The record of a row."""
    _, _, command = ROWS[name]
    trained = trainings.train(f"{command} {DATA}", data, run)
    test = trainings.evaluate(run, "--data ptb/ptb.test.txt", data)["perplexity"]
    return {**trained.record(), "perplexity": {"valid": trained.best["val_perplexity"], "test": test}}


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
    return pages.with_tables(page, {kind: table(kind, records) for kind in KINDS})


if __name__ == "__main__":
    main()
