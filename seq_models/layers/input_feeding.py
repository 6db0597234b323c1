"""Input feeding: a decoder whose steps know where the steps before them looked."""

from typing import Any

import keras
from keras import ops

from seq_models.layers.attention import Attention
from seq_models.layers.decoder import AttentionDecoder
from seq_models.layers.readouts import LuongReadout
from seq_models.layers.recurrent_cell import RecurrentCell
from seq_models.layers.tensors import Tensor, Tensors


@keras.saving.register_keras_serializable(package="seq_models")
class InputFeedingDecoder(AttentionDecoder):
    """An attention decoder that gives each step the attentional vector of the step before [1, section 3.3].

        c_t = Σ_j α_tj e_j,  α_t = softmax_j(score(h_{t-1}, e_j))
        h_t = g([y_{t-1}; a_{t-1}; c_t], h_{t-1}),  a_0 = 0
        output_t = a_t = tanh(W_r [h_t; c_t])

    a is h~ in [1, equation 5]. There α_t comes from h_t, so that the vector fed is all that a step knows of the source;
    here the step has its own context too, as in an `AttentionDecoder`.

    Args:
        cells, attention: See `AttentionDecoder`.
        units: E, the size of a.
    Call arguments: see `AttentionDecoder`; the last state of `step` and `run` is a (B, E).
    Returns:
        (outputs (B, T, E), attention weights (B, T, S)).
    Raises:
        ValueError: If `units` is not a positive integer.
    References:
        [1] Luong, Pham and Manning 2015, arXiv:1508.04025.
    """

    def __init__(self, cells: list[RecurrentCell], attention: Attention, units: int, **kwargs: Any):
        super().__init__(cells, attention, **kwargs)
        self.units = units
        self.readout = LuongReadout(units, name="readout", dtype=self.dtype_policy)

    def build(self, inputs_shape, memory_shape, states_shape=None, memory_mask_shape=None):
        super().build((*inputs_shape[:-1], inputs_shape[-1] + self.units), memory_shape)
        if not self.readout.built:
            self.readout.build((inputs_shape[0], super().output_size(memory_shape[-1])), inputs_shape)

    def output_size(self, memory_units: int) -> int:
        return self.units

    def begin(self, states: Tensors, source: dict[str, Tensor]) -> Tensors:
        rows = ops.shape(states[0])[0]
        return [*states, ops.zeros((rows, self.units), self.compute_dtype)]

    def step(
        self, y: Tensor, states: Tensors, source: dict[str, Tensor], training: bool = False
    ) -> tuple[Tensor, Tensors, Tensor]:
        """As that of an `AttentionDecoder`, with output a (B, E)."""
        *states, a = states
        top, after, weights = super().step(ops.concatenate([y, a], axis=-1), states, source, training)
        a = self.readout(top, y)
        return a, [*after, a], weights

    def _feeding(self, states, kernel):
        return [[states[-1], kernel, *self._cast([ops.copy(self.readout.kernel)])]]

    def _outputs(self, trace):
        return trace.fed[0]

    def get_config(self):
        return {**super().get_config(), "units": self.units}
