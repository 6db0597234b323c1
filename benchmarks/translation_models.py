"""One encoder-decoder in three libraries, from the same weights: ours, stock Keras, PyTorch.

Of the size of one for Multi30k: 8,000 words on each side, embeddings and states of 256, an LSTM that reads both ways,
additive attention, a linear readout. Gates are packed i, f, c, o in all of them.
"""

import os

import numpy as np

V, E, H, BATCH, START, END, CONTROL = 8000, 256, 256, 64, 2, 3, 4
SHAPES = {
    "source": [(V, E)],
    "forward": [(E, 4 * H), (H, 4 * H), (4 * H,)],
    "backward": [(E, 4 * H), (H, 4 * H), (4 * H,)],
    "h": [(2 * H, H), (H,)],
    "c": [(2 * H, H), (H,)],
    "target": [(V, E)],
    "query": [(H, H)],
    "keys": [(2 * H, H), (H,)],
    "score": [(H, 1)],
    "cell": [(E + 2 * H, 4 * H), (H, 4 * H), (4 * H,)],
    "readout": [(3 * H, E), (E,)],
    "logits": [(E, V), (V,)],
}  # packed as in Keras; of the cell first the rows for the embedding, then those for the context


def weights():
    """Arrays of each part, the same in each call."""
    random = np.random.default_rng(1)
    return {
        name: [random.uniform(-0.08, 0.08, shape).astype("float32") for shape in shapes]
        for name, shapes in SHAPES.items()
    }


def batches(sentences):
    """Source ids (B, S), 0 is padding, and the number of words to write (B,), of each batch."""
    generator = np.random.default_rng(1)
    for start in range(0, sentences, BATCH):
        rows = min(BATCH, sentences - start)
        read, written = (np.clip(generator.normal(13, 4, rows).round(), 4, 30).astype("int32") for _ in range(2))
        ids = generator.integers(CONTROL, V, (rows, read.max())).astype("int32")
        yield np.where(np.arange(read.max()) < read[:, None], ids, 0), written


def our_network():
    """Our `EncoderDecoder` with these weights."""
    from seq_models.networks import EncoderDecoder

    network, given = EncoderDecoder(V, V, units=H, embedding_units=E), weights()
    decoder = network.decoder
    network.source_embedding.set_weights(given["source"])
    network.target_embedding.set_weights(given["target"])
    [encoder] = [layer for layer in network.layers if hasattr(layer, "backward_layer")]
    encoder.set_weights([*given["forward"], *given["backward"]])
    for number, name in enumerate("hc"):
        network.get_layer(f"bridge_{number}").set_weights(given[name])
    decoder.attention.set_weights([*given["query"], *given["keys"], *given["score"]])
    decoder.cells[0].set_weights(given["cell"])
    network.readout.set_weights(given["readout"])
    network.head.set_weights(given["logits"])
    return network


class KerasParts:
    """Stock layers: `encode`, one `step` of the decoder without its softmax, and `logits` of many steps."""

    def __init__(self):
        import keras

        layers, ops = keras.layers, keras.ops
        source = keras.Input((None,), dtype="int32")
        embedded = layers.Embedding(V, E, mask_zero=True, name="source")(source)
        read = layers.Bidirectional(layers.LSTM(H, return_sequences=True, return_state=True), name="encoder")
        memory, h_f, c_f, h_b, c_b = read(embedded)
        h = layers.Dense(H, "tanh", name="h")(layers.Concatenate()([h_f, h_b]))
        c = layers.Dense(H, "tanh", name="c")(layers.Concatenate()([c_f, c_b]))
        self.encode = keras.Model(source, [memory, layers.Dense(H, name="keys")(memory), h, c])
        token, mask = keras.Input((), dtype="int32"), keras.Input((None,), dtype="bool")
        h, c, memory, keys = (keras.Input(shape) for shape in ((H,), (H,), (None, 2 * H), (None, H)))
        query = layers.Dense(H, use_bias=False, name="query")(h)
        scores = layers.Dense(1, use_bias=False, name="score")(ops.tanh(query[:, None] + keys))[..., 0]
        alpha = ops.softmax(ops.where(mask, scores, -6e4))
        context = ops.matmul(alpha[:, None], memory)[:, 0]
        y = layers.Concatenate()([layers.Embedding(V, E, name="target")(token), context])
        new_h, [_, new_c] = layers.LSTMCell(H, name="cell")(y, [h, c])
        seen = layers.Concatenate()([new_h, context])
        self.step = keras.Model([token, h, c, memory, keys, mask], [seen, new_h, new_c])
        self.logits = keras.Sequential([layers.Dense(E, name="readout"), layers.Dense(V, name="logits")])
        self.logits.build((None, None, 3 * H))
        self._load(weights())

    def _load(self, given):
        self.encode.get_layer("encoder").set_weights([*given.pop("forward"), *given.pop("backward")])
        for model in (self.encode, self.step, self.logits):
            for layer in model.layers:
                if layer.name in given:
                    layer.set_weights(given.pop(layer.name))
        if given:
            raise RuntimeError(f"Parts without weights: {', '.join(given)}")


