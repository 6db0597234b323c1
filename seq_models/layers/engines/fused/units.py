"""What the operations of each unit take and give: a class a unit."""

from typing import Any

import tensorflow as tf

from seq_models.layers.engines.engine import Run
from seq_models.layers.engines.fused.build import operations
from seq_models.layers.tensors import Tensor, Tensors

Forward = tuple[Tensor, Tensors, Tensors]
Gradients = tuple[Tensor, ...]


class FusedUnit:
    """A unit for one run. A subclass names its operations and adds what only it has.

    Attributes:
        weights: W, U and the biases; floats.
    """

    def __init__(self, run: Run):
        self.run, cell = run, run.cell
        self.H = cell.units
        kernels = cell.kernel, cell.recurrent_kernel
        self.weights: Tensors = [*map(tf.convert_to_tensor, kernels), *self.biases(cell)]
        self.options = {
            "keep": tf.zeros((0, 0)) if run.keep is None else run.keep,
            "mask": tf.zeros((0, 0), tf.bool) if run.mask is None else tf.cast(run.mask, tf.bool),
            "backwards": run.layer.go_backwards,
        }

    def forward_options(self, training: bool) -> dict[str, Any]:
        """The options of the forward operation. A gradient needs h of all steps, whoever else does."""
        return {**self.options, "training": training, "whole": training or self.run.all_outputs}

    def biases(self, cell: Any) -> Tensors:
        """The biases that the operation adds; zeros where the cell has none."""
        G = cell.blocks * cell.units
        return [tf.zeros((G,)) if cell.bias is None else tf.convert_to_tensor(cell.bias)]

    def forward(self, x: Tensor, *arguments: Tensor, training: bool) -> Forward:
        """x (B, T, D), the first states, the weights -> h (B, T, H), the last states, what the gradient needs."""
        raise NotImplementedError

    def backward(self, kept: Tensors, h: Tensor, arguments: Tensors, upstream: Tensors) -> Gradients:
        """What `forward` kept, its h and its arguments, gradients of h and of the last states -> of the arguments."""
        raise NotImplementedError

    def loop_arguments(self, projected: Tensor, biases: Tensors) -> tuple[Tensor, Tensors]:
        """W x + b and the weights beside U of the cell's `step`, from W x."""
        return projected + biases[0], []

    def shaped(self, tensors: Tensors, *shapes: tuple) -> Tensors:
        """Tensors with static shapes, which the operations do not tell."""
        for tensor, shape in zip(tensors, shapes, strict=True):
            tensor.set_shape(shape)
        return list(tensors)

    def like(self, arguments: Tensors, *gradients: Tensor) -> Gradients:
        """Gradients with the static shapes of what they are of."""
        return tuple(self.shaped(gradients, *(argument.shape for argument in arguments)))

    def _shape_of_h(self, x, training):
        return x.shape[0], x.shape[1] if training or self.run.all_outputs else 0, self.H


class FusedLSTM(FusedUnit):
    """The weights are W, U and b."""

    def forward(  # type: ignore[override]
        self, x: Tensor, h0: Tensor, c0: Tensor, W: Tensor, U: Tensor, bias: Tensor, training: bool
    ) -> Forward:
        h, h_last, c_last, gates, c = operations().seq_models_lstm(
            x=x, w=W, u=U, h0=h0, c0=c0, bias=bias, **self.forward_options(training)
        )
        h, *last = self.shaped([h, h_last, c_last], self._shape_of_h(x, training), h0.shape, c0.shape)
        return h, last, [gates, c]

    def backward(self, kept: Tensors, h: Tensor, arguments: Tensors, upstream: Tensors) -> Gradients:
        x, h0, c0, W, U, bias = arguments
        dh, dh_last, dc_last = upstream
        gates, c = kept
        _, dx, dW, dU, dh0, dc0, dbias = operations().seq_models_lstm_gradient(
            x=x, w=W, u=U, h0=h0, h=h, dh=dh, dh_last=dh_last, dc_last=dc_last, c0=c0, gates=gates, c=c, **self.options
        )
        return self.like(arguments, dx, dh0, dc0, dW, dU, dbias)


