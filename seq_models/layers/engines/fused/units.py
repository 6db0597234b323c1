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
        weights: U and what else the gradient is wanted of beside x and the first states; floats.
    """

    def __init__(self, run: Run):
        self.run, cell = run, run.cell
        self.H = cell.units
        self.weights: Tensors = [tf.convert_to_tensor(cell.recurrent_kernel), *self.biases(cell)]
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
        """W x (B, T, G), the first states, the weights -> h (B, T, H), the last states, what the gradient needs."""
        raise NotImplementedError

    def backward(self, kept: Tensors, h: Tensor, arguments: Tensors, upstream: Tensors) -> Gradients:
        """What `forward` kept, its h and its arguments, gradients of h and of the last states -> of the arguments."""
        raise NotImplementedError

    def loop_arguments(self, x: Tensor, biases: Tensors) -> tuple[Tensor, Tensors]:
        """W x + b and the weights beside U of the cell's `step`."""
        return x + biases[0], []

    def shaped(self, tensors: Tensors, *shapes: tuple) -> Tensors:
        """Tensors with static shapes, which the operations do not tell."""
        for tensor, shape in zip(tensors, shapes, strict=True):
            tensor.set_shape(shape)
        return list(tensors)

    def _shape_of_h(self, x, training):
        return x.shape[0], x.shape[1] if training or self.run.all_outputs else 0, self.H

    def of_product(self, entered: Tensor, dx: Tensor) -> Tensor:
        """Σ over steps and rows of h' dx: (B, T, H), (B, T, G) -> (H, G)."""
        rows = tf.reshape(entered, (-1, entered.shape[-1]))
        return tf.matmul(rows, tf.reshape(dx, (-1, dx.shape[-1])), transpose_a=True)


class FusedLSTM(FusedUnit):
    """The weights are U and b."""

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor, U: Tensor, bias: Tensor, training: bool) -> Forward:  # type: ignore[override]
        h, h_last, c_last, gates, c = operations().seq_models_lstm(
            x=x, u=U, h0=h0, c0=c0, bias=bias, **self.forward_options(training)
        )
        h, *last = self.shaped([h, h_last, c_last], self._shape_of_h(x, training), h0.shape, c0.shape)
        return h, last, [gates, c]

    def backward(self, kept: Tensors, h: Tensor, arguments: Tensors, upstream: Tensors) -> Gradients:
        x, h0, c0, U, _ = arguments
        dh, dh_last, dc_last = upstream
        gates, c = kept
        dx, entered, dh0, dc0, dbias = operations().seq_models_lstm_gradient(
            u=U, h0=h0, c0=c0, h=h, dh=dh, dh_last=dh_last, dc_last=dc_last, gates=gates, c=c, **self.options
        )
        shapes = x.shape, h.shape, h0.shape, c0.shape, (4 * self.H,)
        dx, entered, dh0, dc0, dbias = self.shaped([dx, entered, dh0, dc0, dbias], *shapes)
        return dx, dh0, dc0, self.of_product(entered, dx), dbias


