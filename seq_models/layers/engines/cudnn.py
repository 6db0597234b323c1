"""The kernels of cuDNN on a GPU, by Keras's own way to them."""

import keras
from keras import ops

from seq_models.layers.engines.engine import Engine, Facts, Run, lacking_for_a_kernel
from seq_models.layers.engines.loop import Loop
from seq_models.layers.places import stands_for
from seq_models.layers.tensors import Tensor, Tensors
from seq_models.private_api import recurrence_of_keras

DTYPES = {"tensorflow": ("float32", "float16"), "jax": ("float32",)}
CELLS = {  # that Keras hands to cuDNN
    "tensorflow": (keras.layers.LSTMCell, keras.layers.GRUCell),
    "jax": (keras.layers.LSTMCell,),
}


class CuDNN(Engine):
    """What `keras.layers.LSTM` and `keras.layers.GRU` do on a GPU, under their conditions.

    cuDNN reads rows that are padded at their end and have a real token, and at least one row; whether a call is of
    such rows is seen in the graph, and the loop takes the others. The gradient has no gradient.
    """

    under_xla = False

    def why_not(self, facts: Facts) -> str | None:
        backend, cell = facts.backend, facts.cell
        if backend not in CELLS:
            return f"the backend tensorflow or jax. Received: {backend}"
        if stands_for(cell) not in CELLS[backend]:
            names = " or a ".join(each.__name__ for each in CELLS[backend])
            return f"a {names} on {backend}. Received: {type(cell).__name__}"
        if not getattr(cell, "reset_after", True):
            return "reset_after=True. Received: False"
        if not cell.use_bias:
            return "use_bias=True. Received: False"
        if facts.training and cell.recurrent_dropout:
            return f"recurrent_dropout=0 in training. Received: {cell.recurrent_dropout}"
        if facts.weight_dropout:
            return "weight_dropout=0 in training"
        if cell.compute_dtype not in DTYPES[backend]:
            return f"{' or '.join(DTYPES[backend])} on {backend}. Received: {cell.compute_dtype}"
        if facts.masked and backend == "jax":
            return "a call without a mask on jax. Received: a mask"
        if facts.use_cudnn is False:
            return "use_cudnn='auto' or True. Received: use_cudnn=False"
        return lacking_for_a_kernel(facts) or (None if facts.gpu else "a GPU. Received: none")

    def pays(self, facts: Facts) -> bool:
        return facts.backend == "tensorflow"  # XLA, which compiles JAX's loop, is faster

    def run(self, run: Run) -> tuple[Tensor, Tensor, Tensors]:
        run = run.dropped()._replace(last_states=True)
        if run.mask is not None:
            run = run._replace(mask=ops.cast(run.mask, "bool"))
        able = _readable(run)
        if able is True:
            return _by_cudnn(run)
        return ops.cond(able, lambda: _by_cudnn(run), lambda: Loop().run(run))


def _readable(run):
    """Whether cuDNN can read a run: a boolean of the graph, or True where it is known before."""
    rows = ops.shape(run.sequences)[0]
    known = isinstance(rows, int) and rows > 0
    if run.mask is None:
        return known or ops.greater(rows, 0)
    padded = _padded_at_the_end(run.mask)
    return padded if known else ops.logical_and(padded, ops.greater(rows, 0))


def _padded_at_the_end(mask):
    """Whether every row is real tokens and then padding, with a real token."""
    grows = ops.any(ops.logical_and(mask[:, 1:], ops.logical_not(mask[:, :-1])))
    return ops.logical_and(ops.all(mask[:, 0]), ops.logical_not(grows))


def _by_cudnn(run):
    backwards = run.layer.go_backwards
    if backwards and run.mask is None:
        run, backwards = run._replace(sequences=ops.flip(run.sequences, axis=1)), False
    try:
        last, h, states = recurrence_of_keras(run.cell, run.sequences, run.states, run.mask, backwards)
    except NotImplementedError:  # this backend's Keras cannot after all
        return Loop().run(run)
    if run.mask is not None and not run.layer.zero_output_for_mask and not backwards:
        h = ops.where(run.mask[:, :, None], h, last[:, None])  # cuDNN gives zeros, Keras's loop repeats the last output
    return last, h, states
