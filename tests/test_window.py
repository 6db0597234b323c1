"""The fixed-window language model: equation 1 of Bengio et al. 2003, read anew here, word by word."""

import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from toy import TEXTS

import seq_models as sm
from seq_models import cli, decoding
from seq_models.baselines.window_network import WindowNetwork
from seq_models.layers.heads import AdaptiveSoftmaxHead, SampledSoftmaxHead, SoftmaxHead
from seq_models.tasks.carried import CarriedStates
from seq_models.tasks.text_model import TextModel
from seq_models.text.streams import Consecutive, make_stream
from seq_models.text.vocabulary import PAD
from seq_models.training.options import StreamTrainingOptions
from seq_models.training.resume import Resume
from seq_models.training.trainer import train

V, E, H, B, T = 9, 3, 4, 3, 7
LENGTHS = [7, 4, 1]
CYCLE = ["a a b b " * 60] * 2  # which word comes next follows from the last two, and not from the last one
SMALL = {"tokenizer": "whitespace", "order": 3, "units": 6}
both_forms = pytest.mark.parametrize("direct", [True, False], ids=["direct", "simplified"])


def random_network(**options):
    """A network whose weights, biases too, are all random and unequal."""
    network = WindowNetwork(V, **{"units": H, "embedding_units": E, "order": 4, **options})
    network.set_weights([np.random.normal(0, 0.7, weight.shape) for weight in network.weights])
    return network


def random_tokens():
    return np.random.randint(4, V, (B, T)).astype("int32") * (np.arange(T) < np.array(LENGTHS)[:, None])


def read_anew(network, row, direct):
    """Logits after each word of a row, one after the other."""
    n = network.order
    C, (W_h, d) = network.embedding.embeddings.numpy(), (w.numpy() for w in network.hidden_layer.weights)
    U, W, b = network.head.kernel.numpy()[:H], network.head.kernel.numpy()[H:], network.head.bias.numpy()
    assert W.shape == ((n - 1) * E if direct else 0, V)
    logits = []
    for t in range(len(row)):
        x = np.concatenate([C[row[k] if k >= 0 else PAD] for k in range(t - n + 2, t + 1)])
        y = b + np.tanh(x @ W_h + d) @ U
        logits.append(y + x @ W if direct else y)
    return np.array(logits)


@both_forms
@pytest.mark.parametrize("order", [2, 4, 12])
def test_logits_are_those_of_equation_1(order, direct):
    network, tokens = random_network(order=order, direct=direct), random_tokens()
    logits = network(tokens).numpy()
    for row, length, found in zip(tokens, LENGTHS, logits, strict=True):
        np.testing.assert_allclose(found[:length], read_anew(network, row[:length], direct), atol=1e-5)


@both_forms
@pytest.mark.parametrize("cut", range(T + 1))
def test_a_text_cut_anywhere_is_the_whole_text(cut, direct):
    network, tokens = random_network(direct=direct), random_tokens()
    whole, states = network.body(tokens), network.start(tokens)
    parts = []
    for part in (tokens[:, :cut], tokens[:, cut:]):
        hidden, states = network.read(part, states)
        parts.append(hidden)
    real = tokens != 0
    np.testing.assert_allclose(np.concatenate(parts, axis=1)[real], whole.numpy()[real], atol=1e-6)
    for row, length, state in zip(tokens, LENGTHS, states.numpy(), strict=True):
        np.testing.assert_array_equal(state, [PAD, PAD, PAD, *row[:length]][-3:])


@both_forms
def test_a_word_at_a_time_is_the_whole_text(direct):
    network, tokens = random_network(direct=direct), random_tokens()
    logits, states = network(tokens).numpy(), network.start(tokens)
    for t in range(T):
        found, states = network.step(tokens[:, t], states)
        live = tokens[:, t] != 0
        np.testing.assert_allclose(found.numpy()[live], logits[live, t], atol=1e-5)


