"""The four networks: shapes, files, options, padding, time, one step at a time, gradients."""

import functools
import inspect
from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq_models.decoding import read_prompts
from seq_models.layers import CharacterEncoder, SoftmaxHead
from seq_models.layers.dropout import Dropout
from seq_models.networks import EncoderDecoder, LanguageModel, SequenceClassifier, SequenceLabeler
from seq_models.options import option

B, T, S, V, C, LABELS, UNITS, E = 4, 5, 6, 11, 7, 3, 8, 9
LETTERS = 4  # the longest word
LENGTHS, SOURCE_LENGTHS = [5, 2, 4, 1], [3, 6, 2, 4]
NETWORKS = {
    "language-model": (LanguageModel, {"vocabulary_size": V, "embedding_units": E}),
    "language-model, tied": (LanguageModel, {"vocabulary_size": V, "tie_weights": True}),
    "labeler": (SequenceLabeler, {"vocabulary_size": V, "labels": LABELS, "embedding_units": E}),
    "labeler, characters": (
        SequenceLabeler,
        {"vocabulary_size": V, "labels": LABELS, "character_vocabulary_size": C, "character_units": 5},
    ),
    "classifier": (SequenceClassifier, {"vocabulary_size": V, "labels": LABELS, "embedding_units": E}),
    "encoder-decoder": (
        EncoderDecoder,
        {"source_vocabulary_size": V + 1, "target_vocabulary_size": V, "embedding_units": E},
    ),
}
CELLS = ("simple_rnn", "lstm", "gru")
CELL_OF = dict(zip(NETWORKS, CELLS * 2, strict=True))  # where a test need not run every network with every cell
ATTENTIONS = ("additive", "bilinear", "dot", "scaled_dot")
POOLINGS = ("last", "mean", "max", "attention")
every_network = pytest.mark.parametrize("name", NETWORKS)
each_class = pytest.mark.parametrize(
    "name", [name for name in NETWORKS if name not in ("language-model, tied", "labeler")]
)
every_cell = pytest.mark.parametrize("cell", CELLS)
every_attention = pytest.mark.parametrize("attention", ATTENTIONS)
REAL = np.arange(T) < np.array(LENGTHS)[:, None]


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def assert_close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(array(actual), array(expected), rtol=tolerance, atol=tolerance)


def make(name, **options):
    """A new network with random weights, biases too."""
    network_class, needed = NETWORKS[name]
    network = network_class(**{**needed, "units": UNITS, "cell": CELL_OF[name], **options})
    generator = np.random.default_rng(5)
    network.set_weights([generator.normal(size=w.shape, scale=0.5) for w in network.get_weights()])
    return network


def network(name, cell=None, layers=1, **options):
    """`make`, once for all tests: they only read it."""
    return _made(name, cell=cell or CELL_OF[name], layers=layers, **options)


_made = functools.cache(make)


def ids(lengths, width, vocabulary=V):
    """Random token ids, 0 beyond each row's length."""
    real = np.arange(width) < np.array(lengths)[:, None]
    return np.where(real, np.random.randint(1, vocabulary, real.shape), 0).astype("int32")


def inputs_of(name):
    """A list of input arrays with padded rows."""
    tokens = ids(LENGTHS, T)
    if name == "labeler, characters":
        letters = ids(np.random.randint(1, LETTERS + 1, B * T), LETTERS, C).reshape(B, T, LETTERS)
        return [tokens, np.where(tokens[:, :, None] > 0, letters, 0)]
    return [ids(SOURCE_LENGTHS, S, V + 1), tokens] if name == "encoder-decoder" else [tokens]


def call(network, inputs, **options):
    return network(inputs[0] if len(inputs) == 1 else tuple(inputs), **options)


def real_rows(name, logits):
    """The logits at real positions."""
    return array(logits) if name == "classifier" else array(logits)[REAL]


def widen(inputs, by=2):
    """More padding on every axis but the rows."""
    return [np.pad(x, [(0, 0)] + [(0, by)] * (x.ndim - 1)) for x in inputs]


# Shapes, files, options


@every_cell
@every_network
def test_logits_have_their_documented_shape(name, cell):
    logits = call(network(name, cell), inputs_of(name))
    assert (
        tuple(logits.shape)
        == {
            "language-model": (B, T, V),
            "language-model, tied": (B, T, V),
            "labeler": (B, T, LABELS),
            "labeler, characters": (B, T, LABELS),
            "classifier": (B, LABELS),
            "encoder-decoder": (B, T, V),
        }[name]
    )
    assert np.isfinite(array(logits)).all()


