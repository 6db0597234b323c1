"""Where a model goes wrong: by label, by entity, by length, and example by example."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.cells import cell_len
from scipy.special import softmax
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from seq_models.files import write_whole, written_whole
from seq_models.plots import plot_confusion, plot_reliability
from seq_models.tasks.by_length import MEASURES, Labeled
from seq_models.tasks.calibration import Reliability, logits_of, reliability, reliability_of
from seq_models.tasks.judging import Judged, judge
from seq_models.text.codec import chunked
from seq_models.text.entities import entities_by_type, has_entities

WORST = 100  # examples in errors.tsv
MOST_LABELS = 20  # in the confusion matrix as text
LENGTHS = (5, 10, 20, 40, 80)  # the last of each range but the longest one
NO_LABEL = "(none)"  # of what is cut off, or of a label that is only there or only predicted


class Report(NamedTuple):
    """What is known of a model's errors.

    Attributes:
        pairs: How often each label was expected where each one was predicted; empty where a task has no labels.
        entities: Of each type how many entities there are, how many are predicted, and how many are both.
        by_length: Of each range of lengths, by its number, the values of its row by the heads of their columns.
        worst: Examples beside the answers, the largest loss first.
        reliability: How right the model is against how sure, as it is and before its temperature, by name; empty where
            a task has no labels.
    """

    pairs: Counter[tuple[str, str]]
    entities: dict[str, np.ndarray]
    by_length: dict[int, dict[str, float]]
    worst: list[dict[str, str]]
    reliability: dict[str, Reliability]

    def text(self) -> str:
        """All but the examples, as tables."""
        parts = [_by_length(self.by_length)]
        if self.pairs:
            parts += [_by_label(self.pairs), _confusion(self.pairs), _reliability(self.reliability)]
        if self.entities:
            parts.insert(0, _by_entity(self.entities))
        return "\n\n".join(parts)

    def write(self, directory: str | Path) -> None:
        """Writes report.txt, errors.tsv and, where there are labels, confusion.png and reliability.png."""
        directory = Path(directory)
        write_whole(directory / "report.txt", self.text() + "\n")
        rows = [list(self.worst[0]), *(row.values() for row in self.worst)]
        lines = ["\t".join(" ".join(value.split()) for value in row) for row in rows]
        write_whole(directory / "errors.tsv", "\n".join(lines) + "\n")
        if self.pairs:
            names, counts = _matrix(self.pairs)
            with written_whole(directory / "confusion.png") as aside:
                plot_confusion(counts, names, aside)
            with written_whole(directory / "reliability.png") as aside:
                plot_reliability(self.reliability, aside)


def report(model: Any, examples: Iterable[Any]) -> Report:
    """Goes through examples once.

    Args:
        model: A task's model.
        examples: An iterable of examples that `model.score` has found right.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    entities: dict[str, np.ndarray] = {}
    by_length: dict[int, Labeled] = {}
    measure = MEASURES.get(type(model.preprocessor.example_type), Labeled)
    worst: list[Judged] = []
    sure = reliability()
    labels = model.preprocessor.labels
    with_entities = model.task_name == "labeler" and has_entities(labels.names)
    for some in chunked(judge(model, examples)):
        sure = sure.plus(reliability_of(some))
        for each in some:
            bucket = int(np.searchsorted(LENGTHS, each.length))
            by_length.setdefault(bucket, measure(model)).add(each)
            pairs.update(zip(each.expected, each.predicted, strict=True))
        if with_entities:
            sides = [each.expected for each in some], [each.predicted for each in some]
            for name, counts in entities_by_type(*sides).items():
                entities[name] = entities.get(name, 0) + counts
        worst = heapq.nlargest(WORST, [*worst, *some], key=lambda each: each.loss)
    answers = model.samples([each.example for each in worst])
    shown = [{"loss": f"{each.loss:.4f}", **answer} for each, answer in zip(worst, answers, strict=True)]
    rows = {bucket: by_length[bucket].row() for bucket in sorted(by_length)}
    return Report(pairs, entities, rows, shown, _reliabilities(model, examples, sure) if pairs else {})


