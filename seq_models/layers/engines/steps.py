"""The cell step by step, with the gradient that the backend derives."""

import keras

from seq_models.layers.engines.engine import Engine, Run
from seq_models.layers.tensors import Tensor, Tensors


class Steps(Engine):
    """The loop of `keras.layers.RNN`, written out with `unroll`. The cell itself drops inputs and states in it."""

    def run(self, run: Run) -> tuple[Tensor, Tensor, Tensors]:
        return keras.layers.RNN.inner_loop(run.layer, run.sequences, run.states, run.mask, run.training)
