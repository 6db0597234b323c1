"""What the networks share: token ids in, logits out."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from seq_models.layers import UNITS, Bidirectional
from seq_models.layers.engines import Used
from seq_models.layers.heads import SoftmaxHead
from seq_models.layers.tensors import Tensor
from seq_models.options import Options, option


@dataclass(frozen=True)
class NetworkOptions(Options):
    """The options that every recurrent network has.

    Raises:
        ValueError: See `Options`; or if `variational` has nothing to drop.
    """

    cell: str = option("lstm", "the recurrent unit", choices=UNITS)
    units: int = option(128, "size H of a state, in each direction", at_least=1)
    layers: int = option(1, "number of stacked layers", at_least=1)
    embedding_units: int | None = option(None, "size of an embedding; units if left out", at_least=1)
    dropout: float = option(0.0, "share of what layers hand on that training drops", at_least=0, below=1)
    variational: bool = option(False, "dropout draws one mask for all steps of a row [Gal 2016]")
    layer_norm: bool = option(False, "normalize what layers hand on, before their dropout [Ba 2016]")

    def __post_init__(self):
        super().__post_init__()
        if self.variational and not any(self.rates):
            raise ValueError("variational needs some dropout above 0. Received: variational=True, dropout=0")

    @property
    def rates(self) -> list[float]:
        """Shares that are dropped at some place."""
        return [self.dropout]

    @property
    def embedding_size(self) -> int:
        """`embedding_units`, or `units` if it is left out."""
        return self.units if self.embedding_units is None else self.embedding_units


class Network(keras.Model):
    """A functional model with a head: `body` reads ids and gives hidden states, the head makes logits of them.

        hidden = body(ids)      logits = head(regularized(hidden))

    Args:
        inputs: The inputs, token ids above all.
        hidden: The last hidden states, made from the inputs; with a head over whole sentences a pair, see the heads.
        head: The head, see `seq_models.layers.heads`.
        sizes: The arguments of the class beside its options: what it needs to know of the text.
        options: Its options.
    """

    options_class: type[Options] = NetworkOptions
    head_class: type[SoftmaxHead] = SoftmaxHead

    def __init__(
        self, inputs: Any, hidden: Any, head: SoftmaxHead, sizes: dict[str, Any], options: Options, name: str | None
    ):
        super().__init__(inputs, head(self.output_dropout(hidden)), name=name)
        self.hidden, self.head = hidden, head
        self.sizes, self.options = sizes, options

    @functools.cached_property
    def body(self) -> keras.Model:
        """From the inputs to the last hidden states."""
        return keras.Model(self.input, self.hidden)

    def output_dropout(self, hidden: Any, training: bool = False) -> Any:
        """Hidden states as the head gets them: as they are, where all dropout is before them."""
        return hidden

    def regularized(self, hidden: Any) -> tuple[Any, Tensor | float]:
        """Of a step of training: hidden states (B, T, H) as the head gets them, and a penalty on each of them (B, T).

        Penalties are added to what is minimized, each with the weight of its token, and are no part of a loss.
        """
        return self.output_dropout(hidden, training=True), 0.0

    def engines_used(self) -> dict[str, Used]:
        """What ran each recurrent layer in the last call, and why, by its name."""
        layers = [getattr(layer, "forward_layer", layer) for layer in self.layers]
        return {layer.name: layer.engine_used for layer in layers if getattr(layer, "engine_used", None)}

    def get_config(self):
        return {"name": self.name, **self.sizes, **dataclasses.asdict(self.options)}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def normalizations(count: int, wanted: bool) -> list[Callable[[Any], Any]]:
    """For each of so many layers what normalizes what it hands on, each step by itself; nothing if it is not wanted.

    y = (x - mean(x)) / √(var(x) + ε) * γ + β, over the units of a step [1].

    References:
        [1] Ba, Kiros and Hinton 2016 (arXiv:1607.06450), equation 4; there within the cell, here after it.
    """
    return [keras.layers.LayerNormalization() if wanted else unchanged for _ in range(count)]


def unchanged(h: Any) -> Any:
    """Hidden states as they are."""
    return h


def recurrent_stack(
    cell: str,
    units: int,
    depth: int,
    bidirectional: bool = False,
    return_state: bool = False,
    weight_dropout: float = 0.0,
    merge: str = "concat",
) -> list[keras.layers.Layer]:
    """A list of `depth` recurrent layers that return whole sequences: that of one is the input of the next.

    Args:
        cell: A name in `UNITS`.
        units: H of each direction.
        depth: Number of layers.
        bidirectional: Read both ways, h_t = [h_t^f; h_t^b].
        return_state: Return the last states too.
        weight_dropout: Share of the weights of U that training drops.
        merge: How the outputs of both directions become one, see `keras.layers.Bidirectional`.
    """
    options: dict[str, Any] = {"return_sequences": True, "return_state": return_state}
    options["weight_dropout"] = weight_dropout
    stack = [UNITS[cell](units, **options) for _ in range(depth)]
    return [Bidirectional(layer, merge_mode=merge) for layer in stack] if bidirectional else stack