@every_network
def test_a_network_survives_its_file(name, tmp_path):
    before, inputs = network(name), inputs_of(name)
    before.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    assert type(after) is type(before) and after.get_config() == before.get_config()
    np.testing.assert_array_equal(array(call(after, inputs)), array(call(before, inputs)))


OTHER = {
    "vocabulary_size": 13,
    "source_vocabulary_size": 14,
    "target_vocabulary_size": 15,
    "labels": 4,
    "cell": "gru",
    "units": 3,
    "layers": 2,
    "embedding_units": 3,
    "dropout": 0.25,
    "tie_weights": True,
    "softmax": "sampled",
    "bidirectional": False,
    "pooling": "last",
    "window": 3,
    "character_vocabulary_size": 6,
    "character_units": 2,
    "feature_vocabulary_size": 7,
    "features": 2,
    "feature_units": 3,
    "attention": "dot",
    "head": "legal",
    "merge": "ave",
    "legal": [[1, 1, 0, 1, 1]] * 5,
}
OTHER |= {"input_dropout": 0.1, "output_dropout": 0.4, "embedding_dropout": 0.2, "variational": True}
OTHER |= {"context": "none", "bridge": "copy", "reverse_source": True, "share_layers": True, "label_smoothing": 0.1}
OTHER |= {"readout": "luong", "input_feeding": True, "layer_norm": True, "coverage": True, "share_embeddings": True}
OTHER |= {"weight_dropout": 0.3, "activation_penalty": 2.0, "temporal_penalty": 1.0, "projection_penalty": 0.5}


@pytest.mark.parametrize("network_class", [LanguageModel, SequenceLabeler, SequenceClassifier, EncoderDecoder])
def test_every_option_is_in_the_config_and_comes_back(network_class):
    sizes = [name for name in inspect.signature(network_class).parameters if name not in ("name", "options")]
    options = {name: OTHER[name] for name in (*sizes, *network_class.options_class.names())}
    options |= {"bidirectional": True} if "merge" in options else {}  # which a merge needs
    # Any others need a context; test_readouts.py has them.
    if "context" in options:
        options |= {"attention": "additive", "readout": "linear", "input_feeding": False, "coverage": False}
        options |= {"source_vocabulary_size": options["target_vocabulary_size"]}  # which share an embedding
    before = network_class(**options, name="net")
    assert before.get_config() == {"name": "net", **options}
    after = network_class.from_config(before.get_config())
    assert after.get_config() == before.get_config()
    assert [tuple(w.shape) for w in after.weights] == [tuple(w.shape) for w in before.weights]


def test_embeddings_have_the_size_of_the_units_unless_told():
    sizes = [
        make("labeler", embedding_units=size, units=6).get_layer("embedding").embeddings.shape[1] for size in (None, 4)
    ]
    assert sizes == [6, 4]


REFUSED = [
    ({"cell": "elman"}, r"cell must be one of simple_rnn, lstm, gru. Received: cell='elman'"),
    ({"units": 0}, r"units must be a positive integer. Received: units=0"),
    ({"units": True}, r"units must be a positive integer. Received: units=True"),
    ({"layers": 1.0}, r"layers must be a positive integer. Received: layers=1.0"),
    ({"embedding_units": -1}, r"embedding_units must be a positive integer, or None. Received: embedding_units=-1"),
    ({"dropout": 1}, r"dropout must be a number at least 0 and below 1. Received: dropout=1"),
]