class FusedGRU(FusedUnit):
    """Reset after the product. The weights are W, U, b and b'."""

    def biases(self, cell: Any) -> Tensors:
        if cell.bias is None:
            return [tf.zeros((3 * self.H,))] * 2
        return tf.unstack(tf.convert_to_tensor(cell.bias))

    def forward(  # type: ignore[override]
        self, x: Tensor, h0: Tensor, W: Tensor, U: Tensor, bias: Tensor, recurrent_bias: Tensor, training: bool
    ) -> Forward:
        h, h_last, gates, a_n = operations().seq_models_gru(
            x=x, w=W, u=U, h0=h0, bias=bias, recurrent_bias=recurrent_bias, **self.forward_options(training)
        )
        h, last = self.shaped([h, h_last], self._shape_of_h(x, training), h0.shape)
        return h, [last], [gates, a_n]

    def backward(self, kept: Tensors, h: Tensor, arguments: Tensors, upstream: Tensors) -> Gradients:
        x, h0, W, U, *_ = arguments
        dh, dh_last = upstream
        gates, a_n = kept
        _, dx, dW, dU, dh0, dbias, drecurrent_bias, _ = operations().seq_models_gru_gradient(
            x=x, w=W, u=U, h0=h0, h=h, dh=dh, dh_last=dh_last, gates=gates, a_n=a_n, **self.options
        )
        return self.like(arguments, dx, dh0, dW, dU, dbias, drecurrent_bias)

    def loop_arguments(self, projected: Tensor, biases: Tensors) -> tuple[Tensor, Tensors]:
        return projected + biases[0], [biases[1]]


class FusedGRUResetBefore(FusedUnit):
    """Reset before the product. The weights are W, U and b."""

    def forward(  # type: ignore[override]
        self, x: Tensor, h0: Tensor, W: Tensor, U: Tensor, bias: Tensor, training: bool
    ) -> Forward:
        h, h_last, gates = operations().seq_models_gru_reset_before(
            x=x, w=W, u=U, h0=h0, bias=bias, **self.forward_options(training)
        )
        h, last = self.shaped([h, h_last], self._shape_of_h(x, training), h0.shape)
        return h, [last], [gates]

    def backward(self, kept: Tensors, h: Tensor, arguments: Tensors, upstream: Tensors) -> Gradients:
        x, h0, W, U, _ = arguments
        dh, dh_last = upstream
        [gates] = kept
        _, dx, dW, dU, dh0, dbias = operations().seq_models_gru_reset_before_gradient(
            x=x, w=W, u=U, h0=h0, h=h, dh=dh, dh_last=dh_last, gates=gates, **self.options
        )
        return self.like(arguments, dx, dh0, dW, dU, dbias)


class FusedSimpleRNN(FusedUnit):
    """The weights are W, U and b."""

    def forward(  # type: ignore[override]
        self, x: Tensor, h0: Tensor, W: Tensor, U: Tensor, bias: Tensor, training: bool
    ) -> Forward:
        h, h_last = operations().seq_models_simple_rnn(
            x=x, w=W, u=U, h0=h0, bias=bias, **self.forward_options(training)
        )
        h, last = self.shaped([h, h_last], self._shape_of_h(x, training), h0.shape)
        return h, [last], []

    def backward(self, kept: Tensors, h: Tensor, arguments: Tensors, upstream: Tensors) -> Gradients:
        x, h0, W, U, _ = arguments
        dh, dh_last = upstream
        _, dx, dW, dU, dh0, dbias = operations().seq_models_simple_rnn_gradient(
            x=x, w=W, u=U, h0=h0, h=h, dh=dh, dh_last=dh_last, **self.options
        )
        return self.like(arguments, dx, dh0, dW, dU, dbias)


def fused_unit(cell: Any) -> type[FusedUnit] | None:
    """The operations of a cell; None where there are none: a class that derives from one of ours may step otherwise."""
    from seq_models.layers.gru import GRUCell
    from seq_models.layers.lstm import LSTMCell
    from seq_models.layers.simple_rnn import SimpleRNNCell

    if type(cell) is GRUCell:
        return FusedGRU if cell.reset_after else FusedGRUResetBefore
    return {LSTMCell: FusedLSTM, SimpleRNNCell: FusedSimpleRNN}.get(type(cell))
