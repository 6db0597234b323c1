"""One step of the three recurrent units: a cell is its equations.

A cell takes the input of one step and the states of the step before, and returns its output and the new states. Every
cell obeys the protocol of `keras.layers.RNN`; its weights are packed as in `keras.layers`, so `set_weights` moves
weights both ways.
"""

import keras
from keras import ops

from seq_models.layers import recurrence
from seq_models.layers.recurrence import dropped
from seq_models.private_api import DropoutRNNCell

WEIGHTS = ("kernel", "recurrent", "bias")


class RecurrentCell(keras.layers.Layer, DropoutRNNCell):
    """What the three cells share: the weights, their options, and dropout.

    Args:
        units: H, a positive integer.
        activation: Of the candidate (and of c' in an LSTM), a name or a function.
        use_bias: Whether there are biases.
        kernel_initializer, recurrent_initializer, bias_initializer: How the weights start.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Penalties on the weights.
        kernel_constraint, recurrent_constraint, bias_constraint: Constraints on the weights.
        dropout: Share of the inputs that is dropped in training, the same ones at every step; in [0, 1].
        recurrent_dropout: The same for h_{t-1} where it enters the product with U.
        seed: Of the dropout.
    Raises:
        ValueError: If `units` is not a positive integer or a rate is outside [0, 1].
    """

    blocks = 1  # of H columns each, packed in a kernel

    def __init__(
        self,
        units,
        activation="tanh",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(units, bool) or not isinstance(units, int) or units <= 0:
            raise ValueError(f"units must be a positive integer. Received: units={units!r}")
        for name, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if not 0 <= rate <= 1:
                raise ValueError(f"{name} must be in [0, 1]. Received: {name}={rate!r}")
        self.units = units
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = keras.regularizers.get(recurrent_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.recurrent_constraint = keras.constraints.get(recurrent_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.state_size = units
        self.output_size = units

    def build(self, input_shape):
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: input_shape[-1]})
        width = self.blocks * self.units
        self.kernel = self._add_weight("kernel", (input_shape[-1], width), self.kernel_initializer)
        self.recurrent_kernel = self._add_weight("recurrent", (self.units, width), self.recurrent_initializer)
        self.bias = self._add_weight("bias", self._bias_shape(), self._start_bias) if self.use_bias else None

    def _add_weight(self, role, shape, initializer):
        return self.add_weight(
            name="recurrent_kernel" if role == "recurrent" else role,
            shape=shape,
            initializer=initializer,
            regularizer=getattr(self, f"{role}_regularizer"),
            constraint=getattr(self, f"{role}_constraint"),
        )

    def _bias_shape(self):
        return (self.blocks * self.units,)

    def _start_bias(self, shape, dtype=None):
        return self.bias_initializer(shape, dtype=dtype)

    def project(self, inputs):
        """W x + b for one step (B, D) or for a whole sequence (..., D) at once: the part that needs no state."""
        projected = ops.matmul(inputs, self.kernel)
        return projected if self.bias is None else projected + self.bias

    def recurrent_weights(self):
        """The weights that the recurrence over time needs: tensors, for a custom gradient may not see variables."""
        return [ops.copy(self.recurrent_kernel)]

    def call(self, inputs, states, training=False):
        nested, states = _as_list(states)
        if training and self.dropout:
            inputs = inputs * self.get_dropout_mask(inputs)
        keep = self.keep(states[0]) if training else None
        states, _ = self.step(self.project(inputs), states, self.recurrent_weights(), keep)
        return states[0], states if nested else states[0]

    def keep(self, h):
        """The dropout of h where it enters the product with U, the same at every step, (B, H); None without it."""
        return self.get_recurrent_dropout_mask(h) if self.recurrent_dropout else None

    def get_initial_state(self, batch_size=None):
        """[h_0] = [0], (B, H)."""
        return [ops.zeros((batch_size, self.units), dtype=self.compute_dtype)]

    def get_config(self):
        config = {
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
        }
        for role in WEIGHTS:
            for module in (keras.initializers, keras.regularizers, keras.constraints):
                name = f"{role}_{module.__name__.rsplit('.', 1)[-1].removesuffix('s')}"
                config[name] = module.serialize(getattr(self, name))
        return {**super().get_config(), **config}


class GatedCell(RecurrentCell):
    """A cell with gates: their activation is an option of its own."""

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, **kwargs):
        super().__init__(units, activation, use_bias, **kwargs)
        self.recurrent_activation = keras.activations.get(recurrent_activation)

    def get_config(self):
        gate = keras.activations.serialize(self.recurrent_activation)
        return {**super().get_config(), "recurrent_activation": gate}


