"""The three units as loops over rows and steps, in float64 NumPy: an independent reading of the papers.

Nothing of this project and nothing of Keras is imported here. One step works on one row: x is a vector (D,), each state
a vector (H,). Weights come packed as `keras.layers` packs them and are taken apart gate by gate, so that a step reads
as the equations do.

References:
    [1] Elman 1990, Finding Structure in Time; Jurafsky and Martin, Speech and Language Processing, section 8.1.
    [2] Gers, Schmidhuber and Cummins 2000, Learning to Forget: the LSTM with a forget gate.
    [3] Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder, section 2.3: equations 5 to 8.
    [4] Chung et al. 2014, Empirical Evaluation of Gated Recurrent Neural Networks, section 3.2: h' = (1 - z) h + z n.
"""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def relu(a):
    return np.maximum(a, 0)


def linear(a):
    return a


def hard_sigmoid(a):
    return np.clip(a / 6 + 0.5, 0, 1)


def by_gate(weight, gates):
    """The parts of a packed weight, each with H columns."""
    H = weight.shape[-1] // gates
    return [weight[..., k * H : (k + 1) * H] for k in range(gates)]


def simple_rnn_step(x, states, weights, g=np.tanh):
    """h' = g(W x + U h + b) [1]."""
    W, U, b = weights
    [h] = states
    return [g(W.T @ x + U.T @ h + b)]


def lstm_step(x, states, weights, g=np.tanh, gate=sigmoid):
    """Packed input gate, forget gate, candidate, output gate; states [h, c] [2]."""
    W_i, W_f, W_c, W_o = by_gate(weights[0], 4)
    U_i, U_f, U_c, U_o = by_gate(weights[1], 4)
    b_i, b_f, b_c, b_o = by_gate(weights[2], 4)
    h, c = states
    i = gate(W_i.T @ x + U_i.T @ h + b_i)
    f = gate(W_f.T @ x + U_f.T @ h + b_f)
    o = gate(W_o.T @ x + U_o.T @ h + b_o)
    c_new = f * c + i * g(W_c.T @ x + U_c.T @ h + b_c)
    return [o * g(c_new), c_new]


def gru_step(x, states, weights, g=np.tanh, gate=sigmoid, reset_after=True, update_takes_candidate=False):
    """Packed update gate z, reset gate r, candidate n; states [h].

    Args:
        reset_after: n = g(W x + b + r (U h + b')), with b and b' the two rows of the bias; else
            n = g(W x + U (r h) + b) [3].
        update_takes_candidate: h' = (1 - z) h + z n [4]; else h' = z h + (1 - z) n [3].
    """
    W_z, W_r, W_n = by_gate(weights[0], 3)
    U_z, U_r, U_n = by_gate(weights[1], 3)
    rows = weights[2] if reset_after else np.stack([weights[2], np.zeros_like(weights[2])])
    b_z, b_r, b_n = by_gate(rows[0], 3)
    d_z, d_r, d_n = by_gate(rows[1], 3)
    [h] = states
    z = gate(W_z.T @ x + b_z + U_z.T @ h + d_z)
    r = gate(W_r.T @ x + b_r + U_r.T @ h + d_r)
    if reset_after:
        n = g(W_n.T @ x + b_n + r * (U_n.T @ h + d_n))
    else:
        n = g(W_n.T @ x + b_n + U_n.T @ (r * h))
    return [(1 - z) * h + z * n] if update_takes_candidate else [z * h + (1 - z) * n]


def run(step, x, states, weights, mask=None, go_backwards=False, zero_output_for_mask=False):
    """Runs a step over sequences, row by row.

    Args:
        step: One of the functions above.
        x: (B, T, D). states: list of (B, H). weights: list of arrays. mask: (B, T), True on real tokens.
        go_backwards: Read from the end; outputs come in the order in which they were made.
        zero_output_for_mask: On a padded step the output is zeros; else it is the output before, zeros at first.
    Returns:
        (outputs (B, T, H), list of the last states (B, H)). On a padded step the states do not change.
    """
    B, T, _ = x.shape
    outputs = np.zeros((B, T, states[0].shape[1]))
    last = [np.array(state, "float64") for state in states]
    for row in range(B):
        now = [state[row] for state in states]
        output = np.zeros(states[0].shape[1])
        for made, t in enumerate(reversed(range(T)) if go_backwards else range(T)):
            if mask is None or mask[row, t]:
                now = step(x[row, t], now, weights)
                output = outputs[row, made] = now[0]
            elif not zero_output_for_mask:
                outputs[row, made] = output
        for state, value in zip(last, now, strict=True):
            state[row] = value
    return outputs, last


def finite_differences(function, arrays, epsilon=1e-5):
    """The gradient of a scalar `function(*arrays)` by central differences: one array for each array."""
    arrays = [np.array(array, "float64") for array in arrays]
    gradients = [np.zeros_like(array) for array in arrays]
    for array, gradient in zip(arrays, gradients, strict=True):
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + epsilon
            above = function(*arrays)
            array[index] = value - epsilon
            below = function(*arrays)
            array[index] = value
            gradient[index] = (above - below) / (2 * epsilon)
    return gradients
