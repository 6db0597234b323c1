"""The operations of each unit by the names of what they take and give, as `source/operations.cc` registers them."""

from typing import Any

import keras
import tensorflow as tf

from seq_models.layers.engines.engine import Run
from seq_models.layers.engines.fused.build import operations
from seq_models.layers.places import stands_for
from seq_models.layers.tensors import Tensor, Tensors


class FusedUnit:
    """A unit for one run. A subclass names its operations, and what only they take or give.

    Attributes:
        operation: Its name; that of its gradient has `_gradient` at its end.
        states: The states, h first.
        biases: The biases that the operation adds.
        kept: What the gradient needs beside h.
        weights: W, U and the biases, zeros where the cell has none; floats.
    """

    operation: str
    states: tuple[str, ...] = ("h",)
    biases: tuple[str, ...] = ("bias",)
    kept: tuple[str, ...] = ("gates",)

    def __init__(self, run: Run):
        self.run, cell = run, run.cell
        self.G = cell.blocks * cell.units
        kernels = cell.kernel, cell.recurrent_kernel if run.recurrent_kernel is None else run.recurrent_kernel
        self.weights: Tensors = [*map(tf.convert_to_tensor, kernels), *self._biases_of(cell)]
        self.options = {
            "keep": tf.zeros((0, 0)) if run.keep is None else run.keep,
            "mask": tf.zeros((0, 0), tf.bool) if run.mask is None else tf.cast(run.mask, tf.bool),
            "backwards": run.layer.go_backwards,
        }

    def _biases_of(self, cell):
        if cell.bias is None:
            return [tf.zeros((self.G,))] * len(self.biases)
        bias = tf.convert_to_tensor(cell.bias)
        return tf.unstack(bias) if len(self.biases) > 1 else [bias]

    def forward(self, x: Tensor, *arguments: Tensor, training: bool) -> tuple[Tensor, Tensors, Tensors]:
        """x (B, T, D), the first states, the weights -> h (B, T, H), the last states, what the gradient needs."""
        whole = training or self.run.all_outputs  # a gradient needs h of all steps, whoever else does
        run = getattr(operations(), f"seq_models_{self.operation}")
        outputs = run(**self._named([x, *arguments]), training=training, whole=whole, **self.options)
        first = dict(zip(self.states, arguments, strict=False))
        shapes = {"h": (x.shape[0], x.shape[1] if whole else 0, self.run.cell.units)}
        shapes |= {f"{state}_last": tensor.shape for state, tensor in first.items()}
        _set_shapes(outputs, shapes)
        last = [getattr(outputs, f"{state}_last") for state in self.states]
        return outputs.h, last, [getattr(outputs, name) for name in self.kept]

    def backward(self, kept: Tensors, h: Tensor, arguments: Tensors, upstream: Tensors) -> tuple[Tensor, ...]:
        """What `forward` kept, its h and its arguments, gradients of h and of the last states -> of the arguments."""
        of = self._named(arguments)
        given = {name: tensor for name, tensor in of.items() if name not in self.biases}
        given |= zip(("dh", *(f"d{state}_last" for state in self.states)), upstream, strict=True)
        given |= zip(self.kept, kept, strict=True)
        outputs = getattr(operations(), f"seq_models_{self.operation}_gradient")(h=h, **given, **self.options)
        _set_shapes(outputs, {f"d{name}": tensor.shape for name, tensor in of.items()})
        return tuple(getattr(outputs, f"d{name}") for name in of)

    def _named(self, arguments):
        names = ["x", *(f"{state}0" for state in self.states), "w", "u", *self.biases]
        return dict(zip(names, arguments, strict=True))


class FusedLSTM(FusedUnit):
    """Its gradient needs c of all steps, too."""

    operation, states, kept = "lstm", ("h", "c"), ("gates", "c")


class FusedGRU(FusedUnit):
    """Reset after the product."""

    operation, biases, kept = "gru", ("bias", "recurrent_bias"), ("gates", "a_n")


class FusedGRUResetBefore(FusedUnit):
    """Reset before the product."""

    operation = "gru_reset_before"


class FusedSimpleRNN(FusedUnit):
    """Its gradient needs h alone."""

    operation, kept = "simple_rnn", ()


def _set_shapes(outputs, shapes):
    """Static shapes of outputs by name, which the operations do not tell."""
    for name, shape in shapes.items():
        if name in outputs._fields:
            getattr(outputs, name).set_shape(shape)


UNITS = {
    keras.layers.LSTMCell: FusedLSTM,
    keras.layers.GRUCell: FusedGRU,
    keras.layers.SimpleRNNCell: FusedSimpleRNN,
}


def fused_unit(cell: Any) -> type[FusedUnit] | None:
    """The operations of a cell; None where there are none."""
    unit = UNITS.get(stands_for(cell))
    return FusedGRUResetBefore if unit is FusedGRU and not cell.reset_after else unit
