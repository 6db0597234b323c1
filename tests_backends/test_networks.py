"""The four networks learn, survive their file, and say the same one token at a time; generation is a plain loop."""

import keras
import numpy as np
import pytest
from keras import ops
from measuring import array, assert_close, normal

from seq_models import decoding
from seq_models.decoding import generate, greedy, read_prompts, sampler
from seq_models.networks import EncoderDecoder, LanguageModel, SequenceClassifier, SequenceLabeler

B, T, S, V, C, LABELS, UNITS, END = 6, 5, 7, 11, 7, 3, 8, 3
SMALL = {"units": UNITS, "layers": 2, "dropout": 0.1}
NETWORKS = {
    "language-model": lambda: LanguageModel(V, cell="lstm", **SMALL),
    "language-model, tied": lambda: LanguageModel(V, cell="gru", tie_weights=True, **SMALL),
    "labeler": lambda: SequenceLabeler(V, LABELS, cell="gru", **SMALL),
    "labeler, characters": lambda: SequenceLabeler(V, LABELS, cell="lstm", character_vocabulary_size=C, units=UNITS),
    "classifier, max": lambda: SequenceClassifier(V, LABELS, cell="lstm", **SMALL),
    "classifier, last": lambda: SequenceClassifier(V, LABELS, cell="simple_rnn", pooling="last", **SMALL),
    "encoder-decoder, additive": lambda: EncoderDecoder(V, V, cell="lstm", **SMALL),
    "encoder-decoder, dot": lambda: EncoderDecoder(V, V, cell="gru", attention="dot", units=UNITS),
    "encoder-decoder, bilinear": lambda: EncoderDecoder(V, V, cell="simple_rnn", attention="bilinear", units=UNITS),
    "encoder-decoder, maxout": lambda: EncoderDecoder(V, V, cell="gru", readout="maxout", **SMALL),
    "encoder-decoder, fed": lambda: EncoderDecoder(V, V, cell="lstm", readout="luong", input_feeding=True, **SMALL),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def ids(width, vocabulary=V):
    """Random token ids (B, width), 0 beyond each row's length."""
    real = np.arange(width) < np.array([width, 1, 3, width, 2, 4])[:, None]
    return np.where(real, np.random.randint(1, vocabulary, real.shape), 0).astype("int32")


def inputs_of(name):
    tokens = ids(T)
    if name == "labeler, characters":
        return tokens, np.where(tokens[:, :, None] > 0, np.random.randint(1, C, (B, T, 3)), 0).astype("int32")
    return (ids(S), tokens) if name.startswith("encoder-decoder") else tokens


def with_random_weights(network):
    network.set_weights([normal(*w.shape, scale=0.4) for w in network.get_weights()])
    return network


@every_network
def test_training_lowers_the_loss_and_the_network_survives_its_file(name, tmp_path):
    network, inputs = NETWORKS[name](), inputs_of(name)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer=keras.optimizers.Adam(0.02), loss=loss)
    logits = network.predict(inputs, verbose=0)
    targets = np.random.randint(0, logits.shape[-1], logits.shape[:-1])
    before = loss(targets, logits)
    first = network.train_on_batch(inputs, targets)
    assert abs(first - before) < 0.2  # dropout apart
    history = network.fit(inputs, targets, batch_size=B, epochs=25, verbose=0).history["loss"]
    after = network.predict(inputs, verbose=0)
    assert history[-1] < 0.9 * before and loss(targets, after) < 0.9 * before
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == network.get_config()
    assert_close(loaded.predict(inputs, verbose=0), after, 1e-6)


@pytest.mark.parametrize("name", ["labeler", "classifier, max", "classifier, last"])
def test_more_padding_changes_nothing(name):
    network, tokens = with_random_weights(NETWORKS[name]()), ids(T)
    logits, wider = array(network(tokens)), array(network(np.pad(tokens, ((0, 0), (0, 2)))))
    real = tokens > 0 if logits.ndim == 3 else slice(None)
    assert_close((wider[:, :T] if logits.ndim == 3 else wider)[real], logits[real])


# One token at a time


