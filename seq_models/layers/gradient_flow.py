"""How much of a gradient comes through: the Jacobians of the last state by the states of all steps before it."""

from typing import NamedTuple

import numpy as np
from keras import ops

from seq_models.layers.derivatives import lacking
from seq_models.layers.recurrent import Recurrent
from seq_models.layers.tensors import Tensor


class GradientFlow(NamedTuple):
    """Norms of the Jacobians of the last state by an earlier one, as `gradient_flow` returns them.

    The state of an LSTM is [h, c]. `norms` is ∂h_T/∂h_t with c_t held, `cell_norms` is ∂c_T/∂c_t with h_t held: two
    blocks of the Jacobian of [h_T, c_T] by [h_t, c_t]. The second holds the path that the cell was made for [1],

        ∂c_T/∂c_t = Π_{k=t+1}^{T} diag(f_k) + what goes through h,

    which stays near the identity while the forget gates are open.

    Attributes:
        distances: T - t, the steps that a gradient has gone back: 0, 1, …, T. Integers (T+1,).
        norms: ‖∂h_T/∂h_t‖₂ for each row and distance, floats (B, T+1).
        cell_norms: ‖∂c_T/∂c_t‖₂ of an LSTM, floats (B, T+1); None for a layer without cell state.
        bound: What no norm of a SimpleRNN exceeds, floats (T+1,); None for a layer with gates.
    References:
        [1] Hochreiter and Schmidhuber 1997, Long Short-Term Memory; Jurafsky and Martin, chapter 8.
    """

    distances: np.ndarray
    norms: np.ndarray
    cell_norms: np.ndarray | None
    bound: np.ndarray | None

    @property
    def mean(self) -> np.ndarray:
        """The geometric mean of `norms` over the rows, (T+1,)."""
        return _geometric_mean(self.norms)

    @property
    def cell_mean(self) -> np.ndarray | None:
        """The geometric mean of `cell_norms` over the rows, (T+1,), or None."""
        return None if self.cell_norms is None else _geometric_mean(self.cell_norms)


def gradient_flow(layer: Recurrent, sequences: Tensor) -> GradientFlow:
    """The norm of ∂h_T/∂h_t at every distance T - t: whether gradients vanish, explode or come through.

    Back-propagation through time [1] multiplies the Jacobians of all steps between t and T:

        ∂h_T/∂h_t = Π_{k=t+1}^{T} ∂h_k/∂h_{k-1}

    For h_k = g(x_k W + h_{k-1} U + b) each is diag(g') U', so a norm goes at most with a power of the distance [2]:

        ‖∂h_T/∂h_t‖₂ ≤ (‖U‖₂ max|g'|)^(T-t)                    `bound`

    Below 1 the gradient vanishes; above 1 it may explode. There is no such bound for gated cells: a step is a sum of a
    path through the gates and one past them (f in an LSTM, z in a GRU), and the slope of a gate is multiplied by the
    state, so that the weights alone do not tell how large a Jacobian can be.

    The states start from zeros, without dropout, and every step is a real one; the norm is the spectral one, the
    largest singular value. The Jacobians come from the derivatives that train the layer (`StepGradient`), one row of
    the identity for each unit, in float64, so that a vanished gradient is still seen. A norm beyond float64 is inf.

    Args:
        layer: A SimpleRNN, LSTM or GRU of this package, fresh or trained; it is built if it is not yet.
        sequences: Floats (B, T, D), T ≥ 1.
    Raises:
        ValueError: If `layer` is of another kind or has an activation without a known derivative, or if `sequences`
            has another shape.
    Example:
        >>> from keras import ops
        >>> from seq_models.layers import SimpleRNN
        >>> layer = SimpleRNN(2, activation="linear", recurrent_initializer="identity")
        >>> gradient_flow(layer, ops.ones((1, 3, 4))).norms.tolist()
        [[1.0, 1.0, 1.0, 1.0]]

    References:
        [1] Werbos 1990, Backpropagation Through Time; CS224n lecture notes V, section 1.
        [2] Pascanu, Mikolov and Bengio 2013, On the difficulty of training recurrent neural networks, section 2.1.
    """
    _check_layer(layer)
    sequences = ops.convert_to_tensor(sequences, dtype=layer.variable_dtype)
    _check_sequences(layer, sequences)
    if not layer.built:
        layer.build(sequences.shape)
    cell = layer.cell
    norms, *of_cell = [_norms(diagonal) for diagonal in _jacobians(cell, _projected(layer, sequences))]
    distances, steepest = np.arange(sequences.shape[1] + 1), cell.steepest()
    with np.errstate(over="ignore"):
        bound = None if steepest is None else steepest**distances
    return GradientFlow(distances, norms, of_cell[0] if of_cell else None, bound)


