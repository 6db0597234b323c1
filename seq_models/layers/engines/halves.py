"""Two halves of the rows beside each other."""

import keras
from keras import ops

from seq_models.layers.engines.engine import Facts, Run
from seq_models.layers.engines.loop import Loop
from seq_models.layers.tensors import Tensor, Tensors

ENOUGH = 2048  # numbers of a state, B H: a step of fewer is not worth a second loop
USUAL_ROWS = 32  # where B is not known


class Halves(Loop):
    """The loop of `Loop`, twice: each for one half of the rows.

    A graph runs two loops that do not wait for each other on two cores, where two cores that share each product wait
    for each other at every step. Eager execution, a GPU and the other backends would run one loop after the other.
    """

    def pays(self, facts: Facts) -> bool:
        rows = USUAL_ROWS if facts.rows is None else facts.rows
        enough = rows > 1 and rows * facts.cell.units >= ENOUGH
        return enough and facts.graph and not facts.gpu and not facts.beside

    def run(self, run: Run) -> tuple[Tensor, Tensor, Tensors]:
        run = run.dropped()
        half = ops.shape(run.sequences)[0] // 2
        halves = [super(Halves, self).run(run.of_rows(rows)) for rows in (slice(None, half), slice(half, None))]
        return keras.tree.map_structure(lambda *parts: ops.concatenate(parts), *halves)
