"""A text from a text of another length."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from seq_models.errors import positive
from seq_models.layers import (
    UNITS,
    AdditiveAttention,
    AttentionDecoder,
    BilinearAttention,
    ContextDecoder,
    CoverageDecoder,
    DotAttention,
    GivenReadout,
    InputFeedingDecoder,
    LastPooling,
    LinearReadout,
    LuongReadout,
    MaxoutReadout,
    MaxPooling,
    MeanPooling,
    RecurrentDecoder,
    ScaledDotAttention,
    SoftmaxHead,
    TiedSoftmaxHead,
)
from seq_models.layers.dropout import dropouts
from seq_models.layers.tensors import Tensor
from seq_models.networks.network import Network, NetworkOptions, normalizations, recurrent_stack, unchanged
from seq_models.options import option

DOTS = {"dot": DotAttention, "scaled_dot": ScaledDotAttention}  # of a query and a memory of one size
ATTENTIONS = {"additive": AdditiveAttention, "bilinear": BilinearAttention, **DOTS}
READOUTS = {"linear": LinearReadout, "maxout": MaxoutReadout, "luong": LuongReadout}
CONTEXTS = {"last": LastPooling, "mean": MeanPooling, "max": MaxPooling}  # of one context for all steps


@dataclass(frozen=True)
class EncoderDecoderOptions(NetworkOptions):
    """The options of an `EncoderDecoder`.

    Raises:
        ValueError: See `Options`; or if options contradict each other.
    """

    context: str = option(
        "attention",
        "what each step of the decoder sees of the source: attention over all its states, one vector of them (last, "
        "mean, max), or none beside the decoder's first states",
        choices=("attention", *CONTEXTS, "none"),
    )
    attention: str = option("additive", "how the decoder scores a source step", choices=ATTENTIONS)
    coverage: bool = option(
        False, "the score of a source step knows how much attention the steps before gave it [Tu 2016]"
    )
    readout: str = option(
        "linear",
        "what the softmax sees of a step's state and context: linear W [s; c] + b, maxout of pairs of these and the "
        "word before [Bahdanau 2015], or luong tanh(W [c; s]) [Luong 2015]",
        choices=READOUTS,
    )
    input_feeding: bool = option(
        False, "each step of the decoder is given what the one before read out, too; with readout=luong [Luong 2015]"
    )
    bidirectional: bool = option(True, "read the source both ways")
    reverse_source: bool = option(False, "read the source from its end [Sutskever 2014]")
    bridge: str = option(
        "dense", "how the decoder's states start from the encoder's last ones: dense or copy", choices=("dense", "copy")
    )
    share_layers: bool = option(False, "one recurrent network reads the source and goes on with the target")
    share_embeddings: bool = option(
        False, "one embedding for sources and targets, which need joint_vocabulary [Press 2017]"
    )
    tie_weights: bool = option(False, "use the target's embedding as the output matrix [Press 2017]")
    label_smoothing: float = option(
        0.0, "share of a target's probability that training gives to all tokens alike", at_least=0, below=1
    )

    def __post_init__(self):
        super().__post_init__()
        if self.bidirectional:
            for name, asked in {
                "reverse_source=True": self.reverse_source,
                "bridge=copy": self.bridge == "copy",
            }.items():
                if asked:
                    raise ValueError(f"{name} needs bidirectional=False. Received: bidirectional=True")
        if self.context != "attention":
            for name, asked in {"attention": self.attention != "additive", "coverage": self.coverage}.items():
                if asked:
                    received = f"{name}={getattr(self, name)!r}, context={self.context!r}"
                    raise ValueError(f"{name} needs context='attention'. Received: {received}")
        if self.coverage and self.input_feeding:
            raise ValueError("coverage needs input_feeding=False. Received: input_feeding=True")
        if self.readout != "linear" and self.context == "none":
            raise ValueError(f"readout={self.readout} needs a context. Received: context='none'")
        if self.input_feeding and (self.context, self.readout) != ("attention", "luong"):
            received = f"context={self.context!r}, readout={self.readout!r}"
            raise ValueError(f"input_feeding needs context='attention' and readout='luong'. Received: {received}")
        if self.share_layers and (self.context, self.bridge) != ("none", "copy"):
            received = f"context={self.context!r}, bridge={self.bridge!r}"
            raise ValueError(f"share_layers needs context='none' and bridge='copy'. Received: {received}")


@keras.saving.register_keras_serializable(package="seq_models.networks")
class EncoderDecoder(Network):
    """A recurrent encoder-decoder [1, sections 8.7 and 8.8], [2].

        e_1 … e_m = stack(E x_1 … E x_m), read both ways
        s_0 = tanh(W [e^f_m; e^b_1] + b) for each layer and state, or with bridge="copy" the encoder's last ones
        [s_t; c_t] = decoder(E' y_{t-1}, s_{t-1}, e)      logits_t = V readout([s_t; c_t], E' y_{t-1})

    c_t is attention over e (see `AttentionDecoder` and, with `coverage`, `CoverageDecoder`, with `input_feeding`
    `InputFeedingDecoder`), one c for all steps (see `ContextDecoder`), or is left out (see `RecurrentDecoder`); the
    readouts are in `seq_models.layers.readouts`, and with `layer_norm` take [s_t; c_t] normalized. With `share_layers`
    the decoder's layers are the encoder's: one network reads the source, `<s>` and the target as one sequence [1,
    figure 8.17]. With `share_embeddings` E is E', with tied weights V is E'.

    Inputs: source ids (B, S) and target ids (B, T) that start with `<s>`, 0 is padding.
    Outputs: logits (B, T, V); those at t are of the token after t.
    States: a dictionary of `recurrent`, the decoder's states, a list of floats (B, H) and of what is fed (B, E) or of
    the coverage (B, S); `source`, what no step changes; and with attention `attention`, where the last step looked,
    floats (B, S).

    Args:
        source_vocabulary_size, target_vocabulary_size: Sizes of the vocabularies.
        options: See `EncoderDecoderOptions`. Dot attention projects the memory to H first.
    Raises:
        ValueError: If an argument is not of the kind above, or vocabularies of two sizes share an embedding.
    References:
        [1] Jurafsky and Martin, chapter 8. [2] Bahdanau, Cho and Bengio 2015, arXiv:1409.0473. The linear readout is
        that of Luong et al. 2015, eq. 5, without its tanh, which saturates for good when the vocabulary is large.
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
        embedding_class = keras.layers.ReversibleEmbedding if options.tie_weights else keras.layers.Embedding
        if options.share_embeddings:
            _check_one_vocabulary(source_vocabulary_size, target_vocabulary_size)
            source_embedding = target_embedding = embedding_class(
                source_vocabulary_size, embedding_units, name="embedding"
            )
        else:
            source_embedding = keras.layers.Embedding(source_vocabulary_size, embedding_units, name="source_embedding")
            target_embedding = embedding_class(target_vocabulary_size, embedding_units, name="target_embedding")
        rates = [options.dropout] * (2 + options.layers)
        drop_embedded, *drops, drop_readout = dropouts(*rates, variational=options.variational)
        encoder = recurrent_stack(options.cell, units, options.layers, options.bidirectional, return_state=True)
        *norms, normalize = normalizations(options.layers + 1, options.layer_norm)
        project = keras.layers.Dense(units, name="memory") if options.attention in DOTS else unchanged
        decoder = _decoder(options, encoder)
        bridges = [_bridge(options, k) for k in range(len(decoder.state_sizes()))]
        readout = _readout(options)
        head = self._make_head(target_vocabulary_size, target_embedding, options)

        # Forward
        source = keras.Input((None,), dtype="int32", name="source")
        target = keras.Input((None,), dtype="int32", name="target")

        def encode(h, mask):
            """Embedded source (B, S, E), mask (B, S) -> memory (B, S, 2H or H), its mask, first decoder states."""
            if options.reverse_source:
                h, mask = ops.flip(h, axis=1), ops.flip(mask, axis=1)
            states = []
            for layer, norm, drop in zip(encoder, norms, drops, strict=True):
                h, *finals = layer(h, mask=mask)
                h = drop(norm(h))
                states += _of_both_directions(finals) if options.bidirectional else finals
            states = [bridge(state) for bridge, state in zip(bridges, states, strict=True)]
            if options.reverse_source and decoder.attends:  # weights are those of the source as it is written
                h, mask = ops.flip(h, axis=1), ops.flip(mask, axis=1)
            return project(h), mask, states

        y, e = drop_embedded([target_embedding(target), source_embedding(source)])  # (B, T, E), (B, S, E)
        memory, mask, states = encode(e, ops.not_equal(source, 0))
        outputs = decoder(y, memory, states, mask)
        outputs = outputs[0] if decoder.attends else outputs  # (B, T, H + M), or H, or E that are read out
        hidden = drop_readout(readout(normalize(outputs), y))
        super().__init__((source, target), hidden, head, sizes, options, name)  # (B, T, V)
        self.encode, self.decoder, self.normalize, self.readout = encode, decoder, normalize, readout
        self.source_embedding, self.target_embedding = source_embedding, target_embedding

    def _make_head(self, V, embedding, options):
        smoothing = {"label_smoothing": options.label_smoothing} if options.label_smoothing else {}
        if options.tie_weights:
            if self.head_class is not SoftmaxHead:
                received = f"head_class={self.head_class.__name__}"
                raise ValueError(f"tie_weights needs the head SoftmaxHead. Received: {received}")
            return TiedSoftmaxHead(embedding, name="logits", **smoothing)
        return self.head_class(V, name="logits", **smoothing)

    @property
    def attends(self) -> bool:
        """Whether the decoder has attention weights."""
        return self.decoder.attends

    def start(self, source: Tensor) -> dict[str, Any]:
        """The states before the first target token, of source ids (B, S)."""
        memory, mask, recurrent = self.encode(self.source_embedding(source), ops.not_equal(source, 0))
        prepared = self.decoder.prepare(memory, mask)
        states = {"recurrent": self.decoder.begin(recurrent, prepared), "source": prepared}
        return {**states, "attention": ops.zeros(ops.shape(source), memory.dtype)} if self.attends else states

    def step(self, tokens: Tensor, states: dict) -> tuple[Tensor, dict]:
        """One target token (B,) and the states before it -> logits of the next token (B, V), states."""
        y = self.target_embedding(tokens)
        output, recurrent, attention = self.decoder.step(y, states["recurrent"], states["source"])
        return self.head(self.readout(self.normalize(output), y)), self._after(states, recurrent, attention)

    def read(self, tokens: Tensor, states: dict) -> tuple[Tensor, dict]:
        """Many target tokens (B, T) and the states before them -> hidden (B, T, E), states.

        The head makes logits of as many hidden states as are wanted.
        """
        y = self.target_embedding(tokens)
        outputs, recurrent, attention = self.decoder.run(y, states["recurrent"], states["source"])
        return self.readout(self.normalize(outputs), y), self._after(
            states, recurrent, attention[:, -1] if self.attends else None
        )

    def attend(self, source: Tensor, target: Tensor) -> Tensor:
        """Ids (B, S) and (B, T) -> attention weights (B, T, S), as the decoder is told the target; `attends` only."""
        states = self.start(source)
        return self.decoder.run(self.target_embedding(target), states["recurrent"], states["source"])[2]

    def _after(self, states, recurrent, attention):
        after = {**states, "recurrent": recurrent}
        return {**after, "attention": attention} if self.attends else after


