"""One step of a recurrent unit: a cell is its equations.

A cell takes the input of one step and the states of the step before, and returns its output and the new states. Every
cell obeys the protocol of `keras.layers.RNN`; its weights are packed as in `keras.layers`, so `set_weights` moves
weights both ways.
"""

from numbers import Real
from typing import Any

import keras
from keras import ops

from seq_models.errors import positive
from seq_models.layers.derivatives import StepGradient
from seq_models.layers.tensors import Option, Tensor, Tensors


class RecurrentCell(keras.layers.SimpleRNNCell):
    """The part that all cells share: weights, options, dropout. A unit adds its `step` and its `gradient`.

    The options of weights and the dropout masks are those of Keras's simplest cell; its equation is not used.

    Args:
        units: H, a positive integer.
        activation: Of the candidate (and of c' in an LSTM), a name or a function.
        use_bias: Whether there are biases.
        kernel_initializer, recurrent_initializer, bias_initializer: How the weights start.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Penalties on the weights.
        kernel_constraint, recurrent_constraint, bias_constraint: Constraints on the weights.
        dropout: Share of the inputs that is dropped in training, the same ones at every step; in [0, 1].
        recurrent_dropout: The same for h_{t-1} where it enters the product with U.
        seed: Of the dropout.
    Call arguments:
        inputs: x, floats (B, D).
        states: [h], in an LSTM [h, c], each floats (B, H).
        training: Whether dropout is on.
    Returns:
        (h', [h'] or [h', c']), each (B, H).
    Raises:
        ValueError: If `units` is not a positive integer or a rate is no number in [0, 1].
    """

    blocks = 1  # of H columns each, packed in a kernel
    gate_names: tuple[str, ...] = ()  # of the first things that `step` returns beside the states; the rest are no gates

    def __init__(
        self,
        units: int,
        activation: Option = "tanh",
        use_bias: bool = True,
        kernel_initializer: Option = "glorot_uniform",
        recurrent_initializer: Option = "orthogonal",
        bias_initializer: Option = "zeros",
        **options: Any,
    ):
        positive(units=units)
        for name in ("dropout", "recurrent_dropout"):
            rate = options.get(name, 0)
            if not isinstance(rate, Real) or not 0 <= float(rate) <= 1:
                raise ValueError(f"{name} must be in [0, 1]. Received: {name}={options[name]!r}")
        # Here, for a seed gives the weights that it always gave only if they are drawn before the seed of the dropout.
        initializers = map(keras.initializers.get, (kernel_initializer, recurrent_initializer, bias_initializer))
        super().__init__(units, activation, use_bias, *initializers, **options)

    def build(self, input_shape):
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: input_shape[-1]})
        width = self.blocks * self.units
        self.kernel = self._add_weight("kernel", (input_shape[-1], width), self.kernel_initializer)
        self.recurrent_kernel = self._add_weight("recurrent", (self.units, width), self.recurrent_initializer)
        self.bias = self._add_weight("bias", self._bias_shape(), self._start_bias) if self.use_bias else None

    def _add_weight(self, role, shape, initializer):
        options = {kind: getattr(self, f"{role}_{kind}") for kind in ("regularizer", "constraint")}
        name = "recurrent_kernel" if role == "recurrent" else role
        return self.add_weight(name=name, shape=shape, initializer=initializer, **options)

    def _bias_shape(self):
        return (self.blocks * self.units,)

    def _start_bias(self, shape, dtype=None):
        return self.bias_initializer(shape, dtype=dtype)

    def project(self, inputs: Tensor) -> Tensor:
        """W x + b for one step (B, D) or for a whole sequence (..., D) at once: the part that needs no state."""
        return affine(inputs, self.input_weights())

    def input_weights(self) -> Tensors:
        """W, and b if there is one, of W x + b: tensors, for a custom gradient may not see variables."""
        return [ops.copy(self.kernel)] if self.bias is None else [ops.copy(self.kernel), ops.copy(self.bias)]

    def recurrent_weights(self) -> Tensors:
        """The weights that the recurrence over time needs: tensors, for a custom gradient may not see variables."""
        return [ops.copy(self.recurrent_kernel)]

    def call(self, inputs, states, training=False):
        nested = isinstance(states, list | tuple)  # a caller of the bare cell may hand over h, not [h]
        states = states if nested else [states]
        if training and self.dropout:
            inputs = inputs * self.get_dropout_mask(inputs)
        keep = self.keep(states[0]) if training else None
        states, _ = self.step(self.project(inputs), states, self.recurrent_weights(), keep)
        return states[0], states if nested else states[0]

    def step(self, x: Tensor, states: Tensors, weights: Tensors, keep: Tensor | None = None) -> tuple[Tensors, Tensors]:
        """One step, or all steps at once where the states before them are known.

        Args:
            x: W x_t + b, (…, B, G).
            states: The states before the step, h first, each (…, B, H).
            weights: What `recurrent_weights` gives.
            keep: What `keep` gives.
        Returns:
            (the states after the step, what `StepGradient.back` needs beside them: the gates first).
        """
        raise NotImplementedError

    def gradient(self) -> StepGradient | None:
        """The derivative of `step`; None where it is not written out, and the backend derives it step by step."""
        return None

    def steepest(self) -> float | None:
        """A bound of ‖∂h'/∂h‖₂ of every step; None where the weights alone give none."""
        return None

    def keep(self, h: Tensor) -> Tensor | None:
        """The dropout of h where it enters the product with U, the same at every step, (B, H); None without it."""
        return self.get_recurrent_dropout_mask(h) if self.recurrent_dropout else None


def affine(x: Tensor, weights: Tensors) -> Tensor:
    """x W + b, or x W where there is no b: (…, D), [W (D, G), b (G,)] -> (…, G)."""
    W, *b = weights
    return sum(b, ops.matmul(x, W))


class GatedCell(RecurrentCell):
    """A cell with gates: their activation is an option of its own.

    Args, call arguments, returns: see `RecurrentCell`, and
        recurrent_activation: Of the gates, sigmoid by default.
        implementation: 0, 1 or 2, as old configurations have it. In Keras it is one product a gate (1) or one for all;
            here it is one for all whatever the number, and one dropout mask for all, where 1 in Keras draws one a gate.
    Raises:
        ValueError: If `implementation` is another value, or for what a `RecurrentCell` refuses.
    """

    def __init__(
        self,
        units: int,
        activation: Option = "tanh",
        recurrent_activation: Option = "sigmoid",
        use_bias: bool = True,
        *initializers: Option,
        implementation: int = 2,
        **options: Any,
    ):
        if implementation not in (0, 1, 2):
            raise ValueError(f"implementation must be 0, 1 or 2. Received: implementation={implementation!r}")
        super().__init__(units, activation, use_bias, *initializers, **options)
        self.implementation = implementation
        self.recurrent_activation = keras.activations.get(recurrent_activation)

    def get_config(self):
        gate = keras.activations.serialize(self.recurrent_activation)
        return {**super().get_config(), "recurrent_activation": gate}
