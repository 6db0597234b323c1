"""Recurrent decoders that see the source as a whole: in their first states alone, or as one context at every step."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from seq_models.layers.recurrent import Recurrent
from seq_models.layers.tensors import Mask, Tensor, Tensors


@keras.saving.register_keras_serializable(package="seq_models")
class RecurrentDecoder(keras.layers.Layer):
    """Target steps one after the other, of which only the first states know the source [1, section 8.7], [2].

        h_t = g(y_{t-1}, h_{t-1}), h_0 from the encoder      output_t = h_t

    with y_{t-1} the embedded token before. With several layers the output of one is the input of the next.

    Args:
        stack: The recurrent layers, a list, lowest first.
    Call arguments, the protocol of all decoders:
        inputs: y, the embedded tokens before, floats (B, T, D).
        memory: The encoder's states, floats (B, S, M).
        states: The states of all layers before the first step, one flat list.
        memory_mask: Booleans (B, S), True on real source steps, or None.
        training: Whether dropout is on.
    Returns:
        Outputs (B, T, H).
    References:
        [1] Jurafsky and Martin, chapter 8. [2] Sutskever, Vinyals and Le 2014.
    """

    attends = False  # whether there are attention weights

    def __init__(self, stack: Sequence[Recurrent], **kwargs: Any):
        super().__init__(**kwargs)
        self.stack = list(stack)

    def build(self, inputs_shape, memory_shape, states_shape=None, memory_mask_shape=None):
        width = inputs_shape[-1] + self.context_size(memory_shape[-1])
        for layer in self.stack:
            if not layer.built:
                layer.build((*inputs_shape[:-1], width))
            width = layer.units
        self.built = True

    def context_size(self, memory_units: int) -> int:
        """How much longer an input and an output are than y and h."""
        return 0

    def state_sizes(self) -> list[int]:
        """Sizes of the flat list of states, a list of integers."""
        return [size for layer in self.stack for size in layer.state_size]

    def prepare(self, memory: Tensor, memory_mask: Mask = None) -> dict[str, Tensor]:
        """What no step changes."""
        return {}

    def begin(self, states: Tensors, source: dict[str, Tensor]) -> Tensors:
        """The states before the first step, of those that the encoder hands over and what `prepare` gave."""
        return list(states)

    def step(
        self, y: Tensor, states: Tensors, source: dict[str, Tensor], training: bool = False
    ) -> tuple[Tensor, Tensors, None]:
        """One step: y (B, D), states a flat list, what `prepare` gave -> output (B, H), states, no weights."""
        h, after = self.with_context(y, source), []
        for layer, state in zip(self.stack, self._by_layer(states), strict=True):
            h, state = layer.cell(h, state, training=training)
            after += state
        return self.with_context(h, source), after, None

    def run(
        self, inputs: Tensor, states: Tensors, source: dict[str, Tensor], training: bool = False
    ) -> tuple[Tensor, Tensors, None]:
        """All steps: inputs (B, T, D) -> outputs (B, T, H), the last states, no weights."""
        h, after = self.with_context(inputs, source), []
        for layer, state in zip(self.stack, self._by_layer(states), strict=True):
            h, state = layer.read(h, state, training=training)
            after += state
        return self.with_context(h, source), after, None

    def with_context(self, x: Tensor, source: dict[str, Tensor]) -> Tensor:
        """x of one step (B, D) or of many (B, T, D), with what every step sees of the source."""
        return x

    def call(self, inputs, memory, states, memory_mask=None, training=False):
        return self.run(inputs, states, self.prepare(memory, memory_mask), training)[0]

    def compute_output_spec(self, inputs, memory, states, memory_mask=None, training=False):
        size = self.stack[-1].units + self.context_size(memory.shape[-1])
        return keras.KerasTensor((*inputs.shape[:2], size), self.compute_dtype)

    def _by_layer(self, states):
        rest = iter(states)
        return [[next(rest) for _ in layer.state_size] for layer in self.stack]

    def get_config(self):
        return {**super().get_config(), "stack": [keras.saving.serialize_keras_object(layer) for layer in self.stack]}

    @classmethod
    def from_config(cls, config):
        own = {name: keras.saving.deserialize_keras_object(config.pop(name)) for name in cls.parts if name in config}
        return cls(**own, **config)

    parts = ("stack", "pooling")  # of a configuration, which are layers


@keras.saving.register_keras_serializable(package="seq_models")
class ContextDecoder(RecurrentDecoder):
    """Target steps that all see one context of the source [1, section 8.7], [2, section 2.2]:

        c = q(e_1 … e_m)      h_t = g([y_{t-1}; c], h_{t-1})      output_t = [h_t; c]

    Args:
        stack: See `RecurrentDecoder`.
        pooling: q, a layer of `seq_models.layers.pooling`.
    Call arguments: see `RecurrentDecoder`.
    Returns:
        Outputs (B, T, H + M).
    References:
        [1] Jurafsky and Martin, chapter 8. [2] Cho et al. 2014, Learning Phrase Representations using RNN
        Encoder-Decoder.
    """

    def __init__(self, stack: Sequence[Recurrent], pooling: keras.layers.Layer, **kwargs: Any):
        super().__init__(stack, **kwargs)
        self.pooling = pooling

    def context_size(self, memory_units: int) -> int:
        return memory_units

    def prepare(self, memory: Tensor, memory_mask: Mask = None) -> dict[str, Tensor]:
        return {"context": self.pooling(memory, mask=memory_mask)}  # (B, M)

    def with_context(self, x: Tensor, source: dict[str, Tensor]) -> Tensor:
        c = source["context"]
        if len(x.shape) == 3:
            c = ops.broadcast_to(c[:, None], (*ops.shape(x)[:2], c.shape[-1]))  # (B, T, M)
        return ops.concatenate([x, c], axis=-1)

    def get_config(self):
        return {**super().get_config(), "pooling": keras.saving.serialize_keras_object(self.pooling)}
