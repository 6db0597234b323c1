"""A unit over a whole sequence, with the contract of the layers of `keras.layers`, in one direction or in both."""

import difflib
import inspect
import re
from numbers import Real
from typing import Any

import keras
from keras import ops

from seq_models.layers import engines
from seq_models.layers.recurrent_cell import RecurrentCell
from seq_models.layers.tensors import Mask, Option, Tensor, Tensors

UNSIGNED = {"input_shape", "input_dim"}  # which every layer of Keras takes, though no signature says so


class Recurrent(keras.layers.RNN):
    """A recurrent layer: its cell, run over time by one of the `engines`.

    Everything around the loop (masks, states, `stateful`, `return_state`) is that of `keras.layers.RNN`. On a padded
    step the states are held and the output is the one of the step before, as in `keras.layers`.

    Args:
        units: H, a positive integer.
        activation: Of the candidate.
        return_sequences: Return h of every step (B, T, H) rather than of the last one (B, H).
        return_state: Return the last states too.
        go_backwards: Read the sequence from its end; outputs come in that order.
        stateful: Keep the last states of a batch as the first states of the next one.
        unroll: Write the loop out; T must be static.
        zero_output_for_mask: Output zeros on padded steps.
        weight_dropout: DropConnect: share of the weights of U that training drops, in [0, 1). One mask a call, the same
            at every step and for every row [1, 2].
        activity_regularizer: Penalty on the output.
        engine: What runs the cell over time: "auto", which takes the fastest that can, or "cudnn" (on a GPU), "fused"
            (one compiled operation on CPU cores, never in a SavedModel; built on first use, where there is a C++
            compiler), "halves" (two loops, for half of the rows each, beside each other), "loop" (a loop with its own
            gradient), "steps" (the cell step by step, as `unroll` and activations without a known derivative need it).
            The result is the same.
        dtype, name, trainable: As in every Keras layer.
        cell_options: Every other argument of the cell.
    Call arguments:
        sequences: Floats (B, T, D).
        initial_state: The states before the first step, a list of floats (B, H); zeros by default.
        mask: Booleans (B, T), True on real tokens.
        training: Whether dropout is on.
    Attributes:
        engine_used: What ran the last call, and why: see `engines.Used`; None before the first one.
    Raises:
        ValueError: If an argument is none of these or not of the kind above, if `sequences` is not of rank 3, or if the
            engine that was asked for cannot run the layer.
    References:
        [1] Wan et al. 2013. [2] Merity, Keskar and Socher 2017 (arXiv:1708.02182), section 2.
    """

    engine_used: engines.Used | None = None
    cell_class: type[RecurrentCell]

    def __init__(
        self,
        units: int,
        activation: Option = "tanh",
        *,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        activity_regularizer: Option = None,
        weight_dropout: float = 0.0,
        engine: str = "auto",
        dtype: Any = None,
        name: str | None = None,
        trainable: bool = True,
        **cell_options: Any,
    ):
        engines.check_name(engine)
        if not isinstance(weight_dropout, Real) or not 0 <= float(weight_dropout) < 1:
            raise ValueError(f"weight_dropout must be in [0, 1). Received: weight_dropout={weight_dropout!r}")
        _check_names(type(self), self.cell_class, cell_options)
        cell_options |= {"dtype": dtype, "trainable": trainable, "name": _snake_case(self.cell_class.__name__)}
        cell = self.cell_class(units, activation, **cell_options)
        of_rnn = return_sequences, return_state, go_backwards, stateful, unroll, zero_output_for_mask
        of_layer = {"activity_regularizer": activity_regularizer, "dtype": dtype, "name": name, "trainable": trainable}
        super().__init__(cell, *of_rnn, **of_layer)
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.weight_dropout, self.engine = weight_dropout, engine

    def build(self, sequences_shape, initial_state_shape=None):
        super().build(sequences_shape, initial_state_shape)
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: sequences_shape[-1]})

    def inner_loop(self, sequences, initial_state, mask, training=False):
        wanted = self.return_state or self.stateful
        return self._run(sequences, initial_state, mask, training, wanted, self.return_sequences)

    def read(
        self, sequences: Tensor, states: Tensors, mask: Mask = None, training: bool = False
    ) -> tuple[Tensor, Tensors]:
        """Sequences (B, T, D) and the states before them -> h of all steps (B, T, H), the states after them.

        On a padded step the states are held; what h is there does not matter.
        """
        return self(sequences, initial_state=states, mask=mask, training=training, read=True)

    def call(self, sequences, initial_state=None, mask=None, training=False, read=False):
        if not read:
            return super().call(sequences, initial_state, mask, training)
        _, outputs, states = self._run(sequences, initial_state, mask, training, last_states=True, all_outputs=True)
        return outputs, states

    def _run(self, sequences, initial_state, mask, training, last_states, all_outputs):
        training = bool(training)  # a `Bidirectional` hands on None where nobody said
        sequences = ops.cast(sequences, self.compute_dtype)  # of integers; Keras has cast floats
        mask = None if mask is None else ops.convert_to_tensor(mask)
        self._check_shapes(sequences, initial_state, mask)
        # Their values now: a stateful layer changes its variables before the gradient looks at them.
        initial_state = [ops.copy(state) for state in initial_state]
        cell = self.cell
        keep_inputs = cell.get_dropout_mask(sequences[:, 0]) if training and cell.dropout else None
        keep = cell.keep(initial_state[0]) if training else None
        U = self._dropped_weights() if training and self.weight_dropout else None
        wanted = last_states, all_outputs
        run = engines.Run(self, sequences, initial_state, mask, keep_inputs, keep, U, training, *wanted)
        facts = engines.facts_of(run)
        engine = engines.choose(facts, "cudnn" if facts.use_cudnn is True else self.engine)
        self.engine_used = engines.Used.of(engine, facts)
        if not engine.under_xla:
            self.supports_jit = False  # `jit_compile="auto"` of Keras then means no
        return engine.run(run)

    def _dropped_weights(self):
        U = ops.cast(self.cell.recurrent_kernel, self.compute_dtype)
        return keras.random.dropout(U, self.weight_dropout, seed=self.cell.seed_generator)

    def _check_shapes(self, sequences, initial_state, mask):
        B, T = sequences.shape[:2]
        if len(initial_state) != len(self.state_size):
            expected = f"initial_state must be a list of {len(self.state_size)}, one for each state of the cell."
            raise ValueError(f"{expected} Received: {len(initial_state)} of them")
        for state, H in zip(initial_state, self.state_size, strict=True):
            _check_shape("initial_state", state, (B, H))
        if mask is not None:
            _check_shape("mask", mask, (B, T))

    def get_config(self):
        config = super().get_config()
        del config["cell"]
        own = ("name", "trainable", "dtype")
        cell = {k: v for k, v in self.cell.get_config().items() if k not in own}
        return {**config, **cell, "weight_dropout": self.weight_dropout, "engine": self.engine}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __getattr__(self, name):
        """`layer.units`, `layer.dropout`, …: the options of its cell."""
        own = getattr(super(), "__getattr__", super().__getattribute__)  # on torch it finds the cell
        try:
            return own(name)
        except AttributeError:
            if name == "cell" or name.startswith("_") or not hasattr(getattr(self, "cell", None), name):
                raise
        return getattr(self.cell, name)