def _projected(layer, sequences):
    """W x + b of all steps in the order in which they are read, (T, B, G)."""
    turned = ops.transpose(sequences, (1, 0, 2))  # (T, B, D)
    return _double(layer.cell.project(ops.flip(turned, axis=0) if layer.go_backwards else turned))


def _jacobians(cell, projected):
    """∂h_T/∂h_t, and ∂c_T/∂c_t where there is a c, for the distances 0 to T: a list of T+1 arrays (B, H, H) each."""
    B, H = projected.shape[1], cell.units
    weights = [_double(w) for w in cell.recurrent_weights()]
    transposed = [ops.transpose(w) if len(w.shape) == 2 else w for w in weights]
    states, gates = _trajectory(cell, projected, weights)
    derivative, S = cell.gradient(), len(states[0])
    rows = np.tile(np.eye(S * H), (B, 1, 1))  # ∂s_T/∂s_T of the whole state s = [h] or [h, c], (B, S*H, S*H)
    by_state = [_double(rows[:, :, s * H : (s + 1) * H]) for s in range(S)]  # ∂s_T/∂h_t, ∂s_T/∂c_t: (B, S*H, H)
    trail = [by_state]
    for t in reversed(range(len(gates))):
        # (B, H) -> (B, 1, H): one step has the same derivative for every row of the Jacobians behind it.
        step = ([tensor[:, None] for tensor in tensors] for tensors in (gates[t], states[t], states[t + 1]))
        by_state, _ = derivative.back(by_state, *step, transposed, None)
        trail.append(by_state)
    return [[ops.convert_to_numpy(by[s][:, s * H : (s + 1) * H]) for by in trail] for s in range(S)]


def _trajectory(cell, projected, weights):
    """The states before the first step and after each, T+1 lists of (B, H), and the gates of each step, T lists."""
    states = [[_double(state) for state in cell.get_initial_state(projected.shape[1])]]
    gates = []
    for x in projected:
        after, opened = cell.step(x, states[-1], weights)
        states.append(after)
        gates.append(opened)
    return states, gates


def _norms(jacobians):
    """T+1 arrays (B, H, H) -> their largest singular values, (B, T+1)."""
    matrices = np.stack(jacobians, axis=1)
    finite = np.isfinite(matrices).all(axis=(-2, -1))
    norms = np.full(finite.shape, np.inf)
    norms[finite] = np.linalg.norm(matrices[finite], ord=2, axis=(-2, -1))
    return norms


def _geometric_mean(norms):
    with np.errstate(divide="ignore"):  # the logarithm of 0: a row through which nothing comes makes the mean 0
        return np.exp(np.log(norms).mean(axis=0))


def _double(tensor):
    return ops.cast(tensor, "float64")


def _check_layer(layer):
    if not isinstance(layer, Recurrent):
        expected = "layer must be a SimpleRNN, LSTM or GRU of seq_models.layers."
        raise ValueError(f"{expected} Received: layer={layer!r}")
    needed = lacking(layer.cell)
    if needed is not None:
        raise ValueError(f"layer must have {needed}")


def _check_sequences(layer, sequences):
    D = layer.cell.kernel.shape[0] if layer.built else "D"
    shape = tuple(sequences.shape)
    if len(shape) != 3 or shape[1] == 0 or D not in ("D", shape[2]):
        raise ValueError(f"sequences must have shape (B, T, {D}) with T ≥ 1. Received: sequences.shape={shape}")
