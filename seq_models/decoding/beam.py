"""Beam search: the best texts that are found when the K most probable beginnings are followed at each step.

The K beams of B rows are numbered 0 … N - 1, N = B K, those of a row one after the other. A network steps those that
still go on, as it steps any rows. Of each step the tokens are kept, and the beams that these went on with: texts are
read back along them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from seq_models.decoding.generation import Ids, Step, forbid
from seq_models.decoding.sampling import LOW, Change
from seq_models.layers.tensors import Tensor

Penalty = Callable[[Tensor], Tensor]
Changes = Callable[[Callable[[Tensor], Tensor]], Sequence[Change]]
LEAST = 1e-10  # attention to a source step of which there is a logarithm


def gnmt(alpha: float) -> Penalty:
    """lp(n) = (5 + n)^α / (5 + 1)^α for a text of n tokens, α ≥ 0 [1, equation 14]; with 0 texts are not penalized.

    References:
        [1] Wu et al. 2016, arXiv:1609.08144.
    """
    return lambda length: ((5.0 + length) / 6.0) ** alpha


def average(alpha: float) -> Penalty:
    """lp(n) = n^α for a text of n tokens, α ≥ 0; with 1 texts are ranked by the mean log probability of a token."""
    return lambda length: length**alpha


UNPENALIZED = gnmt(0.0)
LENGTH_PENALTIES: dict[str, Callable[[float], Penalty]] = {"gnmt": gnmt, "average": average}


class Attention(NamedTuple):
    """Where a network looks, for a coverage penalty and for `Hypotheses.attended`.

    Attributes:
        of: `of(states) -> weights (B, S)` of the step that the states come from.
        mask: Booleans (B, S), True on real source steps.
        coverage: β ≥ 0 in the coverage penalty cp = β Σ_s log min(Σ_t α_ts, 1) [1, equation 14]; a sum counts as 1e-10
            at least.
    References:
        [1] Wu et al. 2016, arXiv:1609.08144.
    """

    of: Callable[[Any], Tensor]
    mask: Tensor
    coverage: float = 0.0


class Hypotheses(NamedTuple):
    """The n best texts of each row, the best one first.

    Attributes:
        tokens: Ids (B, n, L), 0 after the end.
        lengths: Integers (B, n), the end token included.
        log_p: The log probability of each, floats (B, n).
        scores: What they are ranked by, floats (B, n); -inf where a row has no more texts, and the rest is then 0.
        attended: The source step with the largest weight as each token was chosen (B, n, L); None without attention.
    """

    tokens: Tensor
    lengths: Tensor
    log_p: Tensor
    scores: Tensor
    attended: Tensor | None


class Beams(NamedTuple):
    """Beginnings of texts, all with the same number of tokens but for those that have ended. N = B K."""

    log_p: Tensor  # (N,), -inf where there is none
    lengths: Tensor  # (N,)
    finished: Tensor  # (N,)
    tokens: Tensor  # (L, N), chosen at each step
    parents: Tensor  # (L, N), the beam that this went on with
    looked: tuple[Tensor, ...]  # argmax_s α_ts (L, N), and Σ_t α_ts (N, S), on padding 1; or nothing

    @property
    def live(self) -> Tensor:
        """Which of them go on (N,)."""
        return ops.logical_and(self.log_p > LOW, ops.logical_not(self.finished))


def beam_search(
    step: Step,
    first: Tensor,
    states: Any,
    end: int,
    max_length: int | Tensor,
    width: int,
    best: int = 1,
    length_penalty: Penalty = UNPENALIZED,
    forbidden: Ids = (),
    changes: Changes | None = None,
    prefix: Tensor | None = None,
    attention: Attention | None = None,
) -> Hypotheses:
    """Follows the K most probable beginnings of each row; one that ends is kept, and one fewer goes on [1].

        score(y) = log P(y) / lp(|y|) + cp(y)           [2, equation 14]

    Beginnings are compared by log P and texts by their score. A row has come to its end when all its beams have, or no
    live one can become one of the `best`: log P only falls, lp does not and cp is at most 0, so the score that a
    beginning can still reach is at most log P / lp(max_length). A row does not depend on the rows beside it, and with
    K = 1 it is that of `generate` with `greedy`.

    Args:
        step, first, states, end, max_length, forbidden: As of `generate`.
        width: K, a positive integer.
        best: n, how many texts of each row are wanted, at most K.
        length_penalty: lp, of floats, which must not fall: see `LENGTH_PENALTIES`.
        changes: `changes(of)` gives those of `generate` for some beams, where `of` takes values of the rows (B, …) to
            those of the beams. They take tokens away, those whose logits become -inf; nothing else that they change
            counts. What they look at, `tokens`, is read back for them at every step.
        prefix: What a text begins with, ids (B, P), 0 beyond a row's; no token of it is forbidden.
        attention: See `Attention`.
    Returns:
        `Hypotheses`; a text of `max_length` tokens may have no end token.
    References:
        [1] Sutskever, Vinyals and Le 2014, section 3.2, arXiv:1409.3215. [2] Wu et al. 2016, arXiv:1609.08144.
    """
    B, K = ops.shape(first)[0], width
    limits = ops.broadcast_to(ops.cast(max_length, "int32"), (B,))
    L = max_length if isinstance(max_length, int) else ops.max(limits, initial=0)
    limits, beta = ops.repeat(limits, K), 0.0 if attention is None else attention.coverage

    def possible(t, beams, live, logits):
        """Logits (R, V) of live beams -> those that have a part in a probability, and those that can be chosen."""

        def of(values):
            return ops.take(values, live // K, axis=0)

        logits = ops.cast(logits, "float32")
        left = chosen = forbid(logits, forbidden)
        if prefix is not None:
            forced = of(_column(prefix, t))[:, None]  # (R, 1), 0 for none
            is_forced = ops.logical_and(ops.arange(logits.shape[-1]) == forced, forced > 0)
            left = chosen = ops.where(is_forced, logits, left)
        if changes is not None:
            before = ops.transpose(_along(beams.tokens, ways_back(beams.parents, live, t)))  # (R, L)
            for change in changes(of):
                chosen = change(chosen, t, before)
        if prefix is not None:
            chosen = ops.where(forced > 0, ops.where(is_forced, left, LOW), chosen)
        return left, chosen

    def advance(t, beams, live, before, logits, states):
        number = ops.scatter(live[:, None], ops.arange(ops.shape(live)[0]), (B * K,))  # of a live beam among them
        candidates = most_probable(*possible(t, beams, live, logits), K)
        tokens, log_p = (ops.take(each, number, axis=0) for each in candidates)
        alpha = () if attention is None else ops.take(attention.of(states), number, axis=0)  # (N, S)
        after = extend(t, beams, tokens, log_p, alpha, limits, end, K)
        if best < K:
            after = without_hope(after, limits, best, length_penalty, beta, K)
        live = _going(after)
        origin = ops.take(number, ops.take(ops.take(after.parents, t, axis=0), live))
        as_many = ops.all(_count(beams, B, K) == _count(after, B, K))

        def follow(state, old):
            """A state of the beams that go on; what no step changes is the same for all beams of a row."""
            if state is old:
                return ops.cond(as_many, lambda: state, lambda: ops.take(state, origin, axis=0))
            return ops.take(state, origin, axis=0)

        return (t + 1, after, live, *map(follow, keras.tree.flatten(states), keras.tree.flatten(before)))

    def unfinished(t, beams, *_):
        return ops.logical_and(t < L, ops.any(beams.live))

    def go_on(t, beams, live, *flat):
        tokens = ops.take(ops.take(beams.tokens, t - 1, axis=0), live)
        before = keras.tree.pack_sequence_as(states, list(flat))
        return advance(t, beams, live, before, *step(tokens, before))

    beams = _nothing(B, K, L, attention)
    live = _going(beams)
    of_live = keras.tree.map_structure(lambda x: ops.take(x, live // K, axis=0), (first, states))
    steps, beams, *_ = ops.while_loop(unfinished, go_on, advance(0, beams, live, of_live[1], *of_live))
    return _best_of(beams, steps, best, length_penalty, beta, K)


def most_probable(possible: Tensor, chosen: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k most probable tokens of each row, and their log probabilities, both (R, k), or (R, V) where V < k.

    Args:
        possible: Logits (R, V) whose softmax is the probability.
        chosen: The same, but -inf where a token cannot be chosen.
    """
    V = possible.shape[-1]
    values, tokens = largest(chosen, min(k, V))
    best = tokens[:, :1] if chosen is possible else ops.argmax(possible, axis=1, keepdims=True)

    def of(x, tokens):
        return ops.reshape(ops.take(ops.reshape(x, (-1,)), _places(tokens, V)), ops.shape(tokens))

    # From the most probable token on: a softmax is one operation, and log Σ exp is many.
    log_p = of(possible, tokens) - of(possible, best) + ops.log(of(ops.softmax(possible), best))
    return tokens, ops.where(values > LOW, log_p, LOW)