@pytest.mark.parametrize("window", [1, 3, 6])
def test_windows_of_a_long_text_are_one_window(window):
    network, tokens = random_network(direct=True), random_tokens()
    targets = tf.constant(np.random.randint(3, V, tokens.shape) * (tokens != 0), tf.int32)
    tokens = tf.constant(tokens, tf.int32)
    found, whole = (
        [decoding.log_probabilities(network, tokens, targets, *w), decoding.read_prompts(network, tokens, *w)]
        for w in ([window], [])
    )
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(whole), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_dropout_acts_on_the_embeddings_and_on_the_hidden_layer():
    network = random_network(direct=True, dropout=0.5)
    tokens = np.random.randint(4, V, (40, T)).astype("int32")
    whole = network.body(tokens).numpy()
    for hidden in (network.body(tokens, training=True), network.read(tokens, network.start(tokens), training=True)[0]):
        h, x = np.split(hidden.numpy(), [H], axis=-1)
        for part, undropped in ((h, network.hidden_layer(x).numpy()), (x, whole[..., H:])):
            assert 0.4 < np.mean(part == 0) < 0.6
            np.testing.assert_allclose(part[part != 0], 2 * undropped[part != 0], atol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"order": 1}, "order must be an integer at least 2 and below 101. Received: order=1"),
        ({"order": 101}, "order must be an integer at least 2 and below 101. Received: order=101"),
        ({"units": 0}, "units must be a positive integer. Received: units=0"),
        ({"embedding_units": 0}, "embedding_units must be a positive integer, or None. Received: embedding_units=0"),
        ({"direct": 1}, "direct must be true or false. Received: direct=1"),
        ({"dropout": 1.0}, "dropout must be a number at least 0 and below 1. Received: dropout=1.0"),
        ({"cell": "gru"}, "cell must be the name of an option, as .*Received: cell='gru'"),
    ],
)
def test_a_wrong_option_is_one_sentence(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        sm.WindowLanguageModel.from_examples(TEXTS, **options)


# Training


def trained(order, corpus, **options):
    """A model of texts that go round."""
    model = sm.WindowLanguageModel.from_examples(CYCLE, **{**SMALL, "order": order}, corpus=corpus, unknown_share=0.0)
    model.compile(tf.keras.optimizers.Adam(0.05))
    model.fit(model.dataset(CYCLE, shuffle=True, **options), epochs=10, verbose=0)
    return model.score(CYCLE)["perplexity"]


def test_it_learns_what_the_words_of_its_window_say_and_no_more():
    narrow, wide = (trained(order, "sentences", batch_size=1) for order in (2, 3))
    assert wide < 1.1 and narrow > 1.9


@pytest.mark.slow
def test_a_segment_of_one_word_learns_from_the_words_that_are_carried():
    narrow, wide = (trained(order, "stream", batch_size=8, segment_length=1) for order in (2, 3))
    assert wide < 1.1 and narrow > 1.9


def test_segments_with_carried_words_are_one_long_text():
    model = sm.WindowLanguageModel.from_examples(TEXTS, **SMALL, direct=True, corpus="stream")
    batches = [*make_stream(model.preprocessor, TEXTS, Consecutive(3, 2))][:-1]  # in the last one some rows end
    carried = CarriedStates(model.network.start(tf.zeros((1, 1), tf.int32)))
    parts = []
    for (tokens, fresh), _, _ in batches:
        hidden, states = model.network.read(tokens, carried.before(fresh))
        carried.keep(states)
        parts.append(hidden)
    whole = tf.concat([tokens for (tokens, _), _, _ in batches], axis=1)
    np.testing.assert_allclose(tf.concat(parts, axis=1), model.network.body(whole), atol=1e-6)


def train_on_stream(directory, **options):
    """Two epochs of 6 batches each; gives the scores and the best weights."""
    options = {"epochs": 2, "batch_size": 2, "segment_length": 3, "learning_rate": 0.05, "watch_share": 0, **options}
    network = {**SMALL, "direct": True, "corpus": "stream", "dropout": options.pop("dropout", 0.0)}
    run = train(sm.WindowLanguageModel, TEXTS, TEXTS, directory, StreamTrainingOptions(**options), network, {})
    return run.read_metrics()["epochs"], sm.load_run(run.path).get_weights()


@pytest.mark.slow
def test_a_training_on_a_stream_that_is_killed_goes_on_bit_for_bit(tmp_path):
    plain, batches = Resume.on_train_batch_end, itertools.count(1)

    def on_train_batch_end(self, batch, logs=None):
        plain(self, batch, logs)
        if next(batches) == 8:
            shutil.copytree(tmp_path / "whole", tmp_path / "killed")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Resume, "on_train_batch_end", on_train_batch_end)
        scores, weights = train_on_stream(tmp_path / "whole", dropout=0.3, checkpoint_seconds=0)
    assert next(batches) == 13
    again, after = train_on_stream(tmp_path / "killed", dropout=0.3, checkpoint_seconds=0)
    assert again == scores and all(map(np.array_equal, after, weights))


