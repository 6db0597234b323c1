"""Text one token at a time, over the state protocol of the networks that write.

    start(inputs)            -> states before the first token
    step(tokens, states)     -> logits of the next token (B, V), states            one token (B,)
    read(tokens, states)     -> hidden states (B, T, H), states                    many tokens (B, T) at once

`states` is a nest of tensors whose first axis is the row: recurrent states, and whatever no step changes.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras
from keras import ops

from seq_models.decoding.sampling import LOW, Change
from seq_models.layers.tensors import Tensor

Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
Choose = Callable[[Tensor, Tensor], Tensor]
Ids = Collection[int]


def generate(
    step: Step,
    choose: Choose,
    first: Tensor,
    states: Any,
    end: int,
    max_length: int | Tensor,
    forbidden: Ids = (),
    changes: Sequence[Change] = (),
) -> tuple[Tensor, Tensor, Tensor]:
    """Feeds each chosen token back until every row has chosen `end` [1, section 8.3.3].

    Args:
        step: As above.
        choose: `choose(logits, t) -> tokens (B,)`, t the number of tokens chosen so far.
        first: Logits of the first token (B, V).
        states: The states before it.
        end: Id of the end token.
        max_length: The largest number of tokens, the end token included: an integer, or one for each row (B,). L is the
            largest of them.
        forbidden: Ids that are never chosen and have no part in a probability.
        changes: What changes the logits before a token is chosen, in this order, and not its probability; see
            `seq_models.decoding.sampling`.
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

    def advance(t, finished, logits, tokens, lengths, scores, *flat):
        logits = ops.cast(forbid(logits, forbidden), "float32")
        changed = logits
        for change in changes:
            changed = change(changed, t, tokens)
        chosen = ops.where(finished, 0, ops.cast(choose(changed, t), "int32"))
        log_p = ops.take_along_axis(ops.log_softmax(logits), chosen[:, None], axis=1)[:, 0]
        scores = scores + ops.where(finished, 0.0, log_p)
        tokens = ops.where(positions[None] == t, chosen[:, None], tokens)
        lengths = lengths + ops.cast(ops.logical_not(finished), "int32")
        following, after = step(chosen, keras.tree.pack_sequence_as(states, list(flat)))
        finished = ops.logical_or(finished, ops.logical_or(chosen == end, t + 1 >= limits))
        return (t + 1, finished, following, tokens, lengths, scores, *keras.tree.flatten(after))

    empty = (
        0,
        ops.zeros((B,), dtype="bool"),
        first,
        ops.zeros((B, L), dtype="int32"),
        ops.zeros((B,), dtype="int32"),
        ops.zeros((B,), dtype="float32"),
        *keras.tree.flatten(states),
    )
    _, _, _, tokens, lengths, scores, *_ = ops.while_loop(unfinished, advance, empty)
    return tokens, lengths, scores


def forbid(logits: Tensor, tokens: Ids) -> Tensor:
    """Logits (B, V) without some tokens: ids that cannot be chosen."""
    if not tokens:
        return logits
    mask = ops.max(ops.one_hot(list(tokens), logits.shape[-1], dtype="int32"), axis=0) > 0  # (V,)
    return ops.where(mask, ops.cast(LOW, logits.dtype), logits)
