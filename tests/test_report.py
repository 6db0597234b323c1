"""The report of an evaluation: tables, a matrix, a picture and the worst examples."""

import json

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support
from toy import EXAMPLES, small

from seq_models.cli import main
from seq_models.tasks.report import LENGTHS, report


def lines_of(text, head):
    """The rows of the table with this head: the first cell, and the numbers after it."""
    lines = iter(text.splitlines())
    next(line for line in lines if line.split()[:1] == [head])
    rows = [line.split() for line in iter(lambda: next(lines, ""), "")]
    return {row[0]: [float(cell) for cell in row[1:] if cell != "-"] for row in rows}


@pytest.mark.parametrize("task", ["labeler", "classifier"])
def test_the_table_by_label_is_that_of_scikit_learn(task):
    model, examples = small(task), EXAMPLES[task]
    found = report(model, examples)
    expected, predicted = [], []
    for answer, example in zip(model.predict_text([model.question(e) for e in examples]), examples, strict=True):
        expected += [example[1]] if task == "classifier" else example[1]
        predicted += [answer["label"]] if task == "classifier" else answer["tags"]
    names = sorted({*expected, *predicted})
    scores = precision_recall_fscore_support(expected, predicted, labels=names, zero_division=0)
    table = lines_of(found.text(), "label")
    assert list(table) == names
    for name, row in zip(names, np.transpose(scores), strict=True):
        assert table[name] == pytest.approx(row, abs=1e-4)
    assert sum(found.pairs.values()) == len(expected)
    by_length = lines_of(found.text(), "length")
    assert sum(row[0] for row in by_length.values()) == len(examples)


def test_a_label_that_is_only_predicted_has_a_row():
    model = small("classifier")
    predicted = model.predict_text(["b"])[0]["label"]
    [other] = {"long", "short"} - {predicted}
    table = lines_of(report(model, [("b", other)]).text(), "label")
    assert table == {predicted: [0, 0, 0, 0], other: [0, 0, 0, 1]}


LONG = {
    "language-model": ["a b c d e a b c d", "b a d e e a a a c c c"],
    "labeler": [(list("abcdeab"), list("ABCDEAA")), (list("eeeeeeeeeeeee"), list("EEEEEEEEEEEEB"))],
    "classifier": [("a b c d e a b c d", "long"), ("b a d e e a a a c c c", "short")],
    "encoder-decoder": [("a b c d e a b c d", "d c"), ("b a d e e a a a c c c", "a b")],
}


@pytest.mark.parametrize("task", EXAMPLES)
def test_a_row_by_length_says_what_the_task_measures_of_these_examples(task):
    model = small(task)
    examples = [*EXAMPLES[task], *LONG[task]]
    found = report(model, examples)
    measured = {
        "language-model": ["perplexity"],
        "encoder-decoder": ["bleu", "bleu_lowercased", "exact_match"],
    }.get(task, ["accuracy"])
    assert len(found.by_length) == 3
    for bucket, row in found.by_length.items():
        own = [e for e in examples if np.searchsorted(LENGTHS, len(model.question(e).split())) == bucket]
        scores = model.score(own)
        assert list(row) == ["examples", "loss", *measured] and row["examples"] == len(own)
        assert [row[name] for name in measured] == pytest.approx([scores[name] for name in measured], rel=1e-4)
    assert list(lines_of(found.text(), "length")["0-5"]) == pytest.approx(list(found.by_length[0].values()), abs=1e-4)


def test_entities_are_counted_by_type():
    examples = [(["Anna", "saw", "New", "York"], ["B-PER", "O", "B-LOC", "I-LOC"])] * 3
    model = small("labeler").from_examples(examples, units=4)
    table = lines_of(report(model, examples).text(), "entity")
    assert [table[name][-1] for name in ("LOC", "PER")] == [3, 3]


@pytest.mark.slow
@pytest.mark.parametrize("task", EXAMPLES)
def test_a_report_of_every_task_is_written_with_the_worst_examples_first(task, tmp_path, capsys):
    small(task).save_run(tmp_path / "run")
    name, text = {
        "language-model": ("a.txt", lambda text: f"{text}\n"),
        "labeler": ("a.conll", lambda pair: "".join(f"{w} {t}\n" for w, t in zip(*pair, strict=True)) + "\n"),
    }.get(task, ("a.tsv", lambda pair: "\t".join(pair) + "\n"))
    (tmp_path / name).write_text("".join(map(text, EXAMPLES[task])))
    arguments = [
        "evaluate",
        str(tmp_path / "run"),
        "--data",
        str(tmp_path / name),
        "--report",
        str(tmp_path / "report"),
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "report" / "report.txt").read_text() in printed + "\n"
    rows = [line.split("\t") for line in (tmp_path / "report" / "errors.tsv").read_text().splitlines()]
    losses = [float(row[0]) for row in rows[1:]]
    assert len(losses) == len(EXAMPLES[task]) and losses == sorted(losses, reverse=True)
    assert len({len(row) for row in rows}) == 1
    assert (tmp_path / "report" / "confusion.png").exists() == (task in ("labeler", "classifier"))
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
