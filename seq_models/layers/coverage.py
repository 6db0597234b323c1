"""Coverage: a decoder whose attention knows how much each source step got before."""

import keras
from keras import ops

from seq_models.layers.decoder import AttentionDecoder
from seq_models.layers.tensors import Tensor, Tensors


@keras.saving.register_keras_serializable(package="seq_models")
class CoverageDecoder(AttentionDecoder):
    """An attention decoder that adds to the keys what attention the steps before have given [1, 2].

        c_tj = Σ_{i<t} α_ij                         coverage of source step j, c_1j = 0
        α_t = softmax_j(score(h_{t-1}, k_j + c_tj w))

    and all else as in an `AttentionDecoder`. With additive attention the score is
    u · tanh(W_q h + W_k e_j + b + c_tj w), that of [2, equation 11]; the linguistic coverage of [1] divides c_tj by a
    fertility, too. The gradient is left to the backend, so that training is slower than without coverage.

    Weights: those of an `AttentionDecoder`, and coverage_kernel w, as long as a key.

    Args, returns: see `AttentionDecoder`.
    Call arguments: see `AttentionDecoder`; the last state of `step` and `run` is the coverage (B, S).
    References:
        [1] Tu, Lu, Liu, Liu and Li 2016, arXiv:1601.04811, section 3.1. [2] See, Liu and Manning 2017,
        arXiv:1704.04368, section 2.3.
    """

    def build(self, inputs_shape, memory_shape, states_shape=None, memory_mask_shape=None):
        super().build(inputs_shape, memory_shape)
        keys = self.attention.key_units(memory_shape[-1])
        self.coverage_kernel = self.add_weight(name="coverage_kernel", shape=(keys,), initializer="zeros")

    def begin(self, states: Tensors, source: dict[str, Tensor]) -> Tensors:
        return [*states, ops.zeros_like(source["memory"][:, :, 0])]

    def step(
        self, y: Tensor, states: Tensors, source: dict[str, Tensor], training: bool = False
    ) -> tuple[Tensor, Tensors, Tensor]:
        """As that of an `AttentionDecoder`."""
        *states, coverage = states
        keys = source["keys"] + coverage[:, :, None] * ops.cast(self.coverage_kernel, coverage.dtype)
        output, after, weights = super().step(y, states, {**source, "keys": keys}, training)
        return output, [*after, coverage + weights], weights

    def run(
        self, inputs: Tensor, states: Tensors, source: dict[str, Tensor], training: bool = False
    ) -> tuple[Tensor, Tensors, Tensor]:
        return self._run_by_step(inputs, states, source, training)
