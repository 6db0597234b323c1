"""The interface of an engine: the facts it is chosen by, its input and its output."""

from typing import NamedTuple

import keras

from seq_models.layers.recurrent_cell import RecurrentCell
from seq_models.layers.tensors import Mask, Tensor, Tensors

PLAIN = {"activation": keras.activations.tanh, "recurrent_activation": keras.activations.sigmoid}


class Facts(NamedTuple):
    """The facts of a call before it runs, by which an engine is chosen.

    Attributes:
        cell: The cell.
        unroll: Whether the loop is to be written out.
        use_cudnn: The option of the layer: "auto", also where it has none, True or False.
        training: Whether the call is one of training.
        weight_dropout: Whether some weights of U are dropped in it.
        rows: B, or None where it is not static.
        masked: Whether the call has a mask.
        backend: The backend of Keras.
        graph: Whether a graph of TensorFlow is being traced: what does not wait for each other runs at the same time.
        gpu: Whether the backend, TensorFlow or JAX, has a GPU.
        xla: Whether XLA will compile the graph.
        exported: Whether the graph is for a SavedModel, which others have to run.
        beside: Whether another loop runs beside this one, as the two directions of a `Bidirectional` do.
    """

    cell: RecurrentCell
    unroll: bool = False
    use_cudnn: bool | str = "auto"
    training: bool = False
    weight_dropout: bool = False
    rows: int | None = None
    masked: bool = False
    backend: str = "tensorflow"
    graph: bool = False
    gpu: bool = False
    xla: bool = False
    exported: bool = False
    beside: bool = False


class Run(NamedTuple):
    """A unit over a whole sequence: what an engine is given.

    Attributes:
        layer: The `Recurrent`, for its cell and its options (`go_backwards`, `zero_output_for_mask`, …).
        sequences: Floats (B, T, D).
        states: The states before the first step, a list of floats (B, H), h first.
        mask: Booleans (B, T), True on real tokens; on the others the states are held. None: all tokens are real.
        keep_inputs: The dropout of the inputs, the same at every step, floats (B, D); None: nothing is dropped.
        keep: The dropout of h where it enters the product with U, the same at every step, floats (B, H) or None.
        recurrent_kernel: U as dropout has left it, the same at every step; None: that of the cell.
        training: Whether a gradient will be asked for: it then takes less time, for more memory.
        last_states: Whether the states after the last step are wanted.
        all_outputs: Whether all outputs are wanted, or the last one only.
    """

    layer: keras.layers.RNN
    sequences: Tensor
    states: Tensors
    mask: Mask = None
    keep_inputs: Tensor | None = None
    keep: Tensor | None = None
    recurrent_kernel: Tensor | None = None
    training: bool = False
    last_states: bool = False
    all_outputs: bool = True

    @property
    def cell(self) -> RecurrentCell:
        """The cell of the layer."""
        return self.layer.cell

    def recurrent_weights(self) -> Tensors:
        """Those of the cell, U first, with the U of this run."""
        U, *others = self.cell.recurrent_weights()
        return [U if self.recurrent_kernel is None else self.recurrent_kernel, *others]

    def dropped(self) -> "Run":
        """The same with the dropout of the inputs done."""
        if self.keep_inputs is None:
            return self
        return self._replace(sequences=self.sequences * self.keep_inputs[:, None], keep_inputs=None)

    def of_rows(self, rows: slice) -> "Run":
        """The same for some of the rows."""
        taken = {name: getattr(self, name) for name in ("mask", "keep_inputs", "keep")}
        taken = {name: tensor[rows] for name, tensor in taken.items() if tensor is not None}
        return self._replace(sequences=self.sequences[rows], states=[state[rows] for state in self.states], **taken)


class Engine:
    """Runs a unit over a whole sequence."""

    under_xla = True  # whether XLA can compile it

    def why_not(self, facts: Facts) -> str | None:
        """None if it can run a call of these facts, else the end of the sentence "it needs …"."""
        return None

    def pays(self, facts: Facts) -> bool:
        """Whether it is faster than the engines after it in the table, where it can run the call."""
        return True

    def run(self, run: Run) -> tuple[Tensor, Tensor, Tensors]:
        """The last output (B, H), all outputs (B, T, H), the last states; what is not wanted may be left out.

        In place of all outputs there may then be the last one alone (B, 1, H), and no states, [].
        """
        raise NotImplementedError


def lacking_for_a_kernel(facts: Facts) -> str | None:
    """What a call lacks that any compiled kernel needs, the end of the sentence "it needs …"; None: nothing."""
    if facts.unroll:
        return "a loop that is not written out. Received: unroll=True"
    if facts.xla:
        return "a graph that XLA does not compile. Received: jit_compile=True"
    if facts.exported:
        return "a graph that is not exported. Received: a SavedModel"
    for name, function in PLAIN.items():
        if getattr(facts.cell, name, function) is not function:
            return f"{name}={function.__name__}. Received: {name}={getattr(facts.cell, name)!r}"
    return None
