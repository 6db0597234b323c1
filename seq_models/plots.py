"""Pictures of what a layer does and of what a model says, for a notebook or a file: by NumPy and matplotlib alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from rich.cells import cell_len

from seq_models.errors import shortened
from seq_models.fonts import families, numbered

FLOOR, CEILING = 1e-12, 1e12  # of the vertical axis: beyond them a gradient has vanished or exploded
H_BY_H = r"$\Vert\partial h_T/\partial h_t\Vert$"
C_BY_C = r"$\Vert\partial c_T/\partial c_t\Vert$"

LONGEST_LABEL = 16  # characters
MOST_TOKENS, MOST_LABELS = 40, 40  # along an axis
CELL = 0.28  # inches of a row or a column
LETTER = 0.085  # inches of a letter of a name, of a Chinese character half of it
AROUND = 0.45  # inches of what stands around the names and the cells


def plot_gradient_flow(flows: dict[str, Any], path: str | Path | None = None, axes: Axes | None = None) -> Figure:
    """Draws how much of a gradient comes through against how many steps it goes back, ‖∂h_T/∂h_t‖ against T - t.

    One line for each layer: the geometric mean over its rows, on a logarithmic axis. In the same color, dotted, the
    path through the cell state of an LSTM, ‖∂c_T/∂c_t‖, and, dashed, the bound (‖U‖ max|g'|)^(T-t) of a SimpleRNN.

    Args:
        flows: A dict, name -> `GradientFlow` (`seq_models.layers.gradient_flow`), not empty.
        path: Where to write the picture, as the file's suffix says (".png", ".svg", ".pdf"); None writes nothing.
        axes: matplotlib Axes to draw into; None makes a figure.
    Returns:
        The matplotlib Figure; a notebook shows it.
    Raises:
        ValueError: If `flows` is empty.
    """
    if not flows:
        raise ValueError(f"flows must hold at least one GradientFlow. Received: flows={flows!r}")
    if axes is None:
        axes = Figure(figsize=(7, 5), dpi=150, layout="constrained").subplots()
    axes.set_yscale("log")
    axes.set_ylim(*_range(flows.values()))
    axes.margins(x=0.01)
    for place, (name, flow) in enumerate(flows.items()):
        _draw(axes, name, flow, color=f"C{place}")
    axes.axhline(1, color="0.8", linewidth=0.8, zorder=0, label="_one")  # neither vanishes nor explodes
    axes.set_xlabel("distance $T - t$, steps back in time")
    axes.set_ylabel(f"norm of the gradient, {H_BY_H}")
    axes.set_title("Gradient flow")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False)  # below: it covers no line
    axes.spines[["top", "right"]].set_visible(False)
    return _saved(axes, path)


def plot_attention(
    weights: ArrayLike, source: Sequence[str], target: Sequence[str], path: Any = None, axes: Axes | None = None
) -> Figure:
    """Draws where a decoder looks: a row for each target token, a column for each source token, dark where α is large.

    Args:
        weights: α, floats (T, S) in [0, 1].
        source, target: The tokens, lists of S and T strings. Of each the first 40 are drawn; those with a character
            that no font of this machine has are drawn as #1, #2, … (`seq_models.fonts.numbered([*source, *target])`).
        path, axes: As in `plot_gradient_flow`.
    Raises:
        ValueError: If `weights` has another shape.
    """
    weights = np.asarray(weights)
    if weights.shape != (len(target), len(source)) or weights.size == 0:
        expected = f"weights must have shape ({len(target)}, {len(source)}), that of target and source, not empty."
        raise ValueError(f"{expected} Received: weights.shape={weights.shape}")
    numbers = numbered([*source, *target])
    weights, source, target = weights[:MOST_TOKENS, :MOST_TOKENS], source[:MOST_TOKENS], target[:MOST_TOKENS]
    axes = _grid(weights, target, source, numbers, axes)
    axes.set_xlabel("source")
    axes.set_ylabel("target")
    return _saved(axes, path)


def plot_confusion(counts: ArrayLike, labels: Sequence[str], path: Any = None, axes: Axes | None = None) -> Figure:
    """Draws which labels are taken for which: a row for each one expected, a column for each one predicted.

    Dark is a large share of the row. Of more than 40 labels the 40 most frequent are drawn.

    Args:
        counts: Integers (L, L).
        labels: L strings. Those that no font draws are #1, #2, … (`seq_models.fonts.numbered(labels)`).
        path, axes: As in `plot_gradient_flow`.
    Raises:
        ValueError: If `counts` has another shape.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(labels), len(labels)) or counts.size == 0:
        expected = f"counts must have shape ({len(labels)}, {len(labels)}), a row and a column a label, not empty."
        raise ValueError(f"{expected} Received: counts.shape={counts.shape}")
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    frequent = np.sort(np.argsort(-totals, kind="stable")[:MOST_LABELS])
    names = [labels[k] for k in frequent]
    axes = _grid(shares[np.ix_(frequent, frequent)], names, names, numbered(labels), axes)
    if len(frequent) <= 12:
        for row, column in np.argwhere(counts[np.ix_(frequent, frequent)]):
            k, j = frequent[row], frequent[column]
            color = "white" if shares[k, j] > 0.5 else "black"
            axes.text(column, row, f"{counts[k, j]}", ha="center", va="center", color=color, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("expected")
    if len(frequent) < len(labels):
        axes.set_title(f"the {len(frequent)} most frequent of {len(labels)} labels", fontsize=8)
    return _saved(axes, path)


def plot_reliability(bins: dict[str, Any], path: Any = None) -> Figure:
    """Draws how often answers are right against how sure they are: a reliability diagram for each name.

    The bars are the share of right answers in each bin of confidence, on the diagonal if these are as sure as they are
    right; the line is the share of all answers that are in the bin.

    Args:
        bins: A dict, name -> `Reliability` (`seq_models.tasks.calibration`), not empty.
        path: As in `plot_gradient_flow`.
    Raises:
        ValueError: If `bins` is empty.
    """
    if not bins:
        raise ValueError(f"bins must hold at least one Reliability. Received: bins={bins!r}")
    figure = Figure(figsize=(4 * len(bins), 4), dpi=100, layout="constrained")
    every: list[Axes] = list(figure.subplots(1, len(bins), squeeze=False, sharey=True)[0])
    for axes, (name, each) in zip(every, bins.items(), strict=True):
        M = len(each.weights)
        there = each.weights > 0
        middles, width = (np.arange(M) + 0.5) / M, 1 / M
        accuracy = np.divide(each.right, each.weights, out=np.zeros(M), where=there)
        axes.bar(middles[there], accuracy[there], 0.9 * width, color="C0", alpha=0.7, label="right answers")
        axes.stairs(each.weights / each.weights.sum(), np.arange(M + 1) / M, color="C1", label="share of all answers")
        axes.plot([0, 1], [0, 1], "--", color="0.3", linewidth=1)
        axes.set_title(f"{name}: ECE {100 * each.ece:.2f} %", fontsize=10)
        axes.set_xlabel("confidence")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.spines[["top", "right"]].set_visible(False)
    every[0].set_ylabel("accuracy")
    every[0].legend(loc="upper left", frameon=False, fontsize=8)
    return _saved(every[0], path)


def _grid(values, rows, columns, numbers, axes):
    """Values in [0, 1] as a grid of squares with names on both sides, some of them as numbers; returns the Axes."""
    if axes is None:
        axes = _axes_beside(list(_labels(rows, numbers)), list(_labels(columns, numbers)))
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
    text = {"fontfamily": families([*columns, *rows]), "fontsize": 8, "parse_math": False}
    axes.set_xticks(range(len(columns)), list(_labels(columns, numbers)), rotation=90, **text)
    axes.set_yticks(range(len(rows)), list(_labels(rows, numbers)), **text)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return axes


def _axes_beside(rows, columns):
    """Axes of a new Figure with room for names: a layout that matplotlib finds takes longer than all the drawing."""
    width, height = (CELL * max(len(names), 4) for names in (columns, rows))
    left, bottom = (AROUND + LETTER * max(map(cell_len, names)) for names in (rows, columns))
    size = left + width + AROUND, bottom + height + AROUND
    figure = Figure(figsize=size, dpi=100)
    return figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))


def _saved(axes, path):
    if path is not None:
        axes.figure.savefig(path)
    return axes.figure


def _labels(names, numbers):
    """Names as they can be drawn: cut, one that no font has as its number, an invisible character as its code."""
    for name in names:
        shown = f"#{numbers[name]}" if name in numbers else shortened(name, LONGEST_LABEL)
        yield "".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in shown)


def _draw(axes, name, flow, color):
    axes.plot(flow.distances, flow.mean, color=color, label=name)
    if flow.cell_norms is not None:
        axes.plot(flow.distances, flow.cell_mean, ":", color=color, label=f"{name}, {C_BY_C}")
    if flow.bound is not None:
        axes.plot(flow.distances, flow.bound, "--", color=color, linewidth=1, alpha=0.7, label=f"{name}, bound")


def _range(flows):
    """Of the vertical axis: all norms from FLOOR to CEILING; a bound may leave the picture at its top."""
    lines = [line for flow in flows for line in (flow.mean, flow.cell_mean) if line is not None]
    norms = np.clip(np.concatenate(lines), FLOOR, CEILING)
    return norms.min() / 3, norms.max() * 3
