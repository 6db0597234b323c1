"""Generation one token at a time, by any function that chooses a token from logits."""

from keras import ops


def generate(step, choose, first, states, end, max_length):
    """Feeds each chosen token back until every row has chosen `end` [1, section 8.3.3].

    Args:
        step: `step(tokens (B,), states) -> (logits (B, V), states)`.
        choose: `choose(logits, t) -> tokens (B,)`, t the number of tokens chosen so far.
        first: Logits of the first token (B, V).
        states: A flat list of tensors.
        end: Id of the end token.
        max_length: The largest number of tokens, the end token included: an integer, or one for each row (B,). L is the
            largest of them.
    Returns:
        (tokens (B, L), 0 after the end; lengths (B,), the end token included; log probability of each row (B,)).
    References:
        [1] Jurafsky and Martin, chapter 8.
    """
    B = ops.shape(first)[0]
    limits = ops.broadcast_to(ops.cast(max_length, "int32"), (B,))
    L = max_length if isinstance(max_length, int) else ops.max(limits, initial=0)
    positions = ops.arange(L)

    def unfinished(t, finished, *_):
        return ops.logical_and(t < L, ops.logical_not(ops.all(finished)))

    def advance(t, finished, logits, tokens, lengths, scores, *states):
        chosen = ops.where(finished, 0, ops.cast(choose(logits, t), "int32"))
        log_p = ops.take_along_axis(ops.log_softmax(ops.cast(logits, "float32")), chosen[:, None], axis=1)[:, 0]
        scores = scores + ops.where(finished, 0.0, log_p)
        tokens = ops.where(positions[None] == t, chosen[:, None], tokens)
        lengths = lengths + ops.cast(ops.logical_not(finished), "int32")
        logits, states = step(chosen, list(states))
        finished = ops.logical_or(finished, ops.logical_or(chosen == end, t + 1 >= limits))
        return (t + 1, finished, logits, tokens, lengths, scores, *states)

    empty = (
        0,
        ops.zeros((B,), dtype="bool"),
        first,
        ops.zeros((B, L), dtype="int32"),
        ops.zeros((B,), dtype="int32"),
        ops.zeros((B,), dtype="float32"),
        *states,
    )
    _, _, _, tokens, lengths, scores, *_ = ops.while_loop(unfinished, advance, empty)
    return tokens, lengths, scores


def greedy(logits, t):  # noqa: ARG001
    """The most probable token."""
    return ops.argmax(logits, axis=-1)