@pytest.mark.slow
def test_two_replicas_carry_the_words_of_their_rows(tmp_path):
    (one, weights), (two, of_two) = (train_on_stream(tmp_path / way, strategy=way) for way in ("one", "mirrored"))
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose([epoch[name] for epoch in two], [epoch[name] for epoch in one], rtol=1e-5)
    for found, expected in zip(of_two, weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


# From one place to the next


@pytest.fixture(scope="module")
def model():
    return sm.WindowLanguageModel.from_examples(TEXTS, **SMALL, direct=True)


@pytest.mark.slow
def test_it_is_a_text_model_that_a_run_keeps(model, tmp_path):
    assert isinstance(model, TextModel)
    model.save_run(tmp_path / "run")
    again = sm.load_run(tmp_path / "run")
    assert type(again) is sm.WindowLanguageModel and again.network.options == model.network.options
    assert again.score_tokens(["a b XYZ"]) == model.score_tokens(["a b XYZ"])
    assert again.generate(["a", ""], seed=3) == model.generate(["a", ""], seed=3)


@pytest.mark.slow
def test_an_export_answers_as_the_model_does(model, tmp_path):
    served = tf.saved_model.load(str(sm.export(model, tmp_path / "window"))).signatures  # the gate compares all answers
    answer = served["start"](prompt=tf.constant(["a b"]))
    for word in ("c", "a", "e"):
        answer = served["step"](token=tf.constant([word]), states=answer["states"])
    np.testing.assert_array_equal(answer["words"], model.next_words(tf.constant(["a b c a e"]))["words"])
    assert answer["states"].dtype == tf.int32 and answer["states"].shape == (1, 2)


@pytest.mark.slow
def test_it_is_trained_evaluated_asked_and_exported_by_commands(tmp_path, capsys):
    corpus, run, report = tmp_path / "texts.txt", tmp_path / "run", tmp_path / "report"
    corpus.write_text("".join(text + "\n" for text in TEXTS), "utf-8")

    def printed(*words):
        assert cli.main(list(map(str, words))) == 0
        return capsys.readouterr().out

    options = ["tokenizer=whitespace", "order=3", "units=6", "direct=true", "epochs=2", "watch_share=0"]
    printed("train", "window", "--train", corpus, "--valid", corpus, "--out", run, "--set", *options)
    best = json.loads((run / "metrics.json").read_text())["best"]
    scores = printed("evaluate", run, "--data", corpus, "--json", "--report", report)
    assert json.loads(scores)["perplexity"] == pytest.approx(best["val_perplexity"])
    assert "perplexity" in (report / "report.txt").read_text()
    assert len(printed("predict", run, "--input", corpus).splitlines()) == len(TEXTS)
    assert len(printed("score", run, "--data", corpus).splitlines()) >= len(TEXTS)
    assert printed("generate", run, "--prompt", "a", "--temperature", 0).startswith("a")
    printed("export", run, "--to", tmp_path / "exports", "--name", "window")
    assert (tmp_path / "exports" / "window" / "1" / "saved_model.pb").exists()


def test_over_many_words_its_softmax_is_sampled_in_training_and_it_can_be_adaptive():
    asked = [(50_000, "auto"), (49_999, "auto"), (50_000, "full"), (9, "adaptive")]
    heads = [WindowNetwork(V, order=2, units=2, softmax=softmax).head for V, softmax in asked]
    assert [type(head) for head in heads] == [SampledSoftmaxHead, SoftmaxHead, SoftmaxHead, AdaptiveSoftmaxHead]
    network = WindowNetwork(9, order=2, units=2, softmax="adaptive")
    np.testing.assert_allclose(np.exp(network(np.array([[2, 5, 8]]))).sum(axis=-1), np.ones((1, 3)), rtol=1e-5)
