"""A linear-chain conditional random field [1, 2]: tags y of a sentence x, each scored beside the one before it.

    score(y | x) = start[y_1] + Σ_t logits_t[y_t] + Σ_t transitions[y_{t-1}, y_t] + end[y_T]
    P(y | x) = exp score(y | x) / Σ_{y'} exp score(y' | x)

To the L tags comes one that stands on padding, before the first token and after the last one, nowhere else: start is
the step from it, end the step to it, and no recursion has to know of either, nor of a mask.

All that is asked goes through one recursion over time, from the last token to the first [3]:

    β_{t-1}[i] = ⊕_k transitions[i, k] + q_t[k]      q_t[k] = logits_t[k] + β_t[k]      β_T[i] = end[i]

β_t[i] sums up what may follow the tag i of token t: with ⊕ = log Σ exp the scores of all tags, with ⊕ = max the best
one. Of q_t the largest is taken off first, so that numbers stay small; what is the same for all i counts nowhere. The
chain can then be walked from its first token on, because after a tag i

    P(y_t = k | y_{t-1} = i, x) = exp(transitions[i, k] + q_t[k] - β_{t-1}[i])

is the derivative of β_{t-1}[i] by q_t[k] too: along these probabilities flow the gradient of β and the marginals alike,
and the log of one is the loss of its token. With ⊕ = max the best way is the one that follows the largest of them, and
of the ways that begin with some tags, β says how good the best one is, so that n-best needs to follow n ways only.

References:
    [1] Lafferty, McCallum and Pereira 2001. [2] Lample et al. 2016, section 2.2. [3] Sutton and McCallum 2012, An
    Introduction to Conditional Random Fields, section 4.1.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from seq_models.layers.derivatives import product_over_steps
from seq_models.layers.heads.cross_entropy import cross_entropy
from seq_models.layers.heads.pieces import NEVER
from seq_models.layers.tensors import Mask, Tensor

NOWHERE = 1000 * NEVER  # the logit of a tag on padding, and of that of padding elsewhere: worse than any illegal step
LEAST = 1e-35  # beside the best q: a tag that nothing more probable may follow leads nowhere


class Chain(NamedTuple):
    """The scores of all tags of the tokens of some sentences. Padding may be anywhere: it parts sentences.

    Attributes:
        logits: Floats (B, T, L).
        transitions: From a tag (row) to the next one (column), floats (L + 1, L + 1), `NEVER` where that is illegal.
            The last row is start, the last column end; their corner is not used.
        mask: Booleans (B, T), True on real tokens; None: all are.
    """

    logits: Tensor
    transitions: Tensor
    mask: Mask = None

    def log_likelihood(self, tags: Tensor) -> Tensor:
        """log P(y_t | y_1 … y_{t-1}, x) of each token, floats (B, T), 0 on padding; of a sentence their sum is
        log P(y | x).

        Args:
            tags: y, integers (B, T).
        """
        logits, transitions = self._with_padding()
        q = _swap(logits + _following_with_gradient(logits, transitions))
        return _log_probability(self._tags(tags), q, transitions)

    def is_legal(self, tags: Tensor) -> Tensor:
        """Whether the step to each tag is legal, of a last one that to the end too: booleans (B, T), true on padding.

        Args:
            tags: y, integers (B, T).
        """
        tags, L = self._tags(tags), self._nothing
        nothing = ops.full_like(tags[:, :1], L)
        before, after = (
            ops.concatenate([nothing, tags[:, :-1]], axis=1),
            ops.concatenate([tags[:, 1:], nothing], axis=1),
        )
        legal = ops.reshape(self.transitions > NEVER / 2, (-1,))
        begins, ends = (ops.take(legal, i * (L + 1) + k) for i, k in ((before, tags), (tags, after)))
        return (tags == L) | begins & (ends | (after != L))

    def marginals(self) -> Tensor:
        """P(y_t = k | x), floats (B, T, L), 0 on padding."""
        logits, transitions = self._with_padding()
        beta = _following(log_sum(transitions), logits, transitions)
        first = ops.softmax(transitions[-1] + logits[:1] + beta[:1])
        source = ops.concatenate([first, ops.zeros_like(logits[1:])])
        return _swap(_flow(source, logits, transitions, beta)[0])[..., :-1]

    def viterbi(self) -> Tensor:
        """The most probable tags, integers (B, T), 0 on padding."""
        logits, transitions = self._with_padding()
        q = logits + _following(maximum(transitions), logits, transitions)

        def step(before, q):
            tag = ops.cast(ops.argmax(ops.take(transitions, before, axis=0) + q, axis=-1), "int32")  # (B,)
            return tag, tag

        _, tags = ops.scan(step, ops.full_like(q[0, :, 0], self._nothing, dtype="int32"), q)
        return self._on_tokens(ops.transpose(tags))

    def n_best(self, n: int) -> tuple[Tensor, Tensor]:
        """The n most probable ways to tag each row, the best one first.

        Args:
            n: A positive integer.
        Returns:
            Tags, integers (B, n, T), 0 on padding; log P(y | x), floats (B, n), -∞ where there are fewer ways.
        """
        logits, transitions = self._with_padding()
        tags, lost = _walk(logits + _following(maximum(transitions), logits, transitions), transitions, n)
        q = _swap(logits + _following(log_sum(transitions), logits, transitions))
        log_p = ops.sum(_log_probability(tags, q[:, None], transitions), axis=-1)
        return self._on_tokens(tags), ops.where(lost > NEVER / 2, log_p, -math.inf)

    @property
    def _nothing(self):
        """The tag of padding, L."""
        return self.logits.shape[-1]

    def _tags(self, tags):
        tags = ops.cast(tags, "int32")
        return tags if self.mask is None else ops.where(self.mask, tags, self._nothing)

    def _on_tokens(self, tags):
        return ops.where(tags == self._nothing, 0, tags)

    def _with_padding(self):
        """Logits (T, B, L + 1), and transitions, with the tag of padding."""
        logits, L = self.logits, self._nothing
        nowhere = ops.full_like(logits[..., :1], NOWHERE)
        if self.mask is not None:
            live = self.mask[..., None]
            logits, nowhere = ops.where(live, logits, NOWHERE), ops.where(live, nowhere, 0.0)
        corner = ops.arange(L + 1) == L
        transitions = ops.where(corner[:, None] & corner, 0.0, self.transitions)
        # The largest step to a tag goes to its logits, which is the same: exp(transitions) is 1 at most.
        largest = ops.stop_gradient(ops.max(transitions, axis=0))
        return _swap(ops.concatenate([logits, nowhere], axis=-1) + largest), transitions - largest


def log_sum(transitions: Tensor) -> Callable[[Tensor], Tensor]:
    """⊕ = log Σ exp: a function from q (B, L + 1), of which the largest is 0, to β of the token before."""
    transposed = ops.transpose(ops.exp(transitions))

    def plus(q):
        S = ops.matmul(ops.exp(q), transposed)
        return ops.where(S > LEAST, ops.log(S), NEVER)

    return plus


def maximum(transitions: Tensor) -> Callable[[Tensor], Tensor]:
    """⊕ = max: a function from q (B, L + 1) to β of the token before."""
    return lambda q: ops.max(transitions + q[:, None], axis=-1)


def _following(plus, logits, transitions):
    """β of all tokens (T, B, L + 1)."""

    def step(after, logits):
        return plus(_from_0(logits + after)), after

    end = ops.zeros_like(logits[0]) + transitions[:, -1]
    return ops.scan(step, end, logits, reverse=True)[1]


def _following_with_gradient(logits, transitions):
    """`_following` with ⊕ = log Σ exp, with its gradient; what is the same for all tags of a token must have none."""

    @ops.custom_gradient
    def following(logits, transitions):
        beta = _following(log_sum(transitions), logits, transitions)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream  # torch hands it over by name, after the arguments
            reached, flows = _flow(upstream, logits, transitions, beta)
            end = ops.sum(reached[-1], axis=0)[:, None]  # (L + 1, 1)
            return reached - upstream, ops.concatenate([flows[:, :-1], flows[:, -1:] + end], axis=1)

        return beta, gradient

    return following(logits, transitions)


def _flow(source, logits, transitions, beta):
    """What comes to each tag when a source flows from token to token.

        D_t[k] = source_t[k] + Σ_i D_{t-1}[i] P(y_t = k | y_{t-1} = i, x)

    Returns:
        D, floats (T, B, L + 1), and what flows from i to k in all, floats (L + 1, L + 1).
    """
    steps = ops.exp(transitions)
    exp_q = ops.exp(_from_0(logits + beta))
    one_by_S = ops.where(beta > NEVER / 2, ops.exp(-beta), 0.0)  # nothing flows through a tag that leads nowhere
    one_by_S = ops.concatenate([ops.zeros_like(beta[:1]), one_by_S[:-1]])  # of the token before

    def step(reached, token):
        source, exp_q, one_by_S = ops.unstack(token, 3)
        reached = source + ops.matmul(reached * one_by_S, steps) * exp_q
        return reached, reached

    tokens = ops.stack([source, exp_q, one_by_S], axis=1)  # in one, for Keras cannot scan several where T is unknown
    _, reached = ops.scan(step, ops.zeros_like(source[0]), tokens)
    return reached, steps * product_over_steps(reached[:-1] * one_by_S[1:], exp_q[1:])


def _from_0(q):
    """q less the largest of each token."""
    return q - ops.max(q, axis=-1, keepdims=True)


def _log_probability(tags, q, transitions):
    """log P(y_t | y_{t-1}, x) of tags (..., T), with q (..., T, L + 1)."""
    L = transitions.shape[0] - 1
    before = ops.concatenate([ops.full_like(tags[..., :1], L), tags[..., :-1]], axis=-1)
    return -cross_entropy(tags, ops.take(transitions, before, axis=0) + q)


def _walk(q, transitions, n):
    """The n best ways from the first token to the last.

    Args:
        q: With ⊕ = max, floats (T, B, L + 1).
        transitions: Floats (L + 1, L + 1).
        n: How many ways.
    Returns:
        Tags, integers (B, n, T); by how much the best one is better than each way, floats (B, n), 0 or less.
    """
    tags = transitions.shape[0]
    each = ops.zeros_like(q[0, :, :1], "int32") + ops.arange(n, dtype="int32")  # (B, n)

    def step(carry, q):
        lost, before, _ = carry
        scores = ops.take(transitions, before, axis=0) + q[:, None]  # (B, n, L + 1)
        all_lost = lost[..., None] + scores - ops.max(scores, axis=-1, keepdims=True)
        lost, place = ops.top_k(ops.reshape(all_lost, (-1, n * tags)), n)
        place = ops.cast(place, "int32")
        carry = lost, place % tags, place // tags
        return carry, carry

    def back(carry, token):
        way, _ = carry
        tags, ways = ops.unstack(token, 2)
        carry = ops.take_along_axis(ways, way, axis=1), ops.take_along_axis(tags, way, axis=1)
        return carry, carry

    start = ops.where(each == 0, ops.zeros((), q.dtype), NEVER), ops.full_like(each, tags - 1), each
    (lost, *_), (_, steps, ways) = ops.scan(step, start, q)
    _, (_, steps) = ops.scan(back, (each, each), ops.stack([steps, ways], axis=1), reverse=True)
    return ops.transpose(steps, (1, 2, 0)), lost


def _swap(x):
    """Batch-major to time-major and back: (B, T, L) <-> (T, B, L)."""
    return ops.transpose(x, (1, 0, 2))