class FusedGRU(FusedUnit):
    """Reset after the product. The weights are U, b and b'."""

    def biases(self, cell: Any) -> Tensors:
        if cell.bias is None:
            return [tf.zeros((3 * self.H,))] * 2
        return tf.unstack(tf.convert_to_tensor(cell.bias))

    def forward(  # type: ignore[override]
        self, x: Tensor, h0: Tensor, U: Tensor, bias: Tensor, recurrent_bias: Tensor, training: bool
    ) -> Forward:
        h, h_last, gates, a_n = operations().seq_models_gru(
            x=x, u=U, h0=h0, bias=bias, recurrent_bias=recurrent_bias, **self.forward_options(training)
        )
        h, last = self.shaped([h, h_last], self._shape_of_h(x, training), h0.shape)
        return h, [last], [gates, a_n]

    def backward(self, kept: Tensors, h: Tensor, arguments: Tensors, upstream: Tensors) -> Gradients:
        x, h0, U, *_ = arguments
        dh, dh_last = upstream
        gates, a_n = kept
        dx, da, entered, dh0, dbias, drecurrent_bias = operations().seq_models_gru_gradient(
            u=U, h0=h0, h=h, dh=dh, dh_last=dh_last, gates=gates, a_n=a_n, **self.options
        )
        shapes = x.shape, x.shape, h.shape, h0.shape, (3 * self.H,), (3 * self.H,)
        outputs = self.shaped([dx, da, entered, dh0, dbias, drecurrent_bias], *shapes)
        dx, da, entered, dh0, dbias, drecurrent_bias = outputs
        return dx, dh0, self.of_product(entered, da), dbias, drecurrent_bias

    def loop_arguments(self, x: Tensor, biases: Tensors) -> tuple[Tensor, Tensors]:
        return x + biases[0], [biases[1]]


class FusedGRUResetBefore(FusedUnit):
    """Reset before the product. The weights are U and b."""

    def forward(self, x: Tensor, h0: Tensor, U: Tensor, bias: Tensor, training: bool) -> Forward:  # type: ignore[override]
        h, h_last, gates = operations().seq_models_gru_reset_before(
            x=x, u=U, h0=h0, bias=bias, **self.forward_options(training)
        )
        h, last = self.shaped([h, h_last], self._shape_of_h(x, training), h0.shape)
        return h, [last], [gates]

    def backward(self, kept: Tensors, h: Tensor, arguments: Tensors, upstream: Tensors) -> Gradients:
        x, h0, U, _ = arguments
        dh, dh_last = upstream
        [gates] = kept
        outputs = operations().seq_models_gru_reset_before_gradient(
            u=U, h0=h0, h=h, dh=dh, dh_last=dh_last, gates=gates, **self.options
        )
        shapes = x.shape, h.shape, h.shape, h0.shape, (3 * self.H,)
        dx, entered, reset, dh0, dbias = self.shaped(outputs, *shapes)
        of_gates = self.of_product(entered, dx[:, :, : 2 * self.H])
        of_candidate = self.of_product(reset, dx[:, :, 2 * self.H :])
        return dx, dh0, tf.concat([of_gates, of_candidate], axis=1), dbias


class FusedSimpleRNN(FusedUnit):
    """The weights are U and b."""

    def forward(self, x: Tensor, h0: Tensor, U: Tensor, bias: Tensor, training: bool) -> Forward:  # type: ignore[override]
        h, h_last = operations().seq_models_simple_rnn(x=x, u=U, h0=h0, bias=bias, **self.forward_options(training))
        h, last = self.shaped([h, h_last], self._shape_of_h(x, training), h0.shape)
        return h, [last], []

    def backward(self, kept: Tensors, h: Tensor, arguments: Tensors, upstream: Tensors) -> Gradients:
        x, h0, U, _ = arguments
        dh, dh_last = upstream
        outputs = operations().seq_models_simple_rnn_gradient(u=U, h0=h0, h=h, dh=dh, dh_last=dh_last, **self.options)
        dx, entered, dh0, dbias = self.shaped(outputs, x.shape, h.shape, h0.shape, (self.H,))
        return dx, dh0, self.of_product(entered, dx), dbias


def fused_unit(cell: Any) -> type[FusedUnit] | None:
    """The operations of a cell; None where there are none: a class that derives from one of ours may step otherwise."""
    from seq_models.layers.gru import GRUCell
    from seq_models.layers.lstm import LSTMCell
    from seq_models.layers.simple_rnn import SimpleRNNCell

    if type(cell) is GRUCell:
        return FusedGRU if cell.reset_after else FusedGRUResetBefore
    return {LSTMCell: FusedLSTM, SimpleRNNCell: FusedSimpleRNN}.get(type(cell))