class TorchParts:
    """`torch.nn`: `encode`, one `step` of the decoder without its softmax, and `logits` of many steps."""

    def __init__(self):
        import torch
        from torch import nn

        torch.set_num_threads(os.cpu_count())
        self.torch, self.rnn = torch, nn.utils.rnn
        self.parts = {
            "source": nn.Embedding(V, E),
            "target": nn.Embedding(V, E),
            "encoder": nn.LSTM(E, H, batch_first=True, bidirectional=True),
            "h": nn.Linear(2 * H, H),
            "c": nn.Linear(2 * H, H),
            "keys": nn.Linear(2 * H, H),
            "query": nn.Linear(H, H, bias=False),
            "score": nn.Linear(H, 1, bias=False),
            "cell": nn.LSTMCell(E + 2 * H, H),
            "readout": nn.Linear(3 * H, E),
            "logits": nn.Linear(E, V),
        }
        with torch.no_grad():
            self._load(weights())

    def _load(self, given):
        recurrent = {"forward": ("encoder", "_l0"), "backward": ("encoder", "_l0_reverse"), "cell": ("cell", "")}
        for name, arrays in given.items():
            W, *rest = map(self.torch.from_numpy, arrays)
            if name in recurrent:
                part, end = recurrent[name]
                tensors = {"weight_ih": W.T, "weight_hh": rest[0].T, "bias_ih": rest[1], "bias_hh": 0 * rest[1]}
                for role, tensor in tensors.items():
                    getattr(self.parts[part], role + end).copy_(tensor)
            elif name in ("source", "target"):
                self.parts[name].weight.copy_(W)
            else:
                self.parts[name].weight.copy_(W.T)
                for bias in rest:
                    self.parts[name].bias.copy_(bias)

    def parameters(self):
        """All weights."""
        return [parameter for part in self.parts.values() for parameter in part.parameters()]

    def encode(self, source):
        """Source ids (B, S) -> memory, keys, h, c."""
        parts, torch = self.parts, self.torch
        lengths = (source > 0).sum(dim=1)
        packed = self.rnn.pack_padded_sequence(parts["source"](source), lengths, batch_first=True, enforce_sorted=False)
        memory, (h, c) = parts["encoder"](packed)
        memory, _ = self.rnn.pad_packed_sequence(memory, batch_first=True)
        h, c = (torch.tanh(parts[name](torch.cat([*state], dim=1))) for name, state in (("h", h), ("c", c)))
        return memory, parts["keys"](memory), h, c

    def step(self, tokens, h, c, memory, keys, mask):
        """One target token (B,) -> [h; context], h, c."""
        parts, torch = self.parts, self.torch
        scores = parts["score"](torch.tanh(parts["query"](h)[:, None] + keys))[..., 0]
        alpha = torch.softmax(scores.masked_fill(~mask, -6e4), dim=1)
        context = torch.bmm(alpha[:, None], memory)[:, 0]
        h, c = parts["cell"](torch.cat([parts["target"](tokens), context], dim=1), (h, c))
        return torch.cat([h, context], dim=1), h, c

    def logits(self, seen):
        return self.parts["logits"](self.parts["readout"](seen))