@pytest.mark.parametrize("options, message", REFUSED, ids=[str(options) for options, _ in REFUSED])
@every_network
def test_an_option_that_is_none_of_the_choices_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("language-model", {"vocabulary_size": 0}, "vocabulary_size must be a positive integer. Received"),
        ("labeler", {"labels": 0}, "labels must be a positive integer. Received: labels=0"),
        ("labeler", {"merge": "max"}, "merge must be one of concat, sum, mul, ave. Received: merge='max'"),
        ("labeler", {"merge": "sum", "bidirectional": False}, "merge needs bidirectional=True. Received: bidirec"),
        ("labeler", {"character_vocabulary_size": 0}, "Received: character_vocabulary_size=0"),
        ("labeler, characters", {"character_units": -2}, "Received: character_units=-2"),
        ("classifier", {"labels": "3"}, "labels must be a positive integer. Received: labels='3'"),
        (
            "classifier",
            {"pooling": "sum"},
            "pooling must be one of last, mean, max, attention. Received: pooling='sum'",
        ),
        (
            "encoder-decoder",
            {"attention": "cosine"},
            "one of additive, bilinear, dot, scaled_dot. Received: attention='cosine'",
        ),
        ("encoder-decoder", {"source_vocabulary_size": 2.5}, "Received: source_vocabulary_size=2.5"),
    ],
)
def test_an_option_of_one_network_is_refused_with_what_was_received(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


# Padding and rows


@every_network
def test_more_padding_changes_no_logits_on_real_positions(name):
    net, inputs = network(name, layers=2), inputs_of(name)
    logits, padded = call(net, inputs), array(call(net, widen(inputs)))
    padded = padded if name == "classifier" else padded[:, :T]
    assert_close(real_rows(name, padded), real_rows(name, logits))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_more_padding_changes_no_class_with_any_pooling(pooling, bidirectional):
    net, [tokens] = network("classifier", pooling=pooling, bidirectional=bidirectional), inputs_of("classifier")
    assert_close(net(widen([tokens])[0]), net(tokens))


@every_attention
def test_more_source_padding_changes_no_logits_with_any_attention(attention):
    net, (source, target) = network("encoder-decoder", attention=attention), inputs_of("encoder-decoder")
    assert_close(net((widen([source])[0], target)), net((source, target)))


@each_class
def test_a_row_alone_without_its_padding_gives_what_it_gives_in_the_batch(name):
    net, inputs = network(name), inputs_of(name)
    logits = array(call(net, inputs))
    for row in (1, 2):
        alone = [x[row : row + 1] for x in inputs]
        alone = [x[:, : max(1, np.count_nonzero(x.reshape(1, x.shape[1], -1).any(axis=2)))] for x in alone]
        expected = logits[row] if name == "classifier" else logits[row, : LENGTHS[row]]
        assert_close(array(call(net, alone))[0], expected)


@every_network
def test_permuting_rows_permutes_logits(name):
    net, inputs, rows = network(name), inputs_of(name), np.random.permutation(B)
    assert_close(call(net, [x[rows] for x in inputs]), array(call(net, inputs))[rows])


# Time


def change(tokens, t):
    """The tokens with another one at t."""
    other = tokens.copy()
    other[:, t] = 1 + other[:, t] % (V - 1)
    return other


@pytest.mark.parametrize(
    "name, cell",
    [*(("language-model", cell) for cell in CELLS), ("language-model, tied", "lstm"), ("encoder-decoder", "gru")],
)
def test_a_future_token_cannot_change_the_past(name, cell):
    net, [*source, tokens] = network(name, cell), inputs_of(name)
    tokens = ids([T] * B, T)
    logits, changed = array(call(net, [*source, tokens])), array(call(net, [*source, change(tokens, 3)]))
    np.testing.assert_array_equal(changed[:, :3], logits[:, :3])
    assert (changed[:, 3:] != logits[:, 3:]).any(axis=-1).all()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_labeler_sees_the_future_only_when_it_reads_both_ways(bidirectional):
    net, tokens = network("labeler", bidirectional=bidirectional), ids([T] * B, T)
    differs = (array(net(tokens)) != array(net(change(tokens, 2)))).any(axis=-1)
    assert differs[:, 2:].all()
    assert differs[:, :2].all() if bidirectional else not differs[:, :2].any()


@pytest.mark.parametrize("bidirectional, units", [(False, UNITS), (True, 2 * UNITS)])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_classifier_pools_one_direction_or_both(pooling, bidirectional, units):
    net = network("classifier", pooling=pooling, bidirectional=bidirectional)
    assert tuple(net.head.kernel.shape) == (units, LABELS)
    tokens = ids([T] * B, T)
    for t in (0, T - 1):
        assert (array(net(tokens)) != array(net(change(tokens, t)))).any(axis=-1).all()


@pytest.mark.parametrize(
    "merge, of", [("sum", np.add), ("mul", np.multiply), ("ave", lambda a, b: (a + b) / 2)], ids=["sum", "mul", "ave"]
)
def test_a_labeler_merges_its_directions(merge, of):
    merged, concatenated = network("labeler", merge=merge), network("labeler")
    two_way = keras.layers.Bidirectional
    one, other = (next(p for p in net.layers if isinstance(p, two_way)) for net in (merged, concatenated))
    other.set_weights(one.get_weights())
    e = np.random.normal(size=(B, T, one.forward_layer.cell.kernel.shape[0])).astype("float32")
    forward, backward = np.split(array(other(e)), 2, axis=-1)
    assert_close(one(e), of(forward, backward))
    assert tuple(merged.head.kernel.shape) == (UNITS, LABELS)


def test_a_classifier_that_reads_both_ways_takes_the_state_that_each_direction_ends_with():
    net = network("classifier", pooling="last")
    tokens, [layer] = ids(LENGTHS, T), [one for one in net.layers if isinstance(one, keras.layers.Bidirectional)]
    h = array(layer(net.get_layer("embedding")(tokens), mask=tokens > 0))
    last = h[np.arange(B), np.array(LENGTHS) - 1]
    pooled = np.concatenate([last[:, :UNITS], h[:, 0, UNITS:]], axis=1)
    W, b = array(net.head.kernel), array(net.head.bias)
    assert_close(net(tokens), pooled @ W + b)


def test_a_classifier_takes_the_maximum_unless_told():
    tokens = ids(LENGTHS, T)
    plain, largest, mean = (network("classifier", **o)(tokens) for o in ({}, {"pooling": "max"}, {"pooling": "mean"}))
    assert_close(plain, largest)
    assert (array(plain) != array(mean)).any()


# The language model, one token at a time


@pytest.mark.parametrize(
    "name, options",
    [
        *(("language-model", {"cell": cell}) for cell in CELLS),
        ("language-model, tied", {}),
        ("language-model", {"layer_norm": True}),
    ],
)
def test_steps_over_the_tokens_give_the_logits_of_the_whole_sequence(name, options):
    net, tokens = network(name, layers=2, **options), ids([T] * B, T)
    states, logits = net.start(tokens), []
    for t in range(T):
        new, states = net.step(tokens[:, t], states)
        logits.append(array(new))
    assert_close(np.stack(logits, axis=1), net(tokens))


@pytest.mark.parametrize("cell, compiled", [*((cell, False) for cell in CELLS), ("lstm", True)])
def test_prompts_of_different_lengths_are_read_as_if_each_were_alone(cell, compiled):
    net, tokens = network("language-model", cell, layers=2 if compiled else 1), ids(LENGTHS, T)
    read = functools.partial(read_prompts, net)
    if compiled:
        read = tf.function(read, input_signature=[tf.TensorSpec([None, None], tf.int32)])
    logits, states = read(tf.constant(tokens))
    for row, length in enumerate(LENGTHS):
        alone = tokens[row : row + 1, :length]
        expected = net.start(alone)
        for t in range(length):
            last, expected = net.step(alone[:, t], expected)
        assert_close(logits[row], last[0])
        assert_close(logits[row], array(net(alone))[0, -1])
        for state, one in zip(tf.nest.flatten(states), tf.nest.flatten(expected), strict=True):
            assert_close(state[row], one[0])


@pytest.mark.parametrize("name", ["language-model", "language-model, tied", "encoder-decoder"])
def test_many_tokens_at_once_are_the_steps_over_them_and_go_on_from_any_states(name):
    """read over a part, read over the rest = step by step over all: hidden states and what is carried on."""
    net, [*source, _] = network(name, layers=2), inputs_of(name)
    tokens = ids([T] * B, T)
    start = net.start(source[0] if source else tokens)
    states, logits = start, []
    for t in range(T):
        new, states = net.step(tokens[:, t], states)
        logits.append(array(new))
    first, middle = net.read(tokens[:, :2], start)
    second, last = net.read(tokens[:, 2:], middle)
    assert_close(net.head(np.concatenate([array(first), array(second)], axis=1)), np.stack(logits, axis=1))
    keras.tree.assert_same_structure(last, states)
    for one, other in zip(tf.nest.flatten(last), tf.nest.flatten(states), strict=True):
        assert_close(tf.cast(one, "float32"), tf.cast(other, "float32"))


def test_tied_weights_share_one_matrix():
    recurrent = 4 * UNITS * (2 * UNITS + 1)
    assert make("language-model, tied").count_params() == V * UNITS + recurrent
    assert make("language-model", cell="lstm", embedding_units=UNITS).count_params() == 2 * V * UNITS + V + recurrent
    net = make("language-model, tied")
    h = np.random.normal(size=(2, UNITS)).astype("float32")
    assert_close(net.embedding(h, reverse=True), h @ array(net.embedding.embeddings).T)


# Layer normalization


def normalized(h, gamma, beta):
    """(h - mean) / √(variance + ε) γ + β over the units, in NumPy."""
    middle, spread = h.mean(axis=-1, keepdims=True), h.var(axis=-1, keepdims=True)
    return (h - middle) / np.sqrt(spread + 1e-3) * gamma + beta


@pytest.mark.parametrize(
    "name, layers",
    [("language-model", 1), ("labeler", 1), ("classifier", 1), ("encoder-decoder", 1), ("labeler, characters", 2)],
)
def test_layer_norm_normalizes_what_each_layer_hands_on(name, layers):
    net, inputs = network(name, layers=layers, layer_norm=True), inputs_of(name)
    norms = [layer for layer in net.layers if isinstance(layer, keras.layers.LayerNormalization)]
    assert len(norms) == layers + (name == "encoder-decoder")  # the decoder hands on, too
    assert not [layer for layer in network(name).layers if isinstance(layer, keras.layers.LayerNormalization)]
    parts = keras.Model(net.input, [part for norm in norms for part in (norm.input, norm.output)])
    found = list(map(array, parts(inputs[0] if len(inputs) == 1 else tuple(inputs))))
    for norm, before, after in zip(norms, found[::2], found[1::2], strict=True):
        gamma, beta = map(array, norm.weights)
        assert before.shape[-1] in (UNITS, 2 * UNITS, 3 * UNITS) and np.abs(gamma - 1).max() > 0.1
        assert_close(after, normalized(before, gamma, beta))


def test_layer_norm_normalizes_before_the_projection_and_the_head_of_a_language_model():
    with_norm = make("language-model", cell="gru", layer_norm=True)
    without = make("language-model", cell="gru")
    [norm] = [layer for layer in with_norm.layers if isinstance(layer, keras.layers.LayerNormalization)]
    own = {weight.path for weight in norm.weights}
    without.set_weights([array(weight) for weight in with_norm.weights if weight.path not in own])
    tokens = inputs_of("language-model")[0]
    expected = without.head(normalized(array(without.body(tokens)), *map(array, norm.weights)))
    assert_close(with_norm(tokens), expected)


# Characters


def test_letters_beyond_the_padding_change_nothing():
    net, (tokens, letters) = network("labeler, characters"), inputs_of("labeler, characters")
    wider = np.pad(letters, ((0, 0), (0, 0), (0, 3)))
    assert_close(net((tokens, wider)), net((tokens, letters)), 1e-6)


def test_letters_of_a_padded_word_change_no_real_position():
    net, (tokens, letters) = network("labeler, characters"), inputs_of("labeler, characters")
    other = np.where(REAL[:, :, None], letters, 1 + np.random.randint(1, C - 1, letters.shape))
    assert_close(array(net((tokens, other)))[REAL], array(net((tokens, letters)))[REAL], 1e-6)


@pytest.mark.parametrize("letter", [0, 2])
def test_a_letter_of_a_word_changes_the_logits_of_that_word(letter):
    net = network("labeler, characters", bidirectional=False)
    tokens, letters = ids([T] * B, T), np.random.randint(1, C, (B, T, LETTERS))
    other = letters.copy()
    other[:, 2, letter] = 1 + other[:, 2, letter] % (C - 1)
    differs = (array(net((tokens, letters))) != array(net((tokens, other)))).any(axis=-1)
    assert differs[:, 2:].all() and not differs[:, :2].any()


def test_a_word_is_the_final_states_of_an_lstm_over_its_letters_both_ways():
    layer = CharacterEncoder(C, embedding_units=2, units=5)
    letters = ids(np.random.randint(1, LETTERS + 1, 6), LETTERS, C).reshape(2, 3, LETTERS)
    letters[1, 2] = 0  # a padded word
    vectors = array(layer(letters))
    assert vectors.shape == (2, 3, 10) and layer.compute_output_shape((2, 3, LETTERS)) == (2, 3, 10)
    peers = [keras.layers.LSTM(5), keras.layers.LSTM(5)]
    for peer, own in zip(peers, (layer.encoder.forward_layer, layer.encoder.backward_layer), strict=True):
        peer.build((None, None, 2))
        peer.set_weights(own.get_weights())
    for row in range(2):
        for t in range(3):
            word = letters[row, t][letters[row, t] > 0]
            if not len(word):
                assert (vectors[row, t] == 0).all()
                continue
            spelled = array(layer.embedding.embeddings)[word][None]
            assert_close(vectors[row, t], np.concatenate([peers[0](spelled)[0], peers[1](spelled[:, ::-1])[0]]))


def test_a_character_encoder_survives_its_file(tmp_path):
    inputs = keras.Input((None, None), dtype="int32")
    layer = CharacterEncoder(C, embedding_units=2, units=5, name="letters")
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    assert reloaded.get_layer("letters").get_config() == layer.get_config()
    letters = np.random.randint(0, C, (2, 3, LETTERS))
    np.testing.assert_array_equal(array(reloaded(letters)), array(model(letters)))


# The encoder-decoder, one token at a time


@pytest.mark.parametrize("cell, attention", [*zip(CELLS, ATTENTIONS, strict=False), ("gru", "scaled_dot")])
def test_steps_over_the_target_give_the_logits_of_teacher_forcing(cell, attention):
    net = network("encoder-decoder", cell, layers=2, attention=attention)
    source, target = inputs_of("encoder-decoder")
    states = net.start(source)
    np.testing.assert_array_equal(array(states["source"]["mask"]), source > 0)
    assert [tuple(state.shape) for state in states["recurrent"]] == [(B, UNITS)] * len(net.decoder.state_sizes())
    logits, weights = [], []
    for t in range(T):
        new, states = net.step(target[:, t], states)
        assert (array(states["attention"])[source == 0] == 0).all()
        logits.append(array(new))
        weights.append(array(states["attention"]))
    assert_close(np.stack(logits, axis=1), net((source, target)))
    assert_close(np.stack(weights, axis=1), net.attend(source, target))


def test_each_layer_of_the_decoder_starts_from_the_final_states_of_that_layer_of_the_encoder():
    net, source = make("encoder-decoder", cell="lstm", layers=2), inputs_of("encoder-decoder")[0]
    stack = [layer for layer in net.layers if isinstance(layer, keras.layers.Bidirectional)]
    h, expected = array(net.get_layer("source_embedding")(source)), []
    for layer in stack:
        h, forward_h, forward_c, backward_h, backward_c = map(array, layer(h, mask=source > 0))
        expected += [np.concatenate([forward_h, backward_h], 1), np.concatenate([forward_c, backward_c], 1)]
    _, _, states = net.encode(net.source_embedding(source), source > 0)
    for k, (state, final) in enumerate(zip(states, expected, strict=True)):
        W, b = map(array, net.get_layer(f"bridge_{k}").weights)
        assert_close(state, np.tanh(final @ W + b))


ONE_NETWORK = {"context": "none", "bidirectional": False, "bridge": "copy", "share_layers": True}
STAGES = [
    ONE_NETWORK,
    {"context": "none"},
    {"context": "none", "bidirectional": False, "reverse_source": True},
    {"context": "last"},
    {"context": "mean", "bidirectional": False, "bridge": "copy", "tie_weights": True},
    {"attention": "bilinear", "bidirectional": False, "reverse_source": True},
    {"attention": "scaled_dot", "layer_norm": True},
    {"coverage": True, "layer_norm": True, "readout": "luong"},
    {"share_embeddings": True, "target_vocabulary_size": V + 1},
    {"share_embeddings": True, "target_vocabulary_size": V + 1, "tie_weights": True, "context": "last"},
]  # of the encoder-decoder in the texts
every_stage = pytest.mark.parametrize("options", STAGES, ids=str)


@pytest.mark.slow
@every_stage
def test_steps_give_the_logits_of_teacher_forcing_in_every_stage(options):
    net = network("encoder-decoder", "lstm", layers=2, **options)
    source, target = inputs_of("encoder-decoder")
    states, logits = net.start(source), []
    for t in range(T):
        new, states = net.step(target[:, t], states)
        logits.append(array(new))
    assert_close(np.stack(logits, axis=1), net((source, target)))
    hidden, after = net.read(target, net.start(source))
    assert_close(net.head(hidden), net((source, target)))
    keras.tree.map_structure(assert_close, after, states)


@every_stage
def test_source_padding_changes_no_stage_and_each_token_does(options):
    net = network("encoder-decoder", "gru", **options)
    source, target = inputs_of("encoder-decoder")
    logits = array(net((source, target)))
    assert_close(net((np.pad(source, ((0, 0), (0, 3))), target)), logits)
    for t in range(min(SOURCE_LENGTHS)):
        assert (array(net((change(source, t), target))) != logits).any(axis=-1).all()


@pytest.mark.parametrize("options", [{**ONE_NETWORK, "layers": 2}, {"context": "last"}, *STAGES[-3:]], ids=str)
def test_a_stage_survives_its_file_and_its_configuration(options, tmp_path):
    before, inputs = network("encoder-decoder", **options), tuple(inputs_of("encoder-decoder"))
    before.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(after(inputs)), array(before(inputs)))
    assert len(EncoderDecoder.from_config(before.get_config()).weights) == len(before.weights) == len(after.weights)


