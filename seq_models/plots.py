"""Pictures of what a layer does, for a notebook or a file. They need only NumPy and matplotlib."""

import numpy as np
from matplotlib.figure import Figure

FLOOR, CEILING = 1e-12, 1e12  # of the vertical axis: beyond them a gradient has vanished or exploded
H_BY_H = r"$\Vert\partial h_T/\partial h_t\Vert$"
C_BY_C = r"$\Vert\partial c_T/\partial c_t\Vert$"


def plot_gradient_flow(flows, path=None, axes=None):
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
    if path is not None:
        axes.figure.savefig(path)
    return axes.figure


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
