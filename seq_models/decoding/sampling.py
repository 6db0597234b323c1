"""Sampling from a temperature-scaled softmax."""

from collections.abc import Callable

from keras import ops

from seq_models.layers.tensors import Tensor


def sampler(uniform: Tensor, temperature: float | Tensor = 1.0) -> Callable[[Tensor, Tensor], Tensor]:
    """A `choose` for `generate`: the token whose share of softmax(logits / temperature) the random number falls in.

    All random numbers are drawn before the loop, so a seed gives the same text on every backend and in an export.

    Args:
        uniform: Random numbers in [0, 1), floats (B, L): one for each row and step.
        temperature: τ > 0, a number or a tensor (B, 1); below 1 prefers probable tokens, towards 0 it is greedy.
    Raises:
        ValueError: If `temperature` is a number that is not positive.
    """
    if isinstance(temperature, int | float) and not temperature > 0:
        raise ValueError(f"temperature must be positive. Received: temperature={temperature!r}")

    def choose(logits, t):
        shares = ops.cumsum(ops.softmax(ops.cast(logits, "float32") / temperature), axis=-1)  # (B, V), ends at 1
        all_shares = shares[:, -1:]  # 1 but for rounding: a token at which it is reached is not below the number
        number = ops.cast(ops.take(uniform, t, axis=1), "float32")[:, None] * all_shares
        below = ops.logical_and(shares <= number, shares < all_shares)
        return ops.sum(ops.cast(below, "int32"), axis=-1)

    return choose
