"""What is said of N hidden states over V classes, computed and differentiated in pieces of rows: nothing is (N, V).

The logits of a piece are made, used and forgotten; the gradient makes them again. Weights come as tensors, because a
loop that reads a variable runs in a graph even if nobody asks for what it gives.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from seq_models.layers.tensors import Tensor, Tensors

LOGITS = 2**24  # as many as are made at once
FEW = 1024  # classes, whose logits take no more than the hidden states of a few layers
NEVER = -1e9  # the logit of what is left out; finite, because infinity less infinity is no number


def precise(dtype: str) -> str:
    """A dtype of 32 bits at least, whatever the network calculates with."""
    return keras.backend.result_type(dtype, "float32")


def logits_of(h: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
    """h W + b of hidden states (..., H), with 32 bits at least."""
    logits = ops.matmul(h, W)
    logits = logits if b is None else logits + b
    return ops.cast(logits, precise(logits.dtype))


def by_size(hidden: Tensor, V: int, whole: Callable[[], Any], in_pieces: Callable[[], Any]) -> Any:
    """`whole()` if V logits of each of the hidden states (..., H) may be made at once, else `in_pieces()`."""
    fit = V <= FEW or math.prod(ops.shape(hidden)[:-1]) <= LOGITS // V
    if isinstance(fit, bool):
        return whole() if fit else in_pieces()
    return ops.cond(fit, whole, in_pieces)


def over_pieces(function: Callable[..., Tensor], V: int, dtype: str, *rows: Tensor) -> Tensor:
    """Numbers (N,) of a dtype, of rows (N, …), by a function of some rows that makes V logits of each.

    There is no gradient.
    """
    padded, n = _padded(V, *rows)
    total = ops.shape(padded[0])[0]

    def answer(start, answers):
        place = start + ops.arange(n, dtype="int32")
        some = ops.cast(function(*_at(place, padded)), dtype)  # (n,)
        return _after(start, some), ops.scatter_update(answers, place[:, None], some)

    first = ops.convert_to_tensor(0, "int32"), ops.zeros((total,), dtype)
    _, answers = ops.while_loop(lambda start, _: start < total, answer, first)
    return answers[: ops.shape(rows[0])[0]]


def log_sum_exp(h: Tensor, left_out: Tensor, classes: Tensor, weights: Tensors) -> Tensor:
    """log Σ_v exp(logits_v), for each row over all classes v but one.

    Args:
        h: Hidden states, floats (N, H).
        left_out: Integers (N,), the class that does not count.
        classes: Integers (V,), the class of each logit.
        weights: W (H, V), and b (V,) if there is one.
    Returns:
        Floats (N,), of 32 bits at least.
    """
    return ops.logsumexp(_others(h, left_out, classes, weights), axis=-1)


def log_sum_exp_in_pieces(h: Tensor, left_out: Tensor, classes: Tensor, weights: Tensors) -> Tensor:
    """`log_sum_exp`, with a gradient that makes the logits of each piece again."""
    (rows, without), _ = _padded(classes.shape[0], h, left_out)

    @ops.custom_gradient
    def log_sums(h, *weights):
        def log_sum(h, left_out):
            return log_sum_exp(h, left_out, classes, weights)

        sums = over_pieces(log_sum, classes.shape[0], precise(h.dtype), h, without)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream  # torch hands it over by name, after the arguments
            return _backward(h, (without, sums, upstream), classes, weights)

        return sums, gradient

    return log_sums(rows, *weights)[: ops.shape(h)[0]]


def _backward(h, rows, classes, weights):
    """Gradients by h, W and b of Σ upstream log_sum: that by the logits is their softmax times upstream."""
    (padded, n), W_turned = _padded(classes.shape[0], *rows), ops.transpose(weights[0])
    N = ops.shape(h)[0]

    def add(start, h_or_dh, *dweights):
        place = start + ops.arange(n, dtype="int32")
        h, left_out, log_sum, upstream = _at(place, [h_or_dh, *padded])
        dlogits = ops.exp(_others(h, left_out, classes, weights) - log_sum[:, None]) * upstream[:, None]  # (n, V)
        small = ops.cast(dlogits, h.dtype)
        dh = ops.matmul(small, W_turned)  # takes the place of h
        more = [ops.matmul(ops.transpose(h), small), ops.sum(dlogits, axis=0)]  # (H, V), (V,)
        sums = [dw + ops.cast(m, dw.dtype) for dw, m in zip(dweights, more, strict=False)]  # there may be no b
        return _after(start, dh), ops.scatter_update(h_or_dh, place[:, None], dh), *sums

    first = ops.convert_to_tensor(0, "int32"), h, *(ops.zeros(w.shape, precise(w.dtype)) for w in weights)
    _, dh, *dweights = ops.while_loop(lambda start, *_: start < N, add, first)
    return dh, *(ops.cast(dw, w.dtype) for dw, w in zip(dweights, weights, strict=True))


def _others(h, left_out, classes, weights):
    """Logits (n, V), that of the class that is left out so small that it counts nothing."""
    return ops.where(classes == left_out[:, None], NEVER, logits_of(h, *weights))


def _padded(V, *rows):
    """Rows (N, …) -> rows (P n, …), zeros beyond N, and n: P pieces of n rows, as few as there may be."""
    N, largest = ops.shape(rows[0])[0], max(LOGITS // V, 1)
    P = (N + largest - 1) // largest
    n = (N + P - 1) // P
    more = P * n - N
    return [ops.concatenate([r, ops.zeros((more, *r.shape[1:]), r.dtype)]) for r in rows], n


def _at(place, rows):
    return [ops.take(array, place, axis=0) for array in rows]


def _after(start, piece):
    """Where the next piece starts: counted by what is there, so that a graph does not begin it before."""
    return start + ops.shape(piece)[0]
