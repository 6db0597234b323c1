"""SimpleRNN, LSTM and GRU over a whole sequence, with the contract of the `keras.layers` classes of those names."""

import keras
from keras import ops

from seq_models.layers import recurrence
from seq_models.layers.cells import GRUCell, LSTMCell, SimpleRNNCell

ROWS_TO_SPLIT = 8  # a batch of fewer is not worth a second loop


class Recurrent(keras.layers.RNN):
    """A recurrent layer: its cell, run over time by `recurrence`.

    Everything around the loop (masks, states, `stateful`, `return_state`) is that of `keras.layers.RNN`. On a padded
    step the states are held and the output is the one of the step before, as in `keras.layers`.
    `unroll` and activations without a known derivative run the cell step by step instead. A graph of TensorFlow on a
    CPU runs two halves of the rows beside each other, see `_parts`; the result is the same.

    Args:
        units: H, a positive integer.
        activation: Of the candidate.
        return_sequences: Return h of every step (B, T, H) rather than of the last one (B, H).
        return_state: Return the last states too.
        go_backwards: Read the sequence from its end; outputs come in that order.
        stateful: Keep the last states of a batch as the first states of the next one.
        unroll: Write the loop out; T must be static.
        zero_output_for_mask: Output zeros on padded steps.
        activity_regularizer: Penalty on the output.
        use_cudnn: "auto" or False; both mean no. True is an error, because this recurrence is plain operations.
        dtype, name, trainable: As in every Keras layer.
        cell_options: Every other argument of the cell.
    Call arguments:
        sequences: Floats (B, T, D).
        initial_state: The states before the first step, a list of floats (B, H); zeros by default.
        mask: Booleans (B, T), True on real tokens.
        training: Whether dropout is on.
    Raises:
        ValueError: If an argument is not of the kind above, or `sequences` is not of rank 3.
    """

    cell_class = None
    halves = True  # whether the rows may run in two halves
    differentiable = True  # whether a gradient may be asked for

    def __init__(
        self,
        units,
        activation="tanh",
        *,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        zero_output_for_mask=False,
        activity_regularizer=None,
        use_cudnn="auto",
        dtype=None,
        name=None,
        trainable=True,
        **cell_options,
    ):
        if use_cudnn not in ("auto", False):
            raise ValueError(f"use_cudnn must be 'auto' or False. Received: use_cudnn={use_cudnn!r}")
        super().__init__(
            self.cell_class(units, activation, dtype=dtype, trainable=trainable, **cell_options),
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            dtype=dtype,
            name=name,
            trainable=trainable,
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.use_cudnn = use_cudnn

    def build(self, sequences_shape, initial_state_shape=None):
        super().build(sequences_shape, initial_state_shape)
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: sequences_shape[-1]})

    def inner_loop(self, sequences, initial_state, mask, training=False, last_states=False):
        mask = None if mask is None else ops.convert_to_tensor(mask)
        self._check_shapes(sequences, initial_state, mask)
        if self.unroll or not recurrence.supported(self.cell):
            return super().inner_loop(sequences, initial_state, mask, training)
        keep = None
        if training:
            if self.cell.dropout:
                sequences = sequences * self.cell.get_dropout_mask(sequences[:, 0])[:, None]
            keep = self.cell.keep(initial_state[0])
        parts = []
        for rows in self._parts(sequences):
            states = [state[rows] for state in initial_state]
            parts.append(
                self.over_time(sequences[rows], states, _rows(mask, rows), _rows(keep, rows), training, last_states)
            )
        return keras.tree.map_structure(lambda *part: ops.concatenate(part), *parts)

    def read(self, sequences, initial_state, mask=None):
        """Sequences (B, T, D) and the states before them -> h of all steps (B, T, H), the last states. No dropout."""
        _, outputs, states = self.inner_loop(sequences, initial_state, mask, last_states=True)
        return outputs, states

    def over_time(self, sequences, initial_state, mask, keep, training, last_states=False):
        """The recurrence over some rows -> (last output (B, H), outputs (B, T, H), last states).

        Arguments: as `recurrence.run`, but batch-major.
        """
        projected = self.cell.project(self._time_major(sequences))  # (T, B, G)
        live = None if mask is None else self._time_major(ops.cast(mask, "bool")[:, :, None])
        wanted = self.return_state or self.stateful or last_states
        if self.differentiable:
            h, states = recurrence.run(self.cell, projected, initial_state, live, keep, training, wanted)
        else:
            h, states = recurrence.forward_only(self.cell, projected, initial_state, live)
        if live is not None:
            h = ops.where(live if self.zero_output_for_mask else _seen(live), h, ops.zeros_like(h))
        return h[-1], ops.transpose(h, (1, 0, 2)), states

    def _parts(self, sequences):
        """Slices of the rows that run beside each other: two halves in a graph on CPU cores, else all rows at once.

        A graph runs two loops that do not wait for each other on two cores, where two cores that share each product
        wait for each other at every step. Eager execution, a GPU and the other backends would run one loop after the
        other.
        """
        B = sequences.shape[0]
        graph = keras.backend.backend() == "tensorflow" and not hasattr(sequences, "numpy")
        if not (self.halves and graph) or keras.distribution.list_devices("gpu") or (B and B < ROWS_TO_SPLIT):
            return [slice(None)]
        half = ops.shape(sequences)[0] // 2
        return [slice(None, half), slice(half, None)]

    def _check_shapes(self, sequences, initial_state, mask):
        B, T = sequences.shape[:2]
        if len(initial_state) != len(self.state_size):
            expected = f"initial_state must be a list of {len(self.state_size)}, one for each state of the cell."
            raise ValueError(f"{expected} Received: {len(initial_state)} of them")
        for state, H in zip(initial_state, self.state_size, strict=True):
            _check_shape("initial_state", state, (B, H))
        if mask is not None:
            _check_shape("mask", mask, (B, T))

    def _time_major(self, batch_major):
        turned = ops.transpose(batch_major, (1, 0, 2))
        return ops.flip(turned, axis=0) if self.go_backwards else turned

    def get_config(self):
        config = super().get_config()
        del config["cell"]
        cell = self.cell.get_config()
        own = ("name", "trainable", "dtype")
        return {**config, **{k: v for k, v in cell.items() if k not in own}, "use_cudnn": self.use_cudnn}

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