@pytest.mark.parametrize("name", ["language-model", "language-model, tied"])
def test_a_language_model_reads_a_prompt_as_it_reads_it_whole(name):
    network, tokens = with_random_weights(NETWORKS[name]()), ids(T)
    lengths = (tokens > 0).sum(axis=1).astype("int32")
    logits, states = read_prompts(network, ops.convert_to_tensor(tokens))
    assert_close(logits, array(network(tokens))[np.arange(B), lengths - 1])
    again, _ = network.step(ops.convert_to_tensor(tokens[:, 0]), states)
    longer = [np.append(tokens[b, : lengths[b]], tokens[b, 0])[None] for b in range(B)]
    assert_close(again, np.concatenate([array(network(row))[:, -1] for row in longer]))


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith("encoder-decoder")])
def test_an_encoder_decoder_says_one_token_after_the_other_what_it_says_at_once(name):
    network = with_random_weights(NETWORKS[name]())
    source, target = inputs_of(name)
    expected = array(network((source, target)))
    states = network.start(ops.convert_to_tensor(source))
    for t in range(T):
        logits, states = network.step(ops.convert_to_tensor(target[:, t]), states)
        assert_close(logits, expected[:, t])


# Generation


def a_language_model():
    """(step, first logits, states) of a language model with random weights."""
    network = with_random_weights(LanguageModel(V, cell="gru", units=UNITS))
    first, states = read_prompts(network, ops.convert_to_tensor(np.random.randint(1, V, (B, 2)).astype("int32")))
    return network.step, 4 * first, states


def by_hand(step, choose, first, states, max_length):
    """`generate` as a Python loop over rows and steps."""
    logits, tokens, lengths, scores, done = array(first), [], np.zeros(B, int), np.zeros(B), np.zeros(B, bool)
    for t in range(max_length):
        chosen = np.where(done, 0, choose(logits, t))
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        scores += np.where(done, 0, log_p[np.arange(B), chosen])
        lengths += ~done
        done |= chosen == END
        tokens.append(chosen)
        logits, states = step(ops.convert_to_tensor(chosen.astype("int32")), states)
        logits = array(logits)
    return np.stack(tokens, axis=1), lengths, scores


def test_greedy_generation_is_a_plain_loop():
    step, first, states = a_language_model()
    expected = by_hand(step, lambda logits, _: logits.argmax(axis=-1), first, states, 9)
    assert_close(generate(step, greedy, first, states, END, 9), expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_sampling_is_a_plain_loop_that_ends_where_the_end_is_drawn(temperature):
    step, first, states = a_language_model()
    uniform = np.random.uniform(size=(B, 9)).astype("float32")

    def choose(logits, t):
        powers = np.exp(logits / temperature)
        return (np.cumsum(powers / powers.sum(axis=-1, keepdims=True), axis=-1) <= uniform[:, t, None]).sum(axis=-1)

    expected = by_hand(step, choose, first, states, 9)
    changes = [decoding.temperature(ops.full((B,), temperature, dtype="float32"))]
    chosen = generate(step, sampler(ops.convert_to_tensor(uniform)), first, states, END, 9, changes=changes)
    assert_close(chosen, expected)
    assert expected[1].min() < expected[1].max()  # some rows end before the others


def test_the_most_probable_token_of_a_row_without_any_other_is_its_end():
    logits = np.where(np.arange(V) == END, 0, -np.inf).astype("float32") * np.ones((B, 1), "float32")
    first = ops.convert_to_tensor(np.nan_to_num(logits, neginf=-1e9))
    tokens, lengths, scores = generate(lambda _, states: (first, states), greedy, first, [], END, 4)
    assert_close([tokens, lengths, scores], [np.eye(4)[0] * END * np.ones((B, 1)), np.ones(B), np.zeros(B)])


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.jit is of JAX")
def test_generation_can_be_compiled_by_jax():
    import jax

    step, first, states = a_language_model()
    run = lambda first, states: generate(step, greedy, first, states, END, 9)  # noqa: E731
    assert_close(jax.jit(run)(first, states), run(first, states))
