"""Derivatives: of the activations, and of one step of a cell."""

from collections.abc import Callable

import keras
from keras import ops

from seq_models.layers.tensors import Tensor, Tensors

# Derivatives of the activations as functions of their own output y.
DERIVATIVES = {
    keras.activations.tanh: lambda y: 1 - y * y,
    keras.activations.sigmoid: lambda y: y * (1 - y),
    keras.activations.relu: lambda y: ops.cast(y > 0, y.dtype),
    keras.activations.linear: ops.ones_like,
}
# max |g'| of each.
STEEPEST = {
    keras.activations.tanh: 1.0,
    keras.activations.sigmoid: 0.25,
    keras.activations.relu: 1.0,
    keras.activations.linear: 1.0,
}


def lacking(cell: keras.layers.Layer) -> str | None:
    """What a cell lacks whose derivative is wanted, the end of a sentence; None: nothing."""
    names = [name for name in ("activation", "recurrent_activation") if hasattr(cell, name)]
    functions = {name: getattr(cell, name) for name in names}
    if set(functions.values()) <= DERIVATIVES.keys():
        return None if cell.gradient() else f"a cell with a gradient written out. Received: {type(cell).__name__}"
    received = ", ".join(f"{name}={getattr(g, '__name__', g)!r}" for name, g in functions.items())
    return f"activations among {', '.join(sorted(g.__name__ for g in DERIVATIVES))}. Received: {received}"


class StepGradient:
    """The derivative of one step of a cell, which the cell's `gradient()` gives.

    Shapes: x (B, G) with G the width of the kernel, gates and states (B, H); with a leading T for all steps at once.
    `before` and `after` are the states on both sides of the step, h first. `keep` is the dropout of h where it enters
    the product with U, (B, H), the same at every step; None means that nothing is dropped.

    Args:
        cell: A `RecurrentCell` whose activations have derivatives in the table.
    """

    gates = 0  # how many tensors beside the states the cell's `step` returns

    def __init__(self, cell: keras.layers.Layer):
        self.g, self.dg = cell.activation, DERIVATIVES[cell.activation]
        self.dgate = DERIVATIVES[getattr(cell, "recurrent_activation", cell.activation)]

    def back(
        self, gradients: Tensors, gates: Tensors, before: Tensors, after: Tensors, weights: Tensors, keep: Tensor | None
    ) -> tuple[Tensors, Tensor]:
        """Gradients of the states before the step, and of x; `weights` are the recurrent ones, matrices transposed."""
        raise NotImplementedError

    def weight_gradients(self, dx: Tensor, gates: Tensors, h: Tensor, keep: Tensor | None) -> Tensors:
        """Gradients of the recurrent weights for all steps at once: that of U, where a step has x + h U alone."""
        return [product_over_steps(dropped(h, keep), dx)]


def dropped(x: Tensor, keep: Tensor | None) -> Tensor:
    """x under dropout: as it is where `keep` is None."""
    return x if keep is None else x * keep


def product_over_steps(h: Tensor, dx: Tensor) -> Tensor:
    """Σ_t h_t' dx_t over all steps and rows: (T, B, H), (T, B, G) -> (H, G)."""
    rows = ops.reshape(h, (-1, h.shape[-1]))
    return ops.matmul(ops.transpose(rows), ops.reshape(dx, (-1, dx.shape[-1])))


def written_out(run: Callable, derive: Callable, *arguments: Tensor) -> Tensor:
    """What a function gives, with a gradient that is written out.

    Args:
        run: run(*arguments) -> (one tensor, for not every backend takes the gradient of several; what `derive` needs).
        derive: derive(upstream, arguments, what `run` gave for it) -> the gradients of the arguments.
        arguments: Tensors of rank 1 or more.
    """

    @ops.custom_gradient
    def forward(*arguments):
        output, kept = run(*arguments)

        def gradient(*args, upstream=None):
            if upstream is None:
                return tuple(derive(args[0], arguments, kept))
            # torch hands over the arguments; a gradient of this gradient must see how the rest came from them.
            again = any(argument[:1].requires_grad for argument in args)
            return tuple(derive(upstream, args, run(*args)[1]) if again else derive(upstream, arguments, kept))

        return output, gradient

    return forward(*arguments)
