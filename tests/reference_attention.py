"""Attention and the attention decoder as loops over rows and steps, in float64 NumPy: an independent reading of [1].

Nothing of this project and nothing of Keras is imported here. q is a vector (Q,), e the source steps of one row (S, D).

References:
    [1] Jurafsky and Martin, Speech and Language Processing, section 8.8; Bahdanau, Cho and Bengio 2015, appendix A.1.2;
        Luong, Pham and Manning 2015, equation 8.
"""

import numpy as np


def additive_score(q, e_j, weights, more=0.0):
    """u · tanh(W q + U e_j + b + more)."""
    W, U, b, u = weights
    return float(u[:, 0] @ np.tanh(W.T @ q + U.T @ e_j + b + more))


def bilinear_score(q, e_j, weights, more=0.0):
    """q W (e_j + more)."""
    [W], key = weights, e_j + more
    return float(sum(q[i] * W[i, k] * key[k] for i in range(len(q)) for k in range(len(key))))


def dot_score(q, e_j, weights, more=0.0):
    """q · (e_j + more)."""
    return float(sum(a * b for a, b in zip(q, e_j + more, strict=True)))


def scaled_dot_score(q, e_j, weights, more=0.0):
    """q · (e_j / √D + more)."""
    return dot_score(q, e_j / len(e_j) ** 0.5, weights, more)


def attend(score, q, e, weights, real=None, more=None):
    """One row: (context (D,), weights (S,)). The softmax runs over the real steps only; without any, all is 0.

    Args:
        more: Of each step what comes to its key, as score(q, e_j, weights, more_j) has it, or None.
    """
    real = [True] * len(e) if real is None else real
    more = [0.0] * len(e) if more is None else more
    powers = {j: np.exp(score(q, e[j], weights, more[j])) for j in range(len(e)) if real[j]}
    alpha = np.array([powers.get(j, 0) / sum(powers.values()) if powers else 0.0 for j in range(len(e))])
    return sum(alpha[j] * e[j] for j in range(len(e))), alpha


def decode(cells, score, y, e, states, attention_weights, mask=None, feeding=None, covering=None):
    """Teacher forcing, row by row.

    Args:
        cells: For each layer, (step of `reference`, its weights).
        y: Embedded tokens before (B, T, D). e: source steps (B, S, M). mask: (B, S), True on real source steps.
        states: For each layer a list of (B, H), h first.
        feeding: W_r (H + M, E) of input feeding (Luong, section 3.3), or None: x_t = [y; a; c] with the a before.
        covering: w of coverage, or None: the key of e_j is that without it plus w times the weights that j got before.
    Returns:
        (outputs [h_t; c_t] (B, T, H + M), or with input feeding a_t = tanh([h_t; c_t] W_r) (B, T, E);
        weights (B, T, S)).
    """
    outputs, alphas = [], []
    for row in range(len(y)):
        now = [[state[row] for state in layer] for layer in states]
        fed = np.zeros(0 if feeding is None else feeding.shape[1])
        covered = np.zeros(len(e[row]))
        for t in range(y.shape[1]):
            h_before = now[-1][0]
            real = None if mask is None else mask[row]
            more = None if covering is None else [covering * each for each in covered]
            context, alpha = attend(score, h_before, e[row], attention_weights, real, more)
            covered = covered + alpha
            x = np.concatenate([y[row, t], fed, context])
            for k, (step, weights) in enumerate(cells):
                now[k] = step(x, now[k], weights)
                x = now[k][0]
            output = np.concatenate([x, context])
            if feeding is not None:
                output = fed = np.tanh(output @ feeding)
            outputs.append(output)
            alphas.append(alpha)
    shape = y.shape[:2]
    return np.reshape(outputs, (*shape, -1)), np.reshape(alphas, (*shape, -1))