def largest(x: Tensor, k: int, block: int = 64) -> tuple[Tensor, Tensor]:
    """`ops.top_k` of (R, V), which are all in those k blocks whose largest values are the largest.

    To look for the largest value of each block costs a fraction of what keeping k of them as one goes on does.
    """
    R, V = ops.shape(x)[0], x.shape[-1]
    n = -(-V // block)
    if n <= k:
        values, places = ops.top_k(x, k)
        return values, ops.cast(places, "int32")
    if n * block > V:
        x = ops.pad(x, [[0, 0], [0, n * block - V]], constant_values=LOW)
    _, blocks = ops.top_k(ops.max(ops.reshape(x, (R, n, block)), axis=2), k)  # (R, k)
    blocks = ops.sort(ops.cast(blocks, "int32"), axis=1)  # of equal values the first one comes first
    found = ops.take(ops.reshape(x, (R * n, block)), _places(blocks, n), axis=0)  # (R k, block)
    values, places = ops.top_k(ops.reshape(found, (R, k * block)), k)
    places = ops.cast(places, "int32")
    inside = ops.take(ops.reshape(blocks, (-1,)), _places(places // block, k))
    return values, ops.reshape(inside, (R, k)) * block + places % block


def extend(
    t: Tensor, beams: Beams, tokens: Tensor, log_p: Tensor, alpha: Any, limits: Tensor, end: int, K: int
) -> Beams:
    """The beams after step t: those that have ended, and of all others with one token more the most probable ones.

    Args:
        tokens, log_p: Candidates of each beam and their log probabilities (N, k).
        alpha: Attention weights (N, S), or ().
        limits: The largest number of tokens (N,).
    """
    N, k = ops.shape(tokens)[0], tokens.shape[1]
    B = N // K
    # A beam that has ended has one candidate, itself, which is kept whatever the others are.
    ended, itself = beams.finished[:, None], ops.arange(k) == 0
    tokens = ops.where(ended, 0, tokens)
    log_p = beams.log_p[:, None] + ops.where(ended, ops.where(itself, 0.0, LOW), log_p)
    order = ops.where(ops.logical_and(ended, itself), -LOW, log_p)
    places = _places(ops.top_k(ops.reshape(order, (B, K * k)), K)[1], K * k)  # (N,)
    parents = places // k
    tokens, log_p = (ops.take(ops.reshape(each, (-1,)), places) for each in (tokens, log_p))
    finished, lengths = (ops.take(each, parents) for each in (beams.finished, beams.lengths))
    ends = ops.logical_and(ops.logical_or(tokens == end, t + 1 >= limits), log_p > LOW)
    now = ops.arange(ops.shape(beams.tokens)[0])[:, None] == t  # (L, 1)
    looked = beams.looked
    if looked:
        attended, coverage = looked
        alpha = ops.where(ended, 0.0, ops.cast(alpha, "float32"))
        attended = ops.where(now, ops.take(ops.cast(ops.argmax(alpha, axis=1), "int32"), parents), attended)
        coverage = coverage + alpha
        looked = attended, ops.take(coverage, parents, axis=0)
    return Beams(
        log_p=log_p,
        lengths=lengths + ops.cast(ops.logical_not(finished), "int32"),
        finished=ops.logical_or(finished, ends),
        tokens=ops.where(now, tokens, beams.tokens),
        parents=ops.where(now, parents, beams.parents),
        looked=looked,
    )


def ways_back(parents: Tensor, last: Tensor, steps: int | Tensor) -> Tensor:
    """The beams that some beams after so many steps, (M,), went on with: (L, M), at each step."""
    positions = ops.arange(ops.shape(parents)[0])[:, None]

    def back(t, beams, ways):
        return t - 1, ops.take(ops.take(parents, t, axis=0), beams), ops.where(positions == t, beams, ways)

    nowhere = ops.zeros((ops.shape(parents)[0], ops.shape(last)[0]), dtype="int32")
    return ops.while_loop(lambda t, *_: t >= 0, back, (steps - 1, last, nowhere))[2]


def scores_of(beams: Beams, length_penalty: Penalty, beta: float) -> Tensor:
    """log P / lp + cp of the beams that have ended (N,), -inf of the others."""
    scores = beams.log_p / length_penalty(ops.cast(beams.lengths, "float32"))
    if beta:
        scores = scores + beta * ops.sum(ops.log(ops.clip(beams.looked[1], LEAST, 1.0)), axis=1)
    return ops.where(beams.finished, scores, LOW)


def without_hope(beams: Beams, limits: Tensor, best: int, length_penalty: Penalty, beta: float, K: int) -> Beams:
    """The beams without the live ones of each row none of which can become one of the best any more."""

    def of_rows(x):
        return ops.reshape(x, (-1, K))

    scores = of_rows(scores_of(beams, length_penalty, beta))
    reachable = of_rows(ops.where(beams.live, beams.log_p / length_penalty(ops.cast(limits, "float32")), LOW))
    hope = ops.max(reachable, axis=1, keepdims=True) > ops.top_k(scores, best)[0][:, -1:]  # (B, 1)
    kept = ops.logical_or(of_rows(beams.finished), hope)
    return beams._replace(log_p=ops.where(ops.reshape(kept, (-1,)), beams.log_p, LOW))


def _best_of(beams, steps, n, length_penalty, beta, K):
    """The n best texts of each row after so many steps."""
    scores, places = ops.top_k(ops.reshape(scores_of(beams, length_penalty, beta), (-1, K)), n)  # (B, n)
    B, L = ops.shape(scores)[0], ops.shape(beams.tokens)[0]
    last, real = _places(places, K), scores > LOW
    ways = ways_back(beams.parents, last, steps)

    def texts(written):
        return ops.where(real[:, :, None], ops.reshape(ops.transpose(_along(written, ways)), (B, n, L)), 0)

    lengths, log_p = (ops.where(real, ops.reshape(ops.take(x, last), (B, n)), 0) for x in (beams.lengths, beams.log_p))
    attended = texts(beams.looked[0]) if beams.looked else None
    return Hypotheses(texts(beams.tokens), lengths, log_p, scores, attended)


def _nothing(B, K, L, attention):
    """The beams before the first step: of each row one beginning with nothing in it, and none beside it."""
    nowhere, empty = ops.zeros((L, B * K), dtype="int32"), ops.zeros((B * K,), dtype="int32")
    log_p = ops.where(ops.arange(B * K) % K == 0, 0.0, LOW)
    looked: tuple[Tensor, ...] = ()
    if attention is not None:
        looked = nowhere, ops.repeat(1.0 - ops.cast(attention.mask, "float32"), K, axis=0)
    return Beams(log_p, empty, ops.cast(empty, "bool"), nowhere, nowhere, looked)


def _going(beams):
    """The numbers of the beams that go on (R,); of all where a compiler must know beforehand how many there are."""
    if keras.backend.backend() == "jax":
        return ops.arange(beams.live.shape[0], dtype="int32")
    return ops.cast(ops.nonzero(beams.live)[0], "int32")


def _count(beams, B, K):
    """How many beams of each row go on (B,)."""
    return ops.sum(ops.cast(ops.reshape(beams.live, (B, K)), "int32"), axis=1)


def _places(columns, width):
    """Columns of each row (B, n) -> places in all rows of a width, one after the other (B n,)."""
    rows = ops.arange(ops.shape(columns)[0], dtype="int32")[:, None] * width
    return ops.reshape(rows + ops.cast(columns, "int32"), (-1,))


def _along(written, ways):
    """What beams (L, N) have on ways (L, M) -> (L, M)."""
    L, N = ops.shape(written)
    return ops.take(ops.reshape(written, (-1,)), ops.arange(L, dtype="int32")[:, None] * N + ways)


def _column(prefix, t):
    """The token of a prefix (B, P) at t (B,), 0 after it."""
    padded = ops.pad(prefix, [[0, 0], [0, 1]])
    return ops.take(padded, ops.minimum(t, ops.shape(prefix)[1]), axis=1)
