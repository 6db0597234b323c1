"""Choosing the next token: changes to its logits, one after the other, and a draw from what is left.

    change(logits, t, tokens) -> logits         logits (B, V); tokens (B, L), the first t of which are chosen

The order of the field is `repetition_penalty`, `min_length`, `temperature`, `top_k`, `top_p`, then `sampler`. An option
is a value for each row; where no row asks for one, its change costs nothing. KerasHub's samplers have options for a
whole batch only, and they own the loop, its cache and a random state, which an export would carry from call to call.
"""

import math
from collections.abc import Callable

from keras import ops

from seq_models.layers.tensors import Tensor

Change = Callable[[Tensor, Tensor, Tensor], Tensor]
LOW = -math.inf  # a logit that nothing chooses, whatever it is multiplied by


def greedy(logits: Tensor, t: Tensor) -> Tensor:  # noqa: ARG001
    """The most probable token."""
    return ops.argmax(logits, axis=-1)


def sampler(uniform: Tensor, sampled: Tensor | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    """A `choose` for `generate`: the token whose share of softmax(logits) the random number falls in.

    All random numbers are drawn before the loop, so a seed gives the same text on every backend and in an export, and a
    row does not depend on the rows beside it.

    Args:
        uniform: Random numbers in [0, 1), floats (B, L): one for each row and step.
        sampled: Booleans (B,): where False the most probable token is chosen.
    """

    def draw(logits, t):
        logits = ops.cast(logits, "float32")
        weights = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
        shares = ops.cumsum(weights, axis=-1)  # (B, V)
        total = shares[:, -1:]  # a token at which it is reached is not below the number
        number = ops.cast(ops.take(uniform, t, axis=1), "float32")[:, None] * total
        below = ops.logical_and(shares <= number, shares < total)
        return ops.sum(ops.cast(below, "int32"), axis=-1)

    if sampled is None:
        return draw
    any_sampled, any_greedy = ops.any(sampled), ops.logical_not(ops.all(sampled))

    def choose(logits, t):
        none = lambda: ops.zeros(ops.shape(sampled), dtype="int32")  # noqa: E731
        drawn = ops.cond(any_sampled, lambda: draw(logits, t), none)
        best = ops.cond(any_greedy, lambda: ops.cast(greedy(logits, t), "int32"), none)
        return ops.where(sampled, drawn, best)

    return choose


def temperature(tau: Tensor) -> Change:
    """logits / τ, τ > 0 floats (B,): below 1 prefers probable tokens, towards 0 it is greedy. 0 changes nothing."""
    divisor = ops.where(tau > 0, tau, ops.ones_like(tau))[:, None]

    def change(logits, t, tokens):  # noqa: ARG001
        # From the largest one on, which stays finite however small τ is.
        return (logits - ops.max(logits, axis=-1, keepdims=True)) / divisor

    return _where_any(ops.logical_and(tau > 0, tau != 1), change)


def top_k(k: Tensor) -> Change:
    """The k most probable tokens alone, k integers (B,) [1]; 0 for all. What is as probable as the last one stays, too.

    References:
        [1] Fan, Lewis and Dauphin 2018, Hierarchical Neural Story Generation, section 5.1.
    """

    def change(logits, t, tokens):  # noqa: ARG001
        V = logits.shape[-1]
        asked = ops.where(k > 0, ops.minimum(k, V), V)
        most = ops.max(ops.where(k > 0, asked, 1))  # how many need be sorted
        best, _ = ops.top_k(logits, most)  # (B, most)
        last = ops.take_along_axis(best, ops.minimum(asked, most)[:, None] - 1, axis=1)
        return _only(ops.logical_or(logits >= last, (k <= 0)[:, None]), logits)

    return _where_any(k > 0, change)


def top_p(p: Tensor) -> Change:
    """The fewest most probable tokens that have at least p together, floats (B,) above 0 to 1 [1]; 1 for all.

    What is as probable as the last one of them stays, too.

    References:
        [1] Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, section 3.1.
    """

    def change(logits, t, tokens):  # noqa: ARG001
        ordered, _ = ops.top_k(logits, logits.shape[-1])  # (B, V), all of them
        probabilities = ops.softmax(ordered)
        before = ops.cumsum(probabilities, axis=-1) - probabilities
        before = ops.concatenate([ops.zeros_like(before[:, :1]), before[:, 1:]], axis=1)  # the first one stays
        last = ops.sum(ops.cast(before < p[:, None], "int32"), axis=1, keepdims=True) - 1
        kept = ops.logical_or(logits >= ops.take_along_axis(ordered, last, axis=1), (p >= 1)[:, None])
        return _only(kept, logits)

    return _where_any(p < 1, change)


def repetition_penalty(penalty: Tensor, prompt: Tensor) -> Change:
    """Lowers what is in the text already: x / θ, or x θ where x < 0, for a θ > 1 [1, section 4.1].

    The paper divides whatever the sign is, which would raise negative logits; implementations since multiply these.

    Args:
        penalty: θ > 0, floats (B,); 1 changes nothing.
        prompt: Ids of what was there before the first chosen token (B, T), 0 for none.
    References:
        [1] Keskar et al. 2019, CTRL: A Conditional Transformer Language Model for Controllable Generation.
    """

    def change(logits, t, tokens):  # noqa: ARG001
        V = logits.shape[-1]
        there = ops.logical_or(_among(prompt, V), _among(tokens, V))
        theta = penalty[:, None]
        return ops.where(there, ops.where(logits < 0, logits * theta, logits / theta), logits)

    return _where_any(penalty != 1, change)


def min_length(length: Tensor, end: int) -> Change:
    """No `end` before a text has so many tokens, integers (B,), the end token included."""

    def change(logits, t, tokens):  # noqa: ARG001
        is_end = ops.arange(logits.shape[-1]) == end  # (V,)
        early = (t + 1 < length)[:, None]  # (B, 1)
        return ops.where(ops.logical_and(is_end, early), ops.cast(LOW, logits.dtype), logits)

    return _where_any(length > 1, change)


def no_repeat_ngram(n: int) -> Change:
    """No n tokens in a row that were chosen in that order before, n at least 1 [1, section 2.5].

    References:
        [1] Paulus, Xiong and Socher 2018, A Deep Reinforced Model for Abstractive Summarization (for n = 3).
    """

    def change(logits, t, tokens):
        T = ops.shape(tokens)[1]
        last = ops.take(tokens, ops.maximum(t - (n - 1) + ops.arange(n - 1), 0), axis=1)  # (B, n - 1)
        padded = ops.pad(tokens, [[0, 0], [0, n - 1]])
        again = ops.arange(T)[None] + n - 1 < t  # whether n tokens have been chosen from there on
        for place in range(n - 1):
            again = ops.logical_and(again, padded[:, place : place + T] == last[:, place : place + 1])
        would_be_again = ops.where(again, padded[:, n - 1 :], 0)  # (B, T)
        return _only(ops.logical_not(_among(would_be_again, logits.shape[-1])), logits)

    return change


def _where_any(asked: Tensor, change: Change) -> Change:
    """A change that is skipped where no row asks for it."""
    any_asked = ops.any(asked)
    return lambda logits, t, tokens: ops.cond(any_asked, lambda: change(logits, t, tokens), lambda: logits)


def _only(kept, logits):
    return ops.where(kept, logits, ops.cast(LOW, logits.dtype))


def _among(tokens, V):
    """Ids (B, T) -> which of V are among them (B, V); 0 is there or not, nothing chooses it."""
    B, T = ops.shape(tokens)
    rows = ops.broadcast_to(ops.arange(B)[:, None], (B, T))
    places = ops.stack([ops.reshape(rows, (-1,)), ops.reshape(tokens, (-1,))], axis=1)  # (B T, 2)
    return ops.scatter(places, ops.ones_like(places[:, 0]), (B, V)) > 0