def test_one_network_reads_source_and_target_as_one_sequence():
    net = network("encoder-decoder", "lstm", layers=2, **ONE_NETWORK)
    source, target = inputs_of("encoder-decoder")
    for row, length in enumerate(SOURCE_LENGTHS):
        e = net.source_embedding(source[row : row + 1, :length]), net.target_embedding(target[row : row + 1])
        h = keras.ops.concatenate(e, axis=1)
        for layer in net.decoder.stack:
            h, *_ = layer(h)
        assert_close(net.head(net.readout(h[:, length:], e[1])), net((source, target))[row : row + 1])


def test_a_reversed_source_is_the_source_written_from_its_end():
    options = {"context": "max", "bidirectional": False}
    forward, backward = (make("encoder-decoder", reverse_source=reverse, **options) for reverse in (False, True))
    source, target = inputs_of("encoder-decoder")
    turned = source.copy()
    for row, length in enumerate(SOURCE_LENGTHS):
        turned[row, :length] = source[row, :length][::-1]
    assert_close(backward((source, target)), forward((turned, target)))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"reverse_source": True}, "reverse_source=True needs bidirectional=False"),
        ({"bridge": "copy"}, "bridge=copy needs bidirectional=False"),
        ({"attention": "dot", "context": "mean"}, "attention needs context='attention'"),
        ({"coverage": True, "context": "last"}, "coverage needs context='attention'. Received: coverage=True"),
        ({"coverage": True, "input_feeding": True, "readout": "luong"}, "coverage needs input_feeding=False"),
        ({"share_embeddings": True}, "share_embeddings needs one vocabulary of both sides. Received: 12 tokens of sou"),
        ({"share_layers": True, "bidirectional": False}, "share_layers needs context='none' and bridge='copy'"),
        ({"label_smoothing": 1}, "label_smoothing must be a number"),
    ],
)
def test_options_of_an_encoder_decoder_that_contradict_each_other_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        make("encoder-decoder", **options)