@keras.saving.register_keras_serializable(package="seq_models")
class SimpleRNNCell(RecurrentCell):
    """One step of a simple recurrent (Elman) network [1, section 8.1].

        h' = g(x W + h U + b)

    with g the `activation`, tanh by default. Weights: kernel W (D, H), recurrent_kernel U (H, H), bias b (H,).

    Args: see `RecurrentCell`.
    Call arguments:
        inputs: x, floats (B, D).
        states: [h], floats (B, H).
        training: Whether dropout is on.
    Returns:
        (h', [h']), each (B, H).
    Example:
        >>> from keras import ops
        >>> cell = SimpleRNNCell(4)
        >>> h, states = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(h.shape)
        (2, 4)

    References:
        [1] Jurafsky and Martin, Speech and Language Processing, 3rd edition draft, chapter 8.
        Elman 1990, Finding Structure in Time.
    """

    def step(self, x, states, weights, keep=None):
        """x = W x_t + b, (B, H); [h]; [U] -> [h'], and no gates."""
        [h], [U] = states, weights
        return [self.activation(x + ops.matmul(dropped(h, keep), U))], []

    def gradient(self):
        return recurrence.SimpleRNNGradient(self)


@keras.saving.register_keras_serializable(package="seq_models")
class LSTMCell(GatedCell):
    """One step of a long short-term memory network with forget gate [1], [2, section 8.5].

        i = σ(x W_i + h U_i + b_i)        input gate
        f = σ(x W_f + h U_f + b_f)        forget gate
        g = tanh(x W_c + h U_c + b_c)     candidate
        o = σ(x W_o + h U_o + b_o)        output gate
        c' = f * c + i * g
        h' = o * tanh(c')

    Weights: kernel (D, 4H), recurrent_kernel (H, 4H), bias (4H,), packed i, f, c, o as in `keras.layers.LSTMCell`.

    Args: see `RecurrentCell`, and
        recurrent_activation: Of the gates, sigmoid by default.
        unit_forget_bias: Start b_f at one [3].
    Call arguments:
        inputs: x, floats (B, D).
        states: [h, c], each floats (B, H).
        training: Whether dropout is on.
    Returns:
        (h', [h', c']), each (B, H).
    Example:
        >>> from keras import ops
        >>> cell = LSTMCell(4)
        >>> h, (h, c) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(c.shape)
        (2, 4)

    References:
        [1] Gers, Schmidhuber and Cummins 2000, Learning to Forget. [2] Jurafsky and Martin, chapter 8 (their k, g, i, j
        are f * c, g, i, i * g here). [3] Jozefowicz, Zaremba and Sutskever 2015.
    """

    blocks = 4  # of H columns each, packed in a kernel

    def __init__(
        self,
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        use_bias=True,
        unit_forget_bias=True,
        **kwargs,
    ):
        super().__init__(units, activation, recurrent_activation, use_bias, **kwargs)
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [units, units]

    def _start_bias(self, shape, dtype=None):
        if not self.unit_forget_bias:
            return super()._start_bias(shape, dtype)
        H = self.units
        i, c_and_o = self.bias_initializer((H,), dtype=dtype), self.bias_initializer((2 * H,), dtype=dtype)
        return ops.concatenate([i, ops.ones((H,), dtype=dtype), c_and_o])

    def step(self, x, states, weights, keep=None):
        """x = W x_t + b, (B, 4H); [h, c]; [U] -> [h', c'], gates [i, f, g, o]."""
        (h, c), [U] = states, weights
        i, f, g, o = ops.split(x + ops.matmul(dropped(h, keep), U), 4, axis=-1)
        i, f, o = self.recurrent_activation(i), self.recurrent_activation(f), self.recurrent_activation(o)
        g = self.activation(g)
        c = f * c + i * g
        h = o * self.activation(c)
        return [h, c], [i, f, g, o]

    def gradient(self):
        return recurrence.LSTMGradient(self)

    def get_initial_state(self, batch_size=None):
        """[h_0, c_0] = [0, 0], each (B, H)."""
        return [ops.zeros((batch_size, self.units), dtype=self.compute_dtype) for _ in "hc"]

    def get_config(self):
        return {**super().get_config(), "unit_forget_bias": self.unit_forget_bias}