def _snake_case(name):
    """The name of a class as Keras has it in the paths of weights, there of a cell too: "lstm/lstm_cell/kernel"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _check_names(layer, cell, options):
    """Refuses options that neither the layer nor its cell has, before the cell would in its own name."""
    signatures = [inspect.signature(base.__init__) for base in (*layer.__mro__, *cell.__mro__)]
    parameters = [each for signature in signatures for each in signature.parameters.values()]
    known = {each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
    known -= {"self", "cell"}
    for name, value in options.items():
        if name not in known | UNSIGNED:
            close = ", ".join(difflib.get_close_matches(name.lower(), known) or sorted(known))
            raise ValueError(f"{layer.__name__} must be given its own options, as {close}. Received: {name}={value!r}")


def _check_shape(name, tensor, expected):
    shape = tuple(tensor.shape)
    if len(shape) != len(expected) or any(s != e and None not in (s, e) for s, e in zip(shape, expected, strict=True)):
        raise ValueError(f"{name} must have shape {expected}. Received: {name}.shape={shape}")


class GatedRecurrent(Recurrent):
    """A recurrent layer with gates: Keras has cuDNN run such layers, and an option for it.

    Args, call arguments, attributes: see `Recurrent`, and
        use_cudnn: Whether `engine` may be "cudnn" ("auto"), must be (True), or must not be (False).
    Raises:
        ValueError: If `use_cudnn` is another value or contradicts `engine`, or for what a `Recurrent` refuses.
    """

    def __init__(
        self, units: int, *arguments: Any, use_cudnn: bool | str = "auto", engine: str = "auto", **options: Any
    ):
        if use_cudnn != "auto" and not isinstance(use_cudnn, bool):
            raise ValueError(f"use_cudnn must be 'auto', True or False. Received: use_cudnn={use_cudnn!r}")
        if (use_cudnn is True and engine not in ("auto", "cudnn")) or (use_cudnn is False and engine == "cudnn"):
            received = f"use_cudnn={use_cudnn}, engine={engine!r}"
            raise ValueError(f"use_cudnn and engine must not contradict each other. Received: {received}")
        super().__init__(units, *arguments, engine=engine, **options)
        self.use_cudnn = use_cudnn

    def get_config(self):
        return {**super().get_config(), "use_cudnn": self.use_cudnn}


@keras.saving.register_keras_serializable(package="seq_models")
class Bidirectional(keras.layers.Bidirectional):
    """h_t = [h_t^f; h_t^b]: a layer in both directions, as `keras.layers.Bidirectional`.

    The two directions are two loops that do not wait for each other, so neither halves its rows.
    """

    def call(self, sequences, initial_state=None, mask=None, training=None):
        with engines.beside_each_other():
            return super().call(sequences, initial_state, mask, training)
