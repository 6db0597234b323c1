"""Stacked recurrent layers: the whole output of one is the input of the next."""

import keras

from seq_models.layers import UNITS, Bidirectional


def recurrent_stack(
    cell: str, units: int, depth: int, bidirectional: bool = False, return_state: bool = False
) -> list[keras.layers.Layer]:
    """A list of `depth` recurrent layers that return whole sequences.

    Args:
        cell: A name in `UNITS`.
        units: H of each direction.
        depth: Number of layers.
        bidirectional: Read both ways, h_t = [h_t^f; h_t^b].
        return_state: Return the last states too.
    """
    layer_class = UNITS[cell]
    stack = [layer_class(units, return_sequences=True, return_state=return_state) for _ in range(depth)]
    return [Bidirectional(layer) for layer in stack] if bidirectional else stack


def cell_stack(cell: str, units: int, depth: int) -> list[keras.layers.Layer]:
    """A list of `depth` cells, for a decoder that takes one step at a time. Arguments: as in `recurrent_stack`."""
    return [UNITS[cell].cell_class(units) for _ in range(depth)]