def _rows(tensor, rows):
    return None if tensor is None else tensor[rows]


def _check_shape(name, tensor, expected):
    shape = tuple(tensor.shape)
    if len(shape) != len(expected) or any(s != e and None not in (s, e) for s, e in zip(shape, expected, strict=True)):
        raise ValueError(f"{name} must have shape {expected}. Received: {name}.shape={shape}")


def _seen(live):
    """True from the first real token on: before it there is no output to repeat, and `keras.layers` gives zeros."""
    return ops.cumsum(ops.cast(live, "int32"), axis=0) > 0


@keras.saving.register_keras_serializable(package="seq_models")
class SimpleRNN(Recurrent):
    """A simple recurrent network over a sequence. Equations: `SimpleRNNCell`; arguments: `Recurrent`."""

    cell_class = SimpleRNNCell


@keras.saving.register_keras_serializable(package="seq_models")
class LSTM(Recurrent):
    """A long short-term memory network over a sequence. Equations: `LSTMCell`; arguments: `Recurrent`."""

    cell_class = LSTMCell


@keras.saving.register_keras_serializable(package="seq_models")
class GRU(Recurrent):
    """A gated recurrent network over a sequence. Equations: `GRUCell`; arguments: `Recurrent`."""

    cell_class = GRUCell


@keras.saving.register_keras_serializable(package="seq_models")
class Bidirectional(keras.layers.Bidirectional):
    """h_t = [h_t^f; h_t^b]: a layer in both directions, as `keras.layers.Bidirectional`.

    The two directions are two loops that do not wait for each other, so neither halves its rows.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for layer in (self.forward_layer, self.backward_layer):
            layer.halves = False