def _reliabilities(model, examples, sure):
    head = model.network.head
    if not head.calibrated:
        return {"as it is": sure}
    logits, targets, weights = logits_of(model, examples)
    before = reliability(np.max(softmax(logits, axis=1), axis=1), logits.argmax(axis=1) == targets, weights)
    return {"T = 1": before, f"T = {float(head.temperature.numpy()):.3f}": sure}


def _columns(pairs):
    """Pairs of labels -> expected, predicted, how often: what scikit-learn takes."""
    expected, predicted = zip(*((a or NO_LABEL, b or NO_LABEL) for a, b in pairs), strict=True)
    return expected, predicted, list(pairs.values())


def _matrix(pairs):
    """The labels, sorted, and how often each (row) was taken for each (column)."""
    expected, predicted, counts = _columns(pairs)
    names = sorted({*expected, *predicted})
    return names, confusion_matrix(expected, predicted, labels=names, sample_weight=counts)


def _by_label(pairs):
    expected, predicted, counts = _columns(pairs)
    names = sorted({*expected, *predicted} - {NO_LABEL})  # those that are only predicted, too
    scores = precision_recall_fscore_support(
        expected, predicted, labels=names, sample_weight=counts, zero_division=0, average=None
    )
    return _scores("label", zip(names, *scores, strict=True))


def _by_entity(entities):
    rows = []
    for name, (there, predicted, correct) in sorted(entities.items()):
        precision, recall = correct / max(predicted, 1), correct / max(there, 1)
        rows.append((name, precision, recall, 2 * correct / max(there + predicted, 1), there))
    return _scores("entity", rows)


def _scores(kind, rows):
    shown = [(name, *(f"{score:.4f}" for score in scores), f"{count:.0f}") for name, *scores, count in rows]
    return _table((kind, "precision", "recall", "f1", "count"), shown)


def _reliability(bins):
    """A row for each bin of confidence that is not empty: how many answers, how sure and how right they are."""
    rows = []
    for name, each in bins.items():
        M = len(each.weights)
        for m in np.flatnonzero(each.weights):
            n = each.weights[m]
            shares = (f"{each.confident[m] / n:.4f}", f"{each.right[m] / n:.4f}")
            rows.append((name, f"{m / M:.2f}-{(m + 1) / M:.2f}", f"{n:.0f}", *shares))
    errors = ", ".join(f"{100 * each.ece:.2f} % ({name})" for name, each in bins.items())
    head = f"reliability: expected calibration error {errors}\n"
    return head + _table(("", "bin", "count", "confidence", "accuracy"), rows)


def range_of(bucket: int) -> str:
    """The lengths of a row of `by_length`, as 6-10."""
    first = LENGTHS[bucket - 1] + 1 if bucket else 0
    return f"{first}-{LENGTHS[bucket]}" if bucket < len(LENGTHS) else f"{first}-"


def _by_length(by_length):
    rows = []
    for bucket, row in by_length.items():
        rows.append(
            (range_of(bucket), *(str(value) if isinstance(value, int) else f"{value:.4f}" for value in row.values()))
        )
    return _table(("length", *next(iter(by_length.values()))), rows)


def _confusion(pairs):
    names, counts = _matrix(pairs)
    frequent = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:MOST_LABELS])
    rows = [(names[k], *(f"{count:.0f}" for count in counts[k, frequent])) for k in frequent]
    some = f", the {len(frequent)} most frequent labels of {len(names)}" if len(frequent) < len(names) else ""
    head = f"confusion: a row for each label expected, a column for each one predicted{some}\n"
    return head + _table(("", *(names[k] for k in frequent)), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of texts, the first one to the left and all others to the right; a Chinese character takes two places."""
    rows = [head, *rows]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        gaps = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        others = (gap + cell for gap, cell in zip(gaps[1:], row[1:], strict=True))
        lines.append("  ".join([row[0] + gaps[0], *others]).rstrip())
    return "\n".join(lines)
