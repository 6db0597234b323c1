"""A text from a text of another length."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from seq_models.errors import positive
from seq_models.layers import UNITS, AdditiveAttention, AttentionDecoder, BilinearAttention, DotAttention
from seq_models.layers.dropout import dropouts
from seq_models.layers.tensors import Tensor
from seq_models.networks.network import Network, NetworkOptions, recurrent_stack
from seq_models.options import option

ATTENTIONS = {"additive": AdditiveAttention, "bilinear": BilinearAttention, "dot": DotAttention}


@dataclass(frozen=True)
class EncoderDecoderOptions(NetworkOptions):
    """The options of an `EncoderDecoder`. Raises: see `Options`."""

    attention: str = option("additive", "how the decoder scores a source step", choices=ATTENTIONS)


@keras.saving.register_keras_serializable(package="seq_models.networks")
class EncoderDecoder(Network):
    """A recurrent encoder-decoder with attention [1, sections 8.7 and 8.8], [2].

        e_1 … e_m = stack(E x_1 … E x_m), read both ways
        s_0 = tanh(W [e^f_m; e^b_1] + b) for each layer and state
        [s_t; c_t] = AttentionDecoder(E' y_{t-1}, s_{t-1}, e)      logits_t = V (W_o [s_t; c_t] + b_o)

    Inputs: source ids (B, S) and target ids (B, T) that start with `<s>`, 0 is padding.
    Outputs: logits (B, T, V); those at t are of the token after t.
    States: a dictionary of `recurrent`, the decoder's states, a list of floats (B, H); `attention`, where the last step
    looked, floats (B, S); and what no step changes: `memory` (B, S, M), `keys` (B, S, …), `mask` (B, S).

    Args:
        source_vocabulary_size, target_vocabulary_size: Sizes of the vocabularies.
        options: See `EncoderDecoderOptions`. Dot attention projects the memory to H first.
    Raises:
        ValueError: If an argument is not of the kind above.
    References:
        [1] Jurafsky and Martin, chapter 8. [2] Bahdanau, Cho and Bengio 2015, arXiv:1409.0473; the readout is that of
        Luong et al. 2015, eq. 5, without its tanh, which saturates for good when the vocabulary is large.
    """

    options_class = EncoderDecoderOptions

    def __init__(
        self, source_vocabulary_size: int, target_vocabulary_size: int, name: str | None = None, **options: Any
    ):
        options = self.options_class(**options)
        sizes = {"source_vocabulary_size": source_vocabulary_size, "target_vocabulary_size": target_vocabulary_size}
        positive(**sizes)
        units, embedding_units = options.units, options.embedding_size
        # Layers
        source_embedding = keras.layers.Embedding(source_vocabulary_size, embedding_units, name="source_embedding")
        target_embedding = keras.layers.Embedding(target_vocabulary_size, embedding_units, name="target_embedding")
        drop_embedded, *drops, drop_readout = dropouts(*[options.dropout] * (2 + options.layers))
        encoder = recurrent_stack(options.cell, units, options.layers, bidirectional=True, return_state=True)
        project = keras.layers.Dense(units, name="memory") if options.attention == "dot" else None
        score = ATTENTIONS[options.attention](*([units] if options.attention == "additive" else []))
        cells = [UNITS[options.cell].cell_class(units) for _ in range(options.layers)]
        decoder = AttentionDecoder(cells, score, name="decoder")
        bridges = [keras.layers.Dense(units, "tanh", name=f"bridge_{k}") for k in range(len(decoder.state_sizes()))]
        readout = keras.layers.Dense(embedding_units, name="readout")
        head = self.head_class(target_vocabulary_size, name="logits")

        # Forward
        source = keras.Input((None,), dtype="int32", name="source")
        target = keras.Input((None,), dtype="int32", name="target")

        def encode(h, mask):
            """Embedded source (B, S, E), mask (B, S) -> memory (B, S, 2H or H), first decoder states."""
            states = []
            for layer, drop in zip(encoder, drops, strict=True):
                h, *finals = layer(h, mask=mask)
                h = drop(h)
                half = len(finals) // 2
                states += [ops.concatenate(pair, axis=-1) for pair in zip(finals[:half], finals[half:], strict=True)]
            states = [bridge(state) for bridge, state in zip(bridges, states, strict=True)]
            return (h if project is None else project(h)), states

        y, e = drop_embedded([target_embedding(target), source_embedding(source)])  # (B, T, E), (B, S, E)
        mask = ops.not_equal(source, 0)
        memory, states = encode(e, mask)
        outputs, _ = decoder(y, memory, states, mask)  # (B, T, H + M)
        super().__init__((source, target), drop_readout(readout(outputs)), head, sizes, options, name)  # (B, T, V)
        self.encode, self.decoder, self.readout = encode, decoder, readout
        self.source_embedding, self.target_embedding = source_embedding, target_embedding

    def start(self, source: Tensor) -> dict[str, Any]:
        """The states before the first target token, of source ids (B, S)."""
        mask = ops.not_equal(source, 0)
        memory, recurrent = self.encode(self.source_embedding(source), mask)
        attention, keys = ops.zeros(ops.shape(source), memory.dtype), self.decoder.prepare(memory)
        return {"recurrent": recurrent, "attention": attention, "memory": memory, "keys": keys, "mask": mask}

    def step(self, tokens: Tensor, states: dict) -> tuple[Tensor, dict]:
        """One target token (B,) and the states before it -> logits of the next token (B, V), states."""
        memory, keys, mask = states["memory"], states["keys"], states["mask"]
        y, recurrent = self.target_embedding(tokens), states["recurrent"]
        output, recurrent, attention = self.decoder.step(y, recurrent, memory, keys, mask)
        return self.head(self.readout(output)), {**states, "recurrent": recurrent, "attention": attention}

    def read(self, tokens: Tensor, states: dict) -> tuple[Tensor, dict]:
        """Many target tokens (B, T) and the states before them -> hidden (B, T, E), states.

        The head makes logits of as many hidden states as are wanted.
        """
        outputs, recurrent, attention = self._decode(tokens, states)
        return self.readout(outputs), {**states, "recurrent": recurrent, "attention": attention[:, -1]}

    def attend(self, source: Tensor, target: Tensor) -> Tensor:
        """Ids (B, S) and (B, T) -> attention weights (B, T, S), as the decoder is told the target."""
        return self._decode(target, self.start(source))[2]

    def _decode(self, tokens, states):
        memory, keys, mask = states["memory"], states["keys"], states["mask"]
        return self.decoder.run(self.target_embedding(tokens), states["recurrent"], memory, keys, mask)
