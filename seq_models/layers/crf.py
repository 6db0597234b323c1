"""A linear-chain conditional random field [1, 2]: tags y of a sentence x, each scored beside the one before it.

    score(y | x) = start[y_1] + Σ_t logits_t[y_t] + Σ_t transitions[y_{t-1}, y_t] + end[y_T]
    P(y | x) = exp score(y | x) / Σ_{y'} exp score(y' | x)

All that is asked of it goes through one recursion over time, from the last token to the first [3]:

    β_{t-1}[i] = ⊕_k transitions[i, k] + q_t[k]      q_t[k] = logits_t[k] + β_t[k]      β_T = end

β_t[i] sums up what may follow the tag i of token t: with ⊕ = log Σ exp the scores of all tags, with ⊕ = max the best
one. The chain can then be walked from its first token on, because after a tag i

    P(y_t = k | y_{t-1} = i, x) = softmax_k(transitions[i, k] + q_t[k])

is the derivative of β_{t-1}[i] by q_t[k] too: along these probabilities flow the gradient of β and the marginals, and
the log of one is the loss of its token. With ⊕ = max the best way is the one that follows the largest of them, and of
the ways that begin with some tags, β says how good the best one is, so that n-best needs to follow n ways only.

References:
    [1] Lafferty, McCallum and Pereira 2001. [2] Lample et al. 2016, section 2.2. [3] Sutton and McCallum 2012, An
    Introduction to Conditional Random Fields, section 4.1.
"""

import math
from typing import NamedTuple

from keras import ops

from seq_models.layers.heads.cross_entropy import cross_entropy
from seq_models.layers.heads.pieces import NEVER
from seq_models.layers.tensors import Mask, Tensor


class Chain(NamedTuple):
    """The scores of all tags of the tokens of some sentences.

    A chain is a run of real tokens: padding belongs to none, and after it another one begins.

    Attributes:
        logits: Floats (B, T, L).
        transitions: From a tag (row) to the next one (column), floats (L + 1, L + 1), `NEVER` where that is illegal.
            The last row is start, the last column end.
        mask: Booleans (B, T), True on real tokens; None: all are.
    """

    logits: Tensor
    transitions: Tensor
    mask: Mask = None

    def log_likelihood(self, tags: Tensor) -> Tensor:
        """log P(y_t | y_1 … y_{t-1}, x) of each token, floats (B, T), 0 on padding; over a chain their sum is
        log P(y | x).

        Args:
            tags: y, integers (B, T).
        """
        beta = _following_with_gradient(*self._scores())
        return self._conditional(ops.cast(tags, "int32"), self.logits + _swap(beta), self._live())

    def marginals(self) -> Tensor:
        """P(y_t = k | x), floats (B, T, L), 0 on padding."""
        live, logits, transitions = self._scores()
        beta = _following(log_sum, live, logits, transitions)
        first = live & ~ops.concatenate([ops.zeros_like(live[:1]), live[:-1]])  # (T, B)
        source = ops.where(first[..., None], ops.softmax(transitions[-1, :-1] + logits + beta), 0.0)
        return _swap(_flow(source, live, logits, transitions, beta)[0])

    def viterbi(self) -> Tensor:
        """The most probable tags, integers (B, T), 0 on padding."""
        live, logits, transitions = self._scores()
        q = logits + _following(maximum, live, logits, transitions)
        L = self.logits.shape[-1]

        def step(before, token):
            live, q = token
            best = ops.argmax(ops.take(transitions[:, :-1], before, axis=0) + q, axis=-1)  # (B,)
            after = ops.where(live, ops.cast(best, "int32"), L)
            return after, after

        nothing = ops.full_like(live[0], L, dtype="int32")
        _, tags = ops.scan(step, nothing, (live, q))
        return ops.transpose(ops.where(live, tags, 0))

    def n_best(self, n: int) -> tuple[Tensor, Tensor]:
        """The n most probable ways to tag each sentence, the best one first.

        Args:
            n: A positive integer.
        Returns:
            Tags, integers (B, n, T), 0 on padding; log P(y | x), floats (B, n), `NEVER` where there are fewer ways.
        """
        live, logits, transitions = scores = self._scores()
        q = logits + _following(maximum, *scores)
        tags, lost = _walk(live, q, transitions[:, :-1], n)
        live = self._live()[:, None]
        tags = ops.where(live, tags, 0)
        q = _swap(logits + _following(log_sum, *scores))[:, None]  # (B, 1, T, L)
        return tags, ops.where(lost > NEVER / 2, ops.sum(self._conditional(tags, q, live), axis=-1), NEVER)

    def _conditional(self, tags, q, live):
        """log P(y_t | y_{t-1}, x), 0 on padding: of tags (..., T), with q (..., T, L) and the mask (..., T)."""
        L = self.logits.shape[-1]
        before = ops.where(live, tags, L)[..., :-1]  # nothing before the first tag of a chain: the row of start
        before = ops.concatenate([ops.full_like(tags[..., :1], L), before], axis=-1)
        steps = ops.matmul(ops.one_hot(before, L + 1, dtype=q.dtype), self.transitions[:, :-1])  # (..., T, L)
        return ops.where(live, -cross_entropy(tags, steps + q), 0.0)

    def _live(self):
        if self.mask is None:
            return ops.ones(ops.shape(self.logits)[:2], "bool")
        return ops.cast(self.mask, "bool")

    def _scores(self):
        """What the recursion takes: the mask (T, B), logits (T, B, L) and transitions."""
        return ops.transpose(self._live()), _swap(self.logits), self.transitions


