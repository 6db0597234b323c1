"""Encoder–decoders on Multi30k, one after the other: BLEU, chrF and TER of greedy answers and of beam search.

    python benchmarks/encoder_decoder.py [--data DIR] [--out DIR] [--only NAME …]

The corpus is not part of this project: DIR/multi30k holds train.LANGUAGE.gz, val.LANGUAGE and test_2016_flickr.LANGUAGE
of en, de and fr. Each row is one `seq-models train` command in a process of its own, whose epoch of the best BLEU of
greedy answers to the validation data is kept, and two `seq-models evaluate` on test; a row that is held against another
one is compared with it, greedy answers of both, by `seq_models.compare`. Results go to
benchmarks/results/encoder_decoder.json, one record a row; a row that was not run keeps its record. The tables of
benchmarks/encoder_decoder.md are written from it.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import pages
import trainings

import seq_models as sm
from seq_models.tasks.report import range_of, report

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "encoder_decoder.json"
PAGE = HERE / "encoder_decoder.md"
FILES = {"train": "multi30k/train.{}.gz", "valid": "multi30k/val.{}", "test": "multi30k/test_2016_flickr.{}"}
BEAM = 5
SCORES = {"bleu_lowercased": "BLEU, lower case", "bleu": "BLEU", "chrf": "chrF", "ter": "TER"}


class Row(NamedTuple):
    """A training: what the page calls it, its two languages, its options, and the row that it is held against."""

    shown: str
    languages: tuple[str, str]
    options: str
    against: str | None = None

    def files(self, part):
        return [FILES[part].format(language) for language in self.languages]


def whole():
    """The recipe of a whole training."""
    text = "tokenizer=wordpiece vocabulary_size=6000 lowercase=true max_length=80"
    network = "cell=gru units=320 embedding_units=256 readout=luong tie_weights=true label_smoothing=0.1 dropout=0.4"
    training = "batch_size=64 learning_rate=0.001 schedule=cosine warmup_steps=400 clip_norm=1.0 average=0.998"
    options = f"{text} {network} {training} monitor=val_bleu epochs=16 patience=16"
    yield "en-de", Row("English to German", ("en", "de"), options)


def stages():
    """What each step from one network to attention is worth, in a small network and few epochs."""
    text = "tokenizer=words min_count=3 max_length=80"
    training = "batch_size=64 learning_rate=0.003 schedule=cosine clip_norm=1.0 monitor=val_bleu epochs=5 patience=5"
    common = f"{text} cell=gru units=192 embedding_units=128 dropout=0.2 bidirectional=false {training}"
    networks = {
        "one-network": ("one network reads source and target", "share_layers=true context=none bridge=copy", None),
        "first-state": ("the encoder's last state starts the decoder", "context=none bridge=copy", "one-network"),
        "every-step": ("the last state for every step, too", "context=last", "first-state"),
        "attention": ("attention at every step", "context=attention", "every-step"),
    }
    for name, (shown, options, against) in networks.items():
        yield name, Row(shown, ("en", "de"), f"{common} {options}", against)


KINDS = {"whole": dict(whole()), "stages": dict(stages())}
ROWS = {name: row for rows in KINDS.values() for name, row in rows.items()}


def main():
    options = trainings.asked(__doc__, ROWS, "multi30k", "encoder_decoder")
    for name in options.only:
        records = trainings.keep(RESULTS, name, measure(name, options.data, options.out))
        PAGE.write_text(written(PAGE.read_text("utf-8"), records), "utf-8")


def measure(name, data, out):
    """The record of a row; the run that it is held against must be in the same directory."""
    row, run = ROWS[name], out / name
    train, valid, test = (" ".join(row.files(part)) for part in FILES)
    command = f"encoder-decoder --train {train} --valid {valid} --set {row.options}"
    trained = trainings.train(command, data, run)
    searches = {"greedy": "", "beam": f"--beam-width {BEAM}"}
    scores = {way: trainings.evaluate(run, f"--data {test} {flags}", data) for way, flags in searches.items()}
    valid = {score: trained.best[f"val_{score}"] for score in SCORES if f"val_{score}" in trained.best}
    record = {**trained.record(), "valid": valid, "test": scores}
    if name in KINDS["whole"]:
        record["by length"] = by_length(run, [data / file for file in row.files("test")])
    if row.against:
        record["held against"] = row.against
        record["difference"] = difference(run, out / row.against, [data / file for file in row.files("test")])
    return record


def difference(one, other, files):
    """How much higher the BLEU of the greedy answers of a run is, with the 95 % interval and p by paired bootstrap."""
    found = sm.compare(sm.load_run(one), sm.load_run(other), sm.read_examples(*files))
    return {"bleu": found.difference, "low": found.low, "high": found.high, "p": found.p}


def by_length(run, files):
    """By words of the source: number of examples, and BLEU in lower case of greedy answers and of those with beams."""
    model, examples = sm.load_run(run), sm.read_examples(*files)
    searches = {"greedy": 1, "beam": BEAM}
    found = {}
    for way, width in searches.items():
        model.search = dataclasses.replace(model.search, beam_width=width)
        for bucket, row in report(model, examples).by_length.items():
            of_length = found.setdefault(range_of(bucket), {"examples": row["examples"]})
            of_length[way] = row["bleu_lowercased"]
    return found


def lengths(records):
    """The table of BLEU by the length of the source."""
    rows = {name: records[name]["by length"] for name in KINDS["whole"] if "by length" in records.get(name, {})}
    lines = ["| words of the source | model | sentences | greedy | 5 beams |", "|---|---|---|---|---|"]
    for length in sorted({length for row in rows.values() for length in row}, key=lambda x: int(x.split("-")[0])):
        for name, row in rows.items():
            if length in row:
                found = row[length]
                numbers = [str(found["examples"]), *(f"{found[way]:.2f}" for way in ("greedy", "beam"))]
                lines.append(f"| {length} | {KINDS['whole'][name].shown} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def table(kind, records):
    """The rows of a kind as the table of the page."""
    names = " | ".join(SCORES.values())
    held = any(row.against for row in KINDS[kind].values())
    head = [
        "model",
        f"greedy: {names}",
        f"{BEAM} beams: {names}",
        *["BLEU more than"] * held,
        "seconds",
        "peak MB",
        "machine",
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * (len(head) + 2 * len(SCORES) - 2) + "|"]
    for name, row in KINDS[kind].items():
        if name in records:
            record = records[name]
            found = [f"{scores[score]:.2f}" for scores in record["test"].values() for score in SCORES]
            more = [_more(record)] * held
            cells = [row.shown, *found, *more, *(str(record[each]) for each in ("seconds", "peak MB", "machine"))]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _more(record):
    """The difference of a row as a cell."""
    if "difference" not in record:
        return ""
    bleu, low, high, p = (record["difference"][name] for name in ("bleu", "low", "high", "p"))
    return f"{record['held against']}: {bleu:+.2f} ({low:+.2f} to {high:+.2f}), p = {p:.3f}"


def written(page, records):
    """The text of the page with the tables of the records."""
    tables = {kind: table(kind, records) for kind in KINDS}
    return pages.with_tables(page, {**tables, "lengths": lengths(records)})


if __name__ == "__main__":
    main()