@keras.saving.register_keras_serializable(package="seq_models")
class GRUCell(GatedCell):
    """One step of a gated recurrent unit [1].

        z = σ(x W_z + h U_z + b_z)                  update gate: how much of h is kept
        r = σ(x W_r + h U_r + b_r)                  reset gate
        n = tanh(x W_h + r * (h U_h + b'_h) + b_h)  candidate, `reset_after=True`  [2]
        n = tanh(x W_h + (r * h) U_h + b_h)         candidate, `reset_after=False` [1, eq. 8]
        h' = z * h + (1 - z) * n

    Texts that write h' = (1 - z) * h + z * n mean the same model with the sign of z's weights turned.
    Weights: kernel (D, 3H), recurrent_kernel (H, 3H), packed z, r, h as in `keras.layers.GRUCell`; bias (2, 3H), of the
    inputs and of the recurrence, with `reset_after`, else (3H,).

    Args: see `RecurrentCell`, and
        recurrent_activation: Of the gates, sigmoid by default.
        reset_after: Whether the reset gate acts after the product with U_h (True) or before it.
    Call arguments:
        inputs: x, floats (B, D).
        states: [h], floats (B, H).
        training: Whether dropout is on.
    Returns:
        (h', [h']), each (B, H).
    Example:
        >>> from keras import ops
        >>> cell = GRUCell(4, reset_after=False)
        >>> h, states = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(h.shape)
        (2, 4)

    References:
        [1] Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder, section 2.3.
        [2] CS224n lecture notes V, section 3.
    """

    blocks = 3  # of H columns each, packed in a kernel

    def __init__(
        self,
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        use_bias=True,
        reset_after=True,
        **kwargs,
    ):
        super().__init__(units, activation, recurrent_activation, use_bias, **kwargs)
        self.reset_after = reset_after

    def _bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def project(self, inputs):
        projected = ops.matmul(inputs, self.kernel)
        if self.bias is None:
            return projected
        return projected + (self.bias[0] if self.reset_after else self.bias)

    def recurrent_weights(self):
        if not self.reset_after:
            return super().recurrent_weights()
        b = ops.zeros((3 * self.units,), self.compute_dtype) if self.bias is None else self.bias[1]
        return super().recurrent_weights() + [b]

    def step(self, x, states, weights, keep=None):
        """x = W x_t + b, (B, 3H); [h]; [U, b'] or [U] -> [h'], gates [z, r, n, h U_h + b'_h] or [z, r, n]."""
        [h], (U, *b) = states, weights
        kept, gate = dropped(h, keep), self.recurrent_activation
        x_z, x_r, x_n = ops.split(x, 3, axis=-1)
        if self.reset_after:
            h_z, h_r, h_n = ops.split(ops.matmul(kept, U) + b[0], 3, axis=-1)
            z, r = gate(x_z + h_z), gate(x_r + h_r)
            n = self.activation(x_n + r * h_n)
            return [z * h + (1 - z) * n], [z, r, n, h_n]
        U_zr, U_n = U[:, : 2 * self.units], U[:, 2 * self.units :]
        h_z, h_r = ops.split(ops.matmul(kept, U_zr), 2, axis=-1)
        z, r = gate(x_z + h_z), gate(x_r + h_r)
        n = self.activation(x_n + ops.matmul(r * kept, U_n))
        return [z * h + (1 - z) * n], [z, r, n]

    def gradient(self):
        return (recurrence.GRUGradient if self.reset_after else recurrence.GRUResetBeforeGradient)(self)

    def get_config(self):
        return {**super().get_config(), "reset_after": self.reset_after}


def _as_list(states):
    """`keras.layers.RNN` hands over [h]; a caller of the bare cell may hand over h."""
    nested = isinstance(states, (list, tuple))
    return nested, states if nested else [states]
