"""Text of any length, read in windows that hand on the states: the memory is that of a window, whatever the length.

A text of one window is read at once and costs what it costs without windows.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from seq_models.layers.tensors import Tensor

WINDOW = 512  # tokens that are read at once


def log_probabilities(network: Any, tokens: Tensor, targets: Tensor, window: int = WINDOW) -> Tensor:
    """log P(w_t | w_1 … w_{t-1}) of every token, natural; their sum is that of the text, by the chain rule.

    Args:
        network: A network that has `start`, `read`, `body` and `head`, see `seq_models.decoding.generation`.
        tokens: Ids (B, T), `<s> w_1 … w_n`, 0 beyond a row's end.
        targets: Ids (B, T), `w_1 … w_n </s>`.
        window: Tokens that are read at once.
    Returns:
        Floats (B, T), 0 beyond a row's end.
    """
    dtype = keras.backend.result_type(network.head.compute_dtype, "float32")

    def at_once():
        return ops.cast(network.head.log_probability(network.body(tokens, training=False), targets), dtype)

    def in_windows():
        order = _longest_first(tokens)
        expected = ops.take(targets, order, axis=0)

        def look(kept, hidden, start):
            k, end = ops.shape(hidden)[0], start + ops.shape(hidden)[1]
            log_p = ops.cast(network.head.log_probability(hidden, expected[:k, start:end]), dtype)
            column = ops.concatenate([log_p, kept[k:, start:end]], axis=0)  # (B, W)
            return ops.concatenate([kept[:, :start], column, kept[:, end:]], axis=1)

        nothing = ops.zeros(ops.shape(tokens), dtype=dtype)
        return _over_windows(network, tokens, order, look, nothing, window)[0]

    log_p = _where(ops.shape(tokens)[1] <= window, at_once, in_windows)
    return ops.where(tokens != 0, log_p, ops.zeros_like(log_p))


def read_prompts(network: Any, tokens: Tensor, window: int = WINDOW) -> tuple[Tensor, Any]:
    """Reads prompts through the engine: ids (B, T), 0 beyond a row's end -> logits of the next token (B, V), states."""
    lengths = _lengths(tokens)

    def last_of(hidden, lengths, start):
        """Hidden states (k, W, H) -> that of the last token of each row (k, H), 0 where it is in another window."""
        is_last = ops.arange(ops.shape(hidden)[1]) == lengths[:, None] - 1 - start  # (k, W)
        return ops.sum(hidden * ops.cast(is_last, hidden.dtype)[:, :, None], axis=1)

    def at_once():
        hidden, states = network.read(tokens, network.start(tokens))  # (B, T, H)
        return last_of(hidden, lengths, 0), *keras.tree.flatten(states)

    def in_windows():
        order = _longest_first(tokens)
        longest_first = ops.take(lengths, order)

        def look(kept, hidden, start):
            k = ops.shape(hidden)[0]
            return ops.concatenate([kept[:k] + last_of(hidden, longest_first[:k], start), kept[k:]], axis=0)

        H, dtype = network.hidden.shape[-1], network.hidden.dtype
        nothing = ops.zeros((ops.shape(tokens)[0], H), dtype=dtype)
        last, states = _over_windows(network, tokens, order, look, nothing, window)
        return last, *keras.tree.flatten(states)

    last, *flat = _where(ops.shape(tokens)[1] <= window, at_once, in_windows)
    return network.head(last), keras.tree.pack_sequence_as(network.start(tokens), flat)


def _over_windows(
    network: Any, tokens: Tensor, order: Tensor, look: Callable, kept: Tensor, window: int
) -> tuple[Tensor, Any]:
    """Reads rows of ids (B, T), the longest first, window by window; a row that has ended is not read further.

    Args:
        order: The numbers of the rows, the longest first.
        look: `look(kept, hidden, start) -> kept`, with hidden (k, W, H) of the k rows that reach the window at `start`.
        kept: What is kept before the first window, a row for each row in that order.
    Returns:
        What is kept, and the states after the last token, a row for each row of `tokens`.
    """
    T, ordered = ops.shape(tokens)[1], ops.take(tokens, order, axis=0)
    lengths = _lengths(ordered)
    first = network.start(tokens)

    def unfinished(start, *_):
        return start < T

    def advance(start, kept, *flat):
        k = ops.sum(ops.cast(lengths > start, "int32"))
        states = keras.tree.pack_sequence_as(first, [state[:k] for state in flat])
        hidden, states = network.read(ordered[:k, start : start + window], states)
        after = [
            ops.reshape(ops.concatenate([new, old[k:]], axis=0), ops.shape(old))
            for new, old in zip(keras.tree.flatten(states), flat, strict=True)
        ]
        return (start + window, ops.reshape(look(kept, hidden, start), ops.shape(kept)), *after)

    _, kept, *flat = ops.while_loop(unfinished, advance, (0, kept, *keras.tree.flatten(first)))
    back = ops.argsort(order)
    kept, *flat = (ops.take(each, back, axis=0) for each in (kept, *flat))
    return kept, keras.tree.pack_sequence_as(first, flat)


def _lengths(tokens):
    return ops.sum(ops.cast(tokens != 0, "int32"), axis=1)


def _longest_first(tokens):
    return ops.argsort(-_lengths(tokens))


def _where(condition, yes, no):
    """`ops.cond`, and no operation where the shapes are known."""
    if isinstance(condition, bool):
        return yes() if condition else no()
    return ops.cond(condition, yes, no)