def _check_one_vocabulary(source, target):
    if source != target:
        received = f"{source:,} tokens of sources and {target:,} of targets"
        raise ValueError(f"share_embeddings needs one vocabulary of both sides. Received: {received}")


def _decoder(options, encoder):
    """The decoder that the options ask for."""
    if options.context == "attention":
        score = ATTENTIONS[options.attention](*([options.units] if options.attention == "additive" else []))
        cells = [UNITS[options.cell].cell_class(options.units) for _ in range(options.layers)]
        if options.input_feeding:
            return InputFeedingDecoder(cells, score, options.embedding_size, name="decoder")
        return (CoverageDecoder if options.coverage else AttentionDecoder)(cells, score, name="decoder")
    stack = encoder if options.share_layers else recurrent_stack(options.cell, options.units, options.layers)
    if options.context == "none":
        return RecurrentDecoder(stack, name="decoder")
    pooling = LastPooling(options.bidirectional) if options.context == "last" else CONTEXTS[options.context]()
    return ContextDecoder(stack, pooling, name="decoder")


def _readout(options):
    """From what the decoder gives to what the head sees."""
    if options.input_feeding:
        return GivenReadout(name="readout")
    return READOUTS[options.readout](options.embedding_size, name="readout")


def _bridge(options, number):
    """From the encoder's last state to the decoder's first one."""
    if options.bridge == "copy":
        return lambda state: state
    return keras.layers.Dense(options.units, "tanh", name=f"bridge_{number}")


def _of_both_directions(finals):
    """The last states of both directions, those of the one first -> each state of both."""
    half = len(finals) // 2
    return [ops.concatenate(pair, axis=-1) for pair in zip(finals[:half], finals[half:], strict=True)]
