"""A recurrent decoder that looks at the encoder's states at every step."""

from typing import Any

import keras
from keras import ops

from seq_models.layers.attention import Attention
from seq_models.layers.decoder_loop import Arguments, DecoderLoop
from seq_models.layers.derivatives import lacking
from seq_models.layers.recurrent_cell import RecurrentCell, affine
from seq_models.layers.tensors import Mask, Tensor, Tensors


@keras.saving.register_keras_serializable(package="seq_models")
class AttentionDecoder(keras.layers.Layer):
    """Target steps one after the other, each with a context of its own [1, section 8.8].

        c_t = Σ_j α_tj e_j,  α_t = softmax_j(score(h_{t-1}, e_j))
        h_t = g([y_{t-1}; c_t], h_{t-1})
        output_t = [h_t; c_t]

    with e_j the encoder's states and y_{t-1} the embedded token before. With several cells the output of one is the
    input of the next, and h_{t-1} in the score is that of the last one. `step` is the one path: teacher forcing
    (`call`) loops over it, and so does decoding.

    Args:
        cells: The recurrent cells, a list, lowest first.
        attention: An `Attention`.
    Call arguments:
        inputs: y, the embedded tokens before, floats (B, T, D).
        memory: e, floats (B, S, M).
        states: The states of all cells before the first step, one flat list; `step` and `run` take what `begin` makes
            of them.
        memory_mask: Booleans (B, S), True on real source steps, or None.
        training: Whether dropout is on.
    Returns:
        (outputs (B, T, H + M), attention weights (B, T, S)).
    References:
        [1] Jurafsky and Martin, chapter 8; Bahdanau, Cho and Bengio 2015, section 3.1.
    """

    attends = True

    def __init__(self, cells: list[RecurrentCell], attention: Attention, **kwargs: Any):
        super().__init__(**kwargs)
        self.cells = cells
        self.attention = attention

    def build(self, inputs_shape, memory_shape, states_shape=None, memory_mask_shape=None):
        query_shape = (inputs_shape[0], self.cells[-1].units)
        if not self.attention.built:  # read from a file, it is
            self.attention.build(query_shape, memory_shape)
        width = inputs_shape[-1] + memory_shape[-1]
        for cell in self.cells:
            if not cell.built:
                cell.build((inputs_shape[0], width))
            width = cell.units
        self.built = True

    def state_sizes(self) -> list[int]:
        """Sizes of the flat list of states, a list of integers."""
        return [size for cell in self.cells for size in _as_list(cell.state_size)]

    def prepare(self, memory: Tensor, memory_mask: Mask = None) -> dict[str, Tensor]:
        """What no step changes: the memory, its keys, and its mask if there is one."""
        prepared = {"memory": memory, "keys": self.attention.keys(memory)}
        return prepared if memory_mask is None else {**prepared, "mask": memory_mask}

    def begin(self, states: Tensors, source: dict[str, Tensor]) -> Tensors:
        """The states before the first step, of those that the encoder hands over and what `prepare` gave."""
        return list(states)

    def step(
        self, y: Tensor, states: Tensors, source: dict[str, Tensor], training: bool = False
    ) -> tuple[Tensor, Tensors, Tensor]:
        """One step: y (B, D), states a flat list, what `prepare` gave -> output (B, H + M), states, weights (B, S)."""
        by_cell = self._by_cell(states)
        context, weights = self.attention(by_cell[-1][0], source["memory"], source["keys"], source.get("mask"))
        h, after = ops.concatenate([y, context], axis=-1), []  # (B, D + M)
        for cell, state in zip(self.cells, by_cell, strict=True):
            h, state = cell(h, state, training=training)
            after += state
        return ops.concatenate([h, context], axis=-1), after, weights

    def call(self, inputs, memory, states, memory_mask=None, training=False):
        source = self.prepare(memory, memory_mask)
        outputs, _, weights = self.run(inputs, self.begin(states, source), source, training)
        return outputs, weights

    def run(
        self, inputs: Tensor, states: Tensors, source: dict[str, Tensor], training: bool = False
    ) -> tuple[Tensor, Tensors, Tensor]:
        """All steps: inputs (B, T, D) -> outputs (B, T, H + M), the last states, weights (B, T, S)."""
        written_out = all(lacking(cell) is None for cell in self.cells) and self.attention.gradient() is not None
        if not written_out or training and any(cell.dropout for cell in self.cells):
            return self._run_by_step(inputs, states, source, training)
        return self._run_hoisted(inputs, states, source, training)

    def _run_hoisted(self, inputs, states, source, training):
        """As `run`, with all products that need no state before or after the loop."""
        by_cell = self._by_cell(states)
        keep = [cell.keep(before[0]) if training else None for cell, before in zip(self.cells, by_cell, strict=True)]
        (W, *b), *above = [self._cast(cell.input_weights()) for cell in self.cells]
        D, C = inputs.shape[-1], W.shape[0] - source["memory"].shape[-1]  # rows for y, then for what is fed, then for c
        arguments = Arguments(
            projected=affine(ops.transpose(inputs, (1, 0, 2)), [W[:D], *b]),  # (T, B, G)
            states=by_cell,
            memory=source["memory"],
            keys=source["keys"],
            context_kernel=W[C:],
            inputs=above,
            recurrent=[self._cast(cell.recurrent_weights()) for cell in self.cells],
            attention=self._cast(self.attention.score_weights()),
            feeding=self._feeding(states, W[D:C]),
        )
        loop = DecoderLoop(self.cells, self.attention, source.get("mask"), keep)
        trace = loop.forward_with_gradient(arguments) if training else loop.forward(arguments)
        last = [state[-1] for state in keras.tree.flatten((trace.states, trace.fed))]
        return ops.transpose(self._outputs(trace), (1, 0, 2)), last, ops.transpose(trace.weights, (1, 0, 2))

    def _feeding(self, states, kernel):
        """What a step hands on beside the states, see `Arguments`."""
        return []

    def _outputs(self, trace):
        return ops.concatenate([trace.states[-1][0], trace.context], axis=-1)  # (T, B, H + M)

    def _cast(self, weights):
        return [ops.cast(weight, self.compute_dtype) for weight in weights]

    def _run_by_step(self, inputs, states, source, training):
        """As `run`, a loop over `step`."""

        def step(carry, y):
            after = self.step(y, carry[1], source, training)
            return after, after

        # The scan stacks what it carries: output and weights are carried only for that. This step says their shapes,
        # and outside the loop it draws the dropout masks that all steps share.
        first = self.step(inputs[:, 0], states, source, training)
        nothing = ops.zeros_like(first[0]), list(states), ops.zeros_like(first[2])
        (_, last, _), (outputs, _, weights) = ops.scan(step, nothing, ops.transpose(inputs, (1, 0, 2)))
        for cell in self.cells:
            cell.reset_dropout_mask()
            cell.reset_recurrent_dropout_mask()
        return ops.transpose(outputs, (1, 0, 2)), last, ops.transpose(weights, (1, 0, 2))

    def _by_cell(self, states):
        rest = iter(states)
        return [[next(rest) for _ in _as_list(cell.state_size)] for cell in self.cells]

    def output_size(self, memory_units: int) -> int:
        """The size of an output."""
        return self.cells[-1].units + memory_units

    def compute_output_spec(self, inputs, memory, states, memory_mask=None, training=False):
        B, T, S = inputs.shape[0], inputs.shape[1], memory.shape[1]
        outputs = keras.KerasTensor((B, T, self.output_size(memory.shape[2])), self.compute_dtype)
        return outputs, keras.KerasTensor((B, T, S), self.compute_dtype)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        own = {"cells": [serialize(cell) for cell in self.cells], "attention": serialize(self.attention)}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        read = keras.saving.deserialize_keras_object
        cells = [read(cell) for cell in config.pop("cells")]
        return cls(cells, read(config.pop("attention")), **config)


def _as_list(size):
    return size if isinstance(size, list) else [size]