def test_a_source_token_changes_every_logit():
    net, (source, target) = network("encoder-decoder"), inputs_of("encoder-decoder")
    assert (array(net((source, target))) != array(net((change(source, 0), target)))).any(axis=-1).all()


# Training


OPTIONS = [(name, {}) for name in NETWORKS]
OPTIONS += [("classifier", {"pooling": pooling, "bidirectional": False}) for pooling in POOLINGS]
OPTIONS += [("classifier", {"window": 2})]
OPTIONS += [("encoder-decoder", {"attention": attention, "cell": "gru"}) for attention in ATTENTIONS[1:]]
OPTIONS += [("encoder-decoder", {"coverage": True}), ("encoder-decoder", {"layer_norm": True})]
OPTIONS += [("encoder-decoder", {"context": context}) for context in ("none", "last")]
OPTIONS += [("encoder-decoder", {"context": "none", "bidirectional": False, "bridge": "copy", "share_layers": True})]


@pytest.mark.parametrize("name, options", OPTIONS)
def test_every_weight_gets_a_finite_gradient_that_is_not_zero(name, options):
    net, inputs = network(name, layers=1 if options else 2, **options), inputs_of(name)
    with tf.GradientTape() as tape:
        logits = call(net, inputs, training=True)
        loss = tf.reduce_sum(tf.nn.log_softmax(logits)[..., 1] * tf.cast(real_weights(name), logits.dtype))
    gradients = tape.gradient(loss, [w.value for w in net.trainable_weights])
    for weight, gradient in zip(net.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path
        gradient = array(tf.convert_to_tensor(gradient))
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, weight.path


def real_weights(name):
    """1 on real tokens; 1 for each text."""
    return np.ones(B) if name == "classifier" else REAL


@each_class
def test_dropout_changes_logits_in_training_only(name):
    plain, dropped, inputs = network(name), make(name, dropout=0.5), inputs_of(name)
    np.testing.assert_array_equal(array(call(dropped, inputs)), array(call(plain, inputs)))
    first, second = (array(call(dropped, inputs, training=True)) for _ in range(2))
    assert (first != second).any() and (first != array(call(plain, inputs))).any()


DROPPED = {
    "language-model": [(B, T, E), (B, T, UNITS), (B, T, UNITS)],
    "labeler, characters": [(B, T, UNITS + 10), (B, T, 2 * UNITS), (B, T, 2 * UNITS)],
    "classifier": [(B, T, E), (B, T, 2 * UNITS), (B, T, 2 * UNITS), (B, 2 * UNITS)],
    "encoder-decoder": [(B, S, E), (B, S, 2 * UNITS), (B, S, 2 * UNITS), (B, T, E), (B, T, E)],
}  # embeddings, the output of each layer, and what enters the head


@pytest.mark.parametrize("name", DROPPED)
def test_dropout_acts_on_embeddings_outputs_of_layers_and_what_enters_the_head(name, monkeypatch):
    net, inputs, shapes = make(name, dropout=0.5, layers=2), inputs_of(name), []

    def note(self, inputs, training=False):
        shapes.extend(tuple(x.shape) for x in keras.tree.flatten(inputs))
        return inputs

    monkeypatch.setattr(Dropout, "call", note)
    call(net, inputs, training=True)
    assert sorted(shapes) == sorted(DROPPED[name])


@each_class
def test_float64_gives_the_logits_of_float32_more_exactly(name):
    inputs = inputs_of(name)
    single = call(network(name), inputs)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    double = call(make(name), inputs)
    assert keras.backend.standardize_dtype(double.dtype) == "float64"
    assert_close(single, double)


@each_class
def test_a_graph_with_unknown_sizes_gives_what_eager_gives(name):
    net, inputs = network(name), inputs_of(name)
    graph = tf.function(
        lambda *inputs: call(net, inputs), input_signature=[tf.TensorSpec([None] * x.ndim, x.dtype) for x in inputs]
    )
    for some in (inputs, widen([x[1:] for x in inputs])):
        assert_close(graph(*map(tf.constant, some)), call(net, some))


def test_an_option_or_a_head_of_a_subclass_is_used_or_refused():
    @dataclass(frozen=True)
    class Options(SequenceClassifier.options_class):
        extra: int = option(3, "an option of its own", at_least=1)

    class Extended(SequenceClassifier):
        options_class = Options

    assert Extended(V, LABELS, units=4, extra=5).get_config()["extra"] == 5
    with pytest.raises(ValueError, match="extra must be a positive integer. Received: extra=0"):
        Extended(V, LABELS, units=4, extra=0)

    class OwnHead(LanguageModel):
        head_class = type("Head", (SoftmaxHead,), {})

    assert type(OwnHead(V, units=4).head) is OwnHead.head_class
    with pytest.raises(ValueError, match="tie_weights needs the head SoftmaxHead. Received: head_class=Head"):
        OwnHead(V, units=4, tie_weights=True)
    with pytest.raises(ValueError, match="softmax=sampled needs the head SoftmaxHead. Received: head_class=Head"):
        OwnHead(V, units=4, softmax="sampled")


@pytest.mark.parametrize("cell", CELLS)
def test_a_language_model_reads_in_training_with_the_dropout_of_a_whole_training_step(cell):
    network = LanguageModel(V, units=4, layers=2, dropout=0.5, cell=cell)
    tokens = np.arange(1, 1 + 2 * 5).reshape(2, 5).astype("int32") % (V - 1) + 1  # no padding
    seed = network.drops[0].seed_generator.state
    before = keras.ops.convert_to_numpy(seed)
    whole = network.body(tokens, training=True)
    seed.assign(before)
    read, states = network.read(tokens, network.start(tokens), training=True)
    np.testing.assert_allclose(read, whole, rtol=1e-5, atol=1e-6)
    plain, plain_states = network.read(tokens, network.start(tokens))
    assert not np.allclose(read, plain) and not np.allclose(states[0][0], plain_states[0][0])