def log_sum(scores: Tensor) -> Tensor:
    """log Σ_k exp(scores_k): (..., L) -> (...)."""
    largest = ops.max(scores, axis=-1, keepdims=True)
    return ops.log(ops.sum(ops.exp(scores - largest), axis=-1)) + largest[..., 0]


def maximum(scores: Tensor) -> Tensor:
    """max_k scores_k: (..., L) -> (...)."""
    return ops.max(scores, axis=-1)


def _following(plus, live, logits, transitions):
    """β of all tokens (T, B, L)."""
    transitions, end = transitions[:-1, :-1], transitions[:-1, -1]

    def step(after, token):
        live, logits = token
        before = plus(transitions + (logits + after)[:, None])  # (B, L, L) -> (B, L)
        return ops.where(live[:, None], before, end), after

    last = ops.zeros_like(logits[0]) + end
    return ops.scan(step, last, (live, logits), reverse=True)[1]


def _following_with_gradient(live, logits, transitions):
    """`_following` with ⊕ = log Σ exp, with its gradient."""

    @ops.custom_gradient
    def following(logits, transitions):
        beta = _following(log_sum, live, logits, transitions)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream  # torch hands it over by name, after the arguments
            reached, flows = _flow(upstream, live, logits, transitions, beta)
            goes_on = ops.concatenate([live[1:], ops.zeros_like(live[:1])])[..., None]
            ends = ops.sum(ops.where(goes_on, 0.0, reached), axis=(0, 1))  # (L,)
            by_rows = ops.concatenate([flows, ends[:, None]], axis=1)
            return reached - upstream, ops.pad(by_rows, [[0, 1], [0, 0]])  # β does not ask for the start

        return beta, gradient

    return following(logits, transitions)


def _flow(source, live, logits, transitions, beta):
    """What comes to each tag when a source flows from token to token along P(y_t = k | y_{t-1} = i, x).

        D_t[k] = source_t[k] + Σ_i D_{t-1}[i] P(y_t = k | y_{t-1} = i, x)

    Returns:
        D, floats (T, B, L), and what flows from i to k in all, floats (L, L).
    """
    q = ops.where(live[..., None], logits + beta, -math.inf)  # nothing flows to padding
    transitions = transitions[:-1, :-1]

    def step(carry, token):
        reached, _ = carry
        source, q, before = token
        flow = ops.exp(transitions + q[:, None] - before[..., None]) * reached[..., None]  # (B, L, L)
        carry = source + ops.sum(flow, axis=1), ops.sum(flow, axis=0)
        return carry, carry

    first = source[0], ops.zeros_like(transitions)
    _, (reached, flows) = ops.scan(step, first, (source[1:], q[1:], beta[:-1]))
    return ops.concatenate([source[:1], reached]), ops.sum(flows, axis=0)


def _walk(live, q, rows, n):
    """The n best ways from the first token to the last.

    A way is lost by as much as the best one that begins with its tags is worse than the best of all.

    Args:
        live: The mask (T, B).
        q: With ⊕ = max, floats (T, B, L).
        rows: Transitions from each tag and from nothing, floats (L + 1, L).
        n: How many ways.
    Returns:
        Tags, integers (B, n, T); how much each way is lost by, floats (B, n), 0 or less.
    """
    L = q.shape[-1]
    each = ops.zeros_like(q[0, :, :1], "int32") + ops.arange(n, dtype="int32")  # (B, n)

    def step(carry, token):
        lost, before, _ = carry
        live, q = token[0][:, None], token[1][:, None]
        scores = ops.take(rows, before, axis=0) + q  # (B, n, L)
        losses = lost[..., None] + scores - ops.max(scores, axis=-1, keepdims=True)
        fewest, place = ops.top_k(ops.reshape(losses, (-1, n * L)), n)
        place = ops.cast(place, "int32")
        carry = (
            ops.where(live, fewest, lost),
            ops.where(live, place % L, L),
            ops.where(live, place // L, each),
        )
        return carry, carry

    def back(carry, token):
        way, _ = carry
        tags, ways = token
        carry = ops.take_along_axis(ways, way, axis=1), ops.take_along_axis(tags, way, axis=1)
        return carry, (way, carry[1])

    start = ops.where(each == 0, ops.zeros((), q.dtype), NEVER), ops.full_like(each, L), each
    (lost, *_), (_, tags, ways) = ops.scan(step, start, (live, q))
    _, (_, tags) = ops.scan(back, (each, each), (tags, ways), reverse=True)
    return ops.transpose(tags, (1, 2, 0)), lost


def _swap(x):
    """Batch-major to time-major and back: (B, T, L) <-> (T, B, L)."""
    return ops.transpose(x, (1, 0, 2))
