"""A text from a text of another length."""

import keras
from keras import ops

from seq_models.layers import AdditiveAttention, AttentionDecoder, BilinearAttention, DotAttention
from seq_models.networks.stack import cell_stack, choose, positive, recurrent_stack

ATTENTIONS = {"additive": AdditiveAttention, "bilinear": BilinearAttention, "dot": DotAttention}


@keras.saving.register_keras_serializable(package="seq_models.networks")
class EncoderDecoder(keras.Model):
    """A recurrent encoder-decoder with attention [1, sections 8.7 and 8.8], [2].

        e_1 … e_m = stack(E x_1 … E x_m), read both ways
        s_0 = tanh(W [e^f_m; e^b_1] + b) for each layer and state
        [s_t; c_t] = AttentionDecoder(E' y_{t-1}, s_{t-1}, e)      logits_t = V (W_o [s_t; c_t] + b_o)

    Inputs: source ids (B, S) and target ids (B, T) that start with `<s>`, 0 is padding.
    Outputs: logits (B, T, V); those at t are of the token after t.

    Args:
        source_vocabulary_size, target_vocabulary_size: Sizes of the vocabularies.
        cell: "simple_rnn", "lstm" or "gru".
        units: H of each encoder direction and of the decoder.
        layers: Number of stacked layers, on both sides.
        attention: "additive", "bilinear" or "dot". Dot attention projects the memory to H first.
        embedding_units: Size of an embedding; H by default.
        dropout: Share of embeddings, of each layer's output and of what enters the softmax dropped in training.
    Raises:
        ValueError: If an argument is not of the kind above.
    References:
        [1] Jurafsky and Martin, chapter 8. [2] Bahdanau, Cho and Bengio 2015, arXiv:1409.0473; the readout is that of
        Luong et al. 2015, eq. 5, without its tanh, which saturates for good when the vocabulary is large.
    """

    def __init__(
        self,
        source_vocabulary_size,
        target_vocabulary_size,
        cell="lstm",
        units=128,
        layers=1,
        attention="additive",
        embedding_units=None,
        dropout=0.0,
        **kwargs,
    ):
        embedding_units = units if embedding_units is None else embedding_units
        positive(source_vocabulary_size=source_vocabulary_size, target_vocabulary_size=target_vocabulary_size)
        positive(embedding_units=embedding_units)
        attention_class = choose("attention", ATTENTIONS, attention)
        # Layers
        source_embedding = keras.layers.Embedding(source_vocabulary_size, embedding_units, name="source_embedding")
        target_embedding = keras.layers.Embedding(target_vocabulary_size, embedding_units, name="target_embedding")
        drop = keras.layers.Dropout(dropout)
        encoder = recurrent_stack(cell, units, layers, bidirectional=True, return_state=True)
        project = keras.layers.Dense(units, name="memory") if attention == "dot" else None
        score = attention_class(units) if attention == "additive" else attention_class()
        decoder = AttentionDecoder(cell_stack(cell, units, layers), score, name="decoder")
        bridges = [keras.layers.Dense(units, "tanh", name=f"bridge_{k}") for k in range(len(decoder.state_sizes()))]
        readout = keras.layers.Dense(embedding_units, name="readout")
        output = keras.layers.Dense(target_vocabulary_size, name="logits")

        # Forward
        source = keras.Input((None,), dtype="int32", name="source")
        target = keras.Input((None,), dtype="int32", name="target")

        def encode(source):
            """Source ids (B, S) -> memory (B, S, 2H or H), first decoder states, mask (B, S)."""
            mask = ops.not_equal(source, 0)
            h, states = drop(source_embedding(source)), []
            for layer in encoder:
                h, *finals = layer(h, mask=mask)
                h = drop(h)
                half = len(finals) // 2
                states += [ops.concatenate(pair, axis=-1) for pair in zip(finals[:half], finals[half:], strict=True)]
            states = [bridge(state) for bridge, state in zip(bridges, states, strict=True)]
            return (h if project is None else project(h)), states, mask

        memory, states, mask = encode(source)
        outputs, _ = decoder(drop(target_embedding(target)), memory, states, mask)  # (B, T, H + M)
        logits = output(drop(readout(outputs)))  # (B, T, V)
        super().__init__((source, target), logits, **kwargs)

        # Config
        self.encode = encode
        self.target_embedding, self.decoder = target_embedding, decoder
        self.readout, self.output_layer = readout, output
        self.options = {
            "source_vocabulary_size": source_vocabulary_size,
            "target_vocabulary_size": target_vocabulary_size,
            "cell": cell,
            "units": units,
            "layers": layers,
            "attention": attention,
            "embedding_units": embedding_units,
            "dropout": dropout,
        }

    def step(self, tokens, states, memory, keys, mask):
        """One target token (B,) -> logits of the next one (B, V), states, attention weights (B, S)."""
        output, states, weights = self.decoder.step(self.target_embedding(tokens), states, memory, keys, mask)
        return self.output_layer(self.readout(output)), states, weights

    def get_config(self):
        return {"name": self.name, **self.options}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
