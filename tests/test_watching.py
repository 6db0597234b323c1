"""What a training shows: the numbers are right, the files hold them, and the training is not changed by it."""

import json
import math
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
from toy import EXAMPLES, TEXTS, dataset_of, shared, small

from seq_models.layers import GRU, LSTM, Bidirectional
from seq_models.layers.heads import cross_entropy
from seq_models.plots import plot_attention, plot_confusion
from seq_models.tasks import TASKS
from seq_models.training.options import TrainingOptions
from seq_models.training.precision import precision
from seq_models.training.run_directory import RunDirectory
from seq_models.training.strategy import make_strategy
from seq_models.training.trainer import train
from seq_models.training.watching import draw, one_text, projector, watcher, watchers
from seq_models.training.watching.error_analysis import errors_of
from seq_models.training.watching.log import TrainingLog, markdown
from seq_models.training.watching.names import named_cells, named_layers, named_weights
from seq_models.training.watching.through_time import through_time
from seq_models.training.watching.watcher import Every, Watcher
from seq_models.training.watching.weights import gradient_norms

array = keras.ops.convert_to_numpy
OPTIONS = {"units": 5, "cell": "lstm", "vocabulary_size": None, "bidirectional": True}


def fit(model, task, callbacks, epochs=2, initial_epoch=0, **options):
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, 20)), clip_norm=1.0, **options)
    data = model.dataset(EXAMPLES[task], 2, shuffle=True, seed=1)  # 4 steps an epoch
    valid = model.dataset(EXAMPLES[task], 4)
    options = {"callbacks": callbacks, "verbose": 0, "epochs": epochs, "initial_epoch": initial_epoch}
    return model.fit(data, validation_data=valid, **options).history


def watched(directory, task, every=2, **options):
    model = small(task, **options)
    model.compile()
    return model, watchers(directory, model, EXAMPLES[task], OPTIONS, every=every, share=1)


def events(directory):
    accumulator = event_accumulator.EventAccumulator(str(directory), size_guidance={event_accumulator.TENSORS: 0})
    accumulator.Reload()
    return {
        tag: [(event.step, tf.make_ndarray(event.tensor_proto)) for event in accumulator.Tensors(tag)]
        for tag in accumulator.Tags()["tensors"]
    }


def lines(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text("utf-8").splitlines()]


SOME_SLOW = [pytest.param(task, marks=[] if task == "classifier" else pytest.mark.slow) for task in TASKS]


@pytest.fixture(scope="module", params=SOME_SLOW)
def trained(request, tmp_path_factory):
    """A task, a model of it trained with all watchers, the logs that Keras returned, and the run directory."""
    directory = tmp_path_factory.mktemp(request.param)
    model, callbacks = watched(directory, request.param, dropout=0.3)
    history = fit(model, request.param, callbacks)
    return request.param, model, history, directory


@pytest.mark.slow
def test_a_training_with_all_watchers_and_one_without_give_the_same_weights_bit_for_bit(trained):
    task, model, _, _ = trained
    alone = small(task, dropout=0.3)
    fit(alone, task, [])
    for variable, other in zip(model.variables, alone.variables, strict=True):
        np.testing.assert_array_equal(array(variable), array(other), err_msg=variable.path)
    for variable, other in zip(model.optimizer.variables, alone.optimizer.variables, strict=True):
        np.testing.assert_array_equal(array(variable), array(other), err_msg=variable.path)


def test_the_scalars_of_epochs_are_what_keras_returned(trained):
    _, _, history, directory = trained
    run = events(directory / "logs")
    for name, values in history.items():
        found = run[f"epochs/{name}"]
        assert [step for step, _ in found] == [4, 8]
        np.testing.assert_allclose([value for _, value in found], values, rtol=1e-6)
    of_epochs = [line for line in lines(directory) if "epochs/loss" in line]
    assert [line["epoch"] for line in of_epochs] == [1, 2]
    for name, values in history.items():
        np.testing.assert_allclose([line[f"epochs/{name}"] for line in of_epochs], values, rtol=1e-6)


def test_metrics_jsonl_holds_every_scalar_of_the_event_files(trained):
    _, _, _, directory = trained
    ours = {}
    for line in lines(directory):
        assert math.isclose(line["time"], time.time(), abs_tol=600)
        for name in line.keys() - {"step", "epoch", "time"}:
            ours.setdefault(name, []).append((line["step"], line[name]))
    for tag, values in events(directory / "logs").items():
        if values[0][1].shape == () and values[0][1].dtype.kind == "f" and not tag.startswith("best/"):
            np.testing.assert_allclose(values, ours.pop(tag), rtol=1e-6)
    assert ours == {}


def test_the_learning_rate_is_that_of_the_schedule_at_the_step(trained):
    _, _, _, directory = trained
    for line in lines(directory):
        if "steps/loss" in line:
            expected = 0.02 * 0.5 * (1 + math.cos(math.pi * line["step"] / 20))
            assert line["steps/learning_rate"] == pytest.approx(expected, rel=1e-5)
    assert [line["step"] for line in lines(directory) if "steps/loss" in line] == [2, 4, 6, 8]


def test_every_picture_and_text_that_a_task_has_is_there(trained):
    task, model, _, directory = trained
    found = events(directory / "logs")
    assert found["samples"][-1][0] == found["worst"][-1][0] == 8  # the last step
    assert ("confusion" in found) == (task in ("labeler", "classifier"))
    assert [tag for tag in found if tag.startswith("attention/")] == (
        [f"attention/{k}" for k in (1, 2, 3, 4)] if task == "encoder-decoder" else []
    )
    for tag in ("confusion", "attention/1"):
        if tag in found:
            width, height, png = found[tag][-1][1]
            assert tuple(tf.io.decode_png(png).shape[:2]) == (int(height), int(width))
    [text] = np.ravel(found["samples"][-1][1])
    assert len(text.decode().splitlines()) == 2 + 4


def test_the_histograms_hold_all_values_of_each_weight(trained):
    _, model, _, directory = trained
    found = events(directory / "logs")
    for name, weight in named_weights(model.network).items():
        step, buckets = found[f"weights/{name}"][-1]
        assert buckets[:, 2].sum() == array(weight).size
        if step == 8:
            assert buckets[0, 0] == pytest.approx(array(weight).min()) and buckets[-1, 1] == pytest.approx(
                array(weight).max()
            )
    assert any(tag.startswith("gates/") for tag in found)


def test_the_projector_reads_the_embeddings_that_the_model_ended_with(trained):
    _, model, _, directory = trained
    for name, (tokens, vectors) in model.embeddings().items():
        np.testing.assert_allclose(np.loadtxt(directory / "logs" / f"{name}.tsv"), vectors, rtol=1e-3, atol=1e-6)
        assert (directory / "logs" / f"{name}_tokens.tsv").read_text("utf-8").splitlines() == tokens
        assert f'tensor_path: "{name}.tsv"' in (directory / "logs" / "projector_config.pbtxt").read_text("utf-8")


def test_the_projector_has_the_most_frequent_tokens_of_a_large_vocabulary(tmp_path, monkeypatch):
    monkeypatch.setattr(projector, "ROWS", 3)
    watching, model = projector.Projector(TrainingLog(tmp_path)), small("classifier")
    watching.set_model(model)
    watching.on_train_begin()
    watching.look(step=1, epoch=1)
    tokens, vectors = model.embeddings()["embedding"]
    assert (tmp_path / "logs" / "embedding_tokens.tsv").read_text("utf-8").splitlines() == tokens[:3]
    np.testing.assert_allclose(np.loadtxt(tmp_path / "logs" / "embedding.tsv"), vectors[:3], rtol=1e-3, atol=1e-6)


def test_of_each_cell_it_is_known_whether_it_reads_from_the_start():
    forward, backward, both = LSTM(3, return_sequences=True), GRU(3, go_backwards=True), Bidirectional(LSTM(3))
    h = x = keras.Input((None, 2))
    for layer in (forward, backward):
        h = layer(h)
    network = keras.Model(x, [h, both(x)])
    forwards = {id(cell): from_the_start for cell, from_the_start in named_cells(network).values()}
    readers = (forward, backward, both.forward_layer, both.backward_layer)
    assert [forwards[id(layer.cell)] for layer in readers] == [True, False, True, False]


@pytest.mark.slow
@pytest.mark.parametrize("task", SOME_SLOW)
def test_the_norms_by_layer_together_are_that_of_the_gradient_of_the_loss(task):
    model = small(task)
    batch = model.batch(EXAMPLES[task])
    norms = gradient_norms(model, *batch)
    assert norms.keys() == {name for name, layer in named_layers(model.network).items() if layer.trainable_weights}
    model.compile(keras.optimizers.SGD(1.0))  # the gradient is what one step takes away
    before = model.get_weights()
    model.fit(dataset_of(batch), verbose=0)
    steps = {id(v): a - array(v) for v, a in zip(model.weights, before, strict=True)}
    for name, layer in named_layers(model.network).items():
        whole = math.sqrt(sum((steps[id(weight)] ** 2).sum() for weight in layer.trainable_weights))
        assert float(norms[name]) == pytest.approx(whole, rel=1e-3, abs=1e-6), name


def test_the_gradient_by_distance_is_that_of_the_recurrence_written_out():
    model = small("language-model", cell="simple_rnn")
    inputs, targets, weights = model.batch(["a b c d e"])
    norms, gates = through_time(model, inputs, targets, weights)
    cell = model.network.stack[0].cell
    T, h, z = inputs.shape[1], tf.zeros((1, 5)), []
    with tf.GradientTape() as tape:
        for t in range(T):
            z.append(model.network.embedding(inputs[:, t]) @ cell.kernel + h @ cell.recurrent_kernel + cell.bias)
            tape.watch(z[-1])
            h = tf.tanh(z[-1])
        loss = cross_entropy(targets[:, -1], model.network.head(h))
    expected = [np.linalg.norm(dz) for dz in tape.gradient(loss, z)]
    np.testing.assert_allclose(norms["recurrent_1"], expected[::-1], rtol=1e-4)
    assert gates == {}


@pytest.mark.parametrize("numbers", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_gradients_and_gates_through_time_are_seen_in_half_precision(cell, numbers):
    model = small("language-model", cell=cell)
    with precision(numbers):
        half = type(model)(type(model.network).from_config(model.network.get_config()), model.preprocessor)
    half.set_weights(model.get_weights())
    batch = model.batch(["a b c d e"])
    for found, expected in zip(through_time(half, *batch), through_time(model, *batch), strict=True):
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(tf.cast(found[name], tf.float32), values, rtol=0.1, atol=0.02)


@pytest.mark.parametrize("cell, names", [("lstm", "input forget candidate output"), ("gru", "update reset candidate")])
def test_the_gates_are_those_of_the_equations(cell, names):
    model = small("language-model", cell=cell)
    inputs, *rest = model.batch(["a b c d e"])
    _, gates = through_time(model, inputs, *rest)
    assert gates.keys() == {f"recurrent_1/{name}" for name in names.split()}
    unit = model.network.stack[0].cell
    W, U, b = (array(weight) for weight in unit.weights)
    state, blocks = [np.zeros(5)] * 2, len(names.split())
    for t, x in enumerate(np.array(model.network.embedding(inputs))[0]):
        z, a = x @ W + (b if cell == "lstm" else b[0]), state[0] @ U + (0 if cell == "lstm" else b[1])
        first, second, third, *fourth = zip(np.split(z, blocks), np.split(a, blocks), strict=True)
        if cell == "lstm":
            i, f, o = (1 / (1 + np.exp(-sum(part))) for part in (first, second, *fourth))
            g = np.tanh(sum(third))
            expected = {"input": i, "forget": f, "candidate": g, "output": o}
            c = f * state[1] + i * g
            state = [o * np.tanh(c), c]
        else:
            u, r = (1 / (1 + np.exp(-sum(part))) for part in (first, second))
            n = np.tanh(third[0] + r * third[1])
            expected = {"update": u, "reset": r, "candidate": n}
            state = [u * state[0] + (1 - u) * n]
        for name, gate in expected.items():
            np.testing.assert_allclose(gates[f"recurrent_1/{name}"][t, 0], gate, atol=1e-5)


def test_the_loss_of_an_example_is_the_mean_over_its_tokens_and_the_worst_come_first(trained):
    task, model, _, directory = trained
    inputs, targets, weights = model.batch(EXAMPLES[task])
    log_p = tf.nn.log_softmax(model(inputs)).numpy()
    picked = -np.take_along_axis(log_p, targets.numpy()[..., None], -1)[..., 0] * weights.numpy()
    expected = picked if task == "classifier" else picked.sum(axis=1) / weights.numpy().sum(axis=1)
    losses, _, _ = errors_of(model, inputs, targets, weights)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    [text] = np.ravel(events(directory / "logs")["worst"][-1][1])
    shown = [float(line.split("|")[1]) for line in text.decode().splitlines()[2:]]
    np.testing.assert_allclose(shown, sorted(expected, reverse=True)[:5], atol=2e-3)


@pytest.mark.parametrize("task", ["labeler", "classifier"])
def test_targets_and_predictions_of_an_error_analysis_are_those_of_the_score(task):
    model = shared(task)
    _, targets, predicted = errors_of(model, *model.batch(EXAMPLES[task]))
    counts = confusion_matrix(targets, predicted, labels=range(len(model.vocabularies()["labels"])))
    assert np.trace(counts) / counts.sum() == pytest.approx(model.score(EXAMPLES[task])["accuracy"])
    tokens = sum(len(text.split()) for text in TEXTS) if task == "labeler" else len(TEXTS)
    assert counts.sum() == tokens


def test_an_attention_map_has_a_row_a_target_token_and_its_rows_sum_to_one():
    model = shared("encoder-decoder")
    for (weights, source, target), (x, y) in zip(
        model.attention(EXAMPLES["encoder-decoder"]), EXAMPLES["encoder-decoder"], strict=True
    ):
        assert (source, target) == ([*x.split(), "</s>"], [*y.split(), "</s>"])
        np.testing.assert_allclose(weights.sum(axis=1), np.ones(len(target)), rtol=1e-5)
    alone = model.attention(EXAMPLES["encoder-decoder"][:1])[0][0]  # no padding of longer examples beside it
    np.testing.assert_allclose(model.attention(EXAMPLES["encoder-decoder"])[0][0], alone, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_holds_the_examples_in_their_order(task):
    model = shared(task)
    whole = tf.nest.flatten(model.batch(EXAMPLES[task]))
    for row, example in enumerate(EXAMPLES[task]):
        for tensor, alone in zip(whole, tf.nest.flatten(model.batch([example])), strict=True):
            np.testing.assert_array_equal(tensor[row][tuple(slice(n) for n in alone.shape[1:])], alone[0])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classifier", "labeler"])
def test_watchers_work_under_two_replicas_and_count_the_tokens_of_both(task, tmp_path):
    with make_strategy("mirrored").scope():
        model, callbacks = watched(tmp_path, task)
        fit(model, task, callbacks)
    found = events(tmp_path / "logs")
    assert {"samples", "epochs/tokens_a_second", "gradient_norm/logits"} <= found.keys()
    tokens = sum(float(tf.reduce_sum(weights)) for _, _, weights in model.dataset(EXAMPLES[task]))
    assert callbacks[0].last[1] == tokens


def test_a_resumed_training_drops_the_lines_of_what_it_does_again(tmp_path):
    log = TrainingLog(tmp_path)
    for step, epoch, section in ((2, 1, "steps"), (4, 1, "steps"), (4, 1, "epochs"), (6, 2, "steps"), (8, 2, "steps")):
        log.numbers(section, step, epoch, {"loss": step / 2})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "epo')  # a kill cut it off
    log.drop_after(step=6, epoch=1)
    assert [line["step"] for line in lines(tmp_path)] == [2, 4, 4, 6]
    log.drop_after(step=4, epoch=0)  # saved after the last step of an epoch, before its end
    assert [line["step"] for line in lines(tmp_path)] == [2, 4]
    assert all("epochs/loss" not in line for line in lines(tmp_path))
    log.drop_after(step=0, epoch=0)
    assert lines(tmp_path) == []


def test_a_number_that_is_not_finite_is_null(tmp_path):
    TrainingLog(tmp_path).numbers("steps", 1, 1, {"loss": math.nan, "gradient_norm": math.inf, "accuracy": 0.5})
    [line] = lines(tmp_path)
    assert (line["steps/loss"], line["steps/gradient_norm"], line["steps/accuracy"]) == (None, None, 0.5)


def test_a_histogram_of_many_values_takes_some_of_them_and_none_that_is_not_finite(tmp_path):
    log = TrainingLog(tmp_path)
    values = np.linspace(-1, 1, 1_000_001)
    values[::2] = np.nan
    log.histogram("many", 1, values)
    log.flush()
    [(_, buckets)] = events(tmp_path / "logs")["many"]
    assert 1_000 < buckets[:, 2].sum() <= 10_100


class Slow(Watcher):
    seconds_of_a_look = 0.01

    def look(self, step, epoch):
        self.looks = [*getattr(self, "looks", []), step]
        time.sleep(self.seconds_of_a_look)


def test_looks_take_no_more_than_their_share_of_the_time_but_for_the_first_and_the_last():
    class Model:
        optimizer = type("Optimizer", (), {"iterations": 0})

    watcher = Slow(log=None, share=0.1, every=1)
    watcher.set_model(Model)
    watcher.on_epoch_begin(0)
    started = time.perf_counter()
    while time.perf_counter() - started < 1:
        Model.optimizer.iterations += 1
        time.sleep(0.001)
        watcher.on_train_batch_end(Model.optimizer.iterations - 1)
    assert watcher.looks[0] == 1
    assert 3 <= len(watcher.looks) - 1 <= 11  # at 0.01 seconds each


def test_the_coming_look_is_taken_to_be_as_dear_as_the_dearest(monkeypatch):
    class Model:
        optimizer = type("Optimizer", (), {"iterations": 0})

    now, costs, looks = [0.0], iter([1, 6, 2, 2]), []

    class Costly(Watcher):
        def look(self, step, epoch):
            looks.append(now[0])
            now[0] += next(costs)

    monkeypatch.setattr(watcher.time, "perf_counter", lambda: now[0])
    costly = Costly(log=None, share=0.5, every=1)
    costly.set_model(Model)
    costly.on_epoch_begin(0)
    for step in range(22):
        now[0] += 1
        costly.on_train_batch_end(step)
    # From the second 1 on: 1 + 1 of 4 seconds, 7 + 6 of 26, and 9 + 6 of 30.
    assert looks == [1, 5, 27, 31]


def test_all_looks_together_take_the_share(tmp_path):
    model = small("encoder-decoder")
    model.compile()
    shares = [
        callback.share
        for callback in watchers(tmp_path, model, EXAMPLES["encoder-decoder"], OPTIONS, share=0.3)
        if isinstance(callback, Watcher)
    ]
    assert sum(shares) == pytest.approx(0.3)


def test_every_so_many_steps_however_many_a_call_makes():
    every = Every(4)
    assert [step for step in range(1, 13) if every.due(step)] == [4, 8, 12]
    every = Every(4)
    assert [step for step in range(3, 25, 3) if every.due(step)] == [6, 9, 12, 18, 21, 24]
    every = Every(4)
    assert [step for step in range(10, 20, 10) if every.due(step)] == []  # a resumed one: 10 is no end of four steps


def test_drawn_examples_are_the_same_each_time_and_from_everywhere():
    assert draw(range(5), 8) == list(range(5))
    drawn = draw(iter(range(10_000)), 500)
    assert drawn == draw(range(10_000), 500)
    assert len(set(drawn)) == 500
    assert 4_500 < np.mean(drawn) < 5_500


def test_the_text_read_step_by_step_is_the_longest_but_for_very_long_ones():
    model = small("classifier", max_length=400)
    examples = [(" ".join("a" * length), "short") for length in (3, 300, 50, 7)]
    assert one_text(model, examples)[0].shape == (1, 51)
    assert one_text(model, examples[1:2])[0].shape == (1, 301)


def test_markup_in_a_text_is_shown_as_it_is_and_a_long_one_is_cut():
    table = markdown([{"text": "a|b <b> *c*\nd", "loss": "1"}, {"text": "中" * 1000, "loss": "2"}])
    first, second = table.splitlines()[2:]
    assert first.count("|") == 3 and "<" not in first and "*" not in first
    assert len(second) < 320 and second.count("…") == 1


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_empty_one_token_very_long_and_chinese_texts_do_not_end_a_training(task, tmp_path):
    texts = ["", "好", "中文 | $x$ <b> _a_ ^", "a " * 300, "\x00\x01 \t b", "🙂 é"]
    examples = {
        "language-model": texts,
        "labeler": [(text.split(), ["标" + str(len(token)) for token in text.split()]) for text in texts[1:]],
        "classifier": [(text, "$正_面^" if k else "负 面") for k, text in enumerate(texts)],
        "encoder-decoder": [(text, text[::-1]) for text in texts],
    }[task]
    limit = {} if task == "language-model" else {"max_length": 60}  # a language model cuts nothing
    model = TASKS[task].from_examples(examples, tokenizer="whitespace", units=3, **limit)
    model.compile()
    callbacks = watchers(tmp_path, model, examples, OPTIONS, every=1, share=1)
    data = model.dataset(examples, 6)
    model.fit(data, validation_data=data, epochs=1, callbacks=callbacks, verbose=0)
    assert "worst" in events(tmp_path / "logs")


def test_chinese_is_drawn_or_numbered_and_a_formula_is_none(tmp_path):
    figure = plot_attention(np.full((2, 3), 0.3), ["我", "$x^$", "\n"], ["a" * 50, "</s>"], tmp_path / "attention.png")
    [axes] = figure.axes
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names[0] in ("我", "#1") and names[1:] == ["$x^$", "U+000A"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a" * 15 + "…", "</s>"]
    assert (tmp_path / "attention.png").stat().st_size > 1000


def test_a_confusion_matrix_shows_shares_of_rows_and_the_most_frequent_of_many_labels():
    [axes] = plot_confusion([[3, 1], [0, 0]], ["x", "never seen"]).axes
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert sorted(text.get_text() for text in axes.texts) == ["1", "3"]
    counts = np.diag(np.arange(60))
    [axes] = plot_confusion(counts, [str(k) for k in range(60)]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(k) for k in range(20, 60)]
    assert "40 most frequent of 60" in axes.get_title()


@pytest.mark.parametrize(
    "draw_it, message",
    [
        (
            lambda: plot_attention(np.ones((2, 2)), ["a"], ["b", "c"]),
            r"shape \(2, 1\).*Received: weights.shape=\(2, 2\)",
        ),
        (lambda: plot_attention(np.ones((0, 0)), [], []), "not empty"),
        (lambda: plot_confusion(np.ones((2, 3)), ["a", "b"]), r"shape \(2, 2\).*Received: counts.shape=\(2, 3\)"),
        (lambda: watchers("unused", None, [], {}, every=0), "every must be a positive integer. Received: every=0"),
        (lambda: watchers("unused", None, [], {}, share=2), r"share must be in \[0, 1\]. Received: share=2"),
    ],
)
def test_a_wrong_argument_is_one_sentence(draw_it, message):
    with pytest.raises(ValueError, match=message):
        draw_it()


class MetricsWithBest(keras.callbacks.Callback):
    """Writes metrics.json as a training does, with an epoch of our choice as the best one."""

    def __init__(self, directory, best):
        super().__init__()
        self.run, self.best = RunDirectory(directory), best

    def on_epoch_end(self, epoch, logs=None):
        metrics = self.run.read_metrics()
        if epoch < self.best:
            metrics["best"] = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        self.run.write_metrics(metrics)


def shown_by_tensorboard(logdir):
    """What TensorBoard serves of a directory: its runs, the hyper-parameters and the scores in their table."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logdir)).Reload()
    provider = MultiplexerDataProvider(multiplexer, str(logdir))
    plugin = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    statuses = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]
    request = api_pb2.ListSessionGroupsRequest(slice_size=10, allowed_statuses=statuses)
    found = list_session_groups.Handler(RequestContext(), plugin, "", request).run()
    return {run.run_name for run in provider.list_runs(RequestContext(), experiment_id="")}, found.session_groups


@pytest.mark.slow
def test_tensorboard_shows_one_run_with_all_options_and_the_scores_of_the_kept_epoch(tmp_path):
    model, callbacks = watched(tmp_path, "classifier")
    history = fit(model, "classifier", [MetricsWithBest(tmp_path, best=2), *callbacks], epochs=3)
    for logdir, name in ((tmp_path / "logs", "."), (tmp_path, "logs")):
        runs, [group] = shown_by_tensorboard(logdir)
        assert runs == {name}
        hparams = {key: json_format.MessageToDict(value) for key, value in group.hparams.items()}
        assert hparams == {"units": 5, "cell": "lstm", "vocabulary_size": "None", "bidirectional": True}
        scores = {metric.name.tag: metric.value for metric in group.metric_values}
        assert scores == pytest.approx(
            {f"best/{score}": history[f"val_{score}"][1] for score in ("loss", "accuracy")}, rel=1e-6
        )


KINDS = {"samples", "worst", "weights", "gates", "gradient_norm", "gradient_by_distance"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "task, share, kinds", [("encoder-decoder", 1e-9, {*KINDS, "attention"}), ("classifier", 0.02, KINDS)]
)
def test_everything_is_looked_at_at_the_end_of_each_epoch_however_little_time_there_is(tmp_path, task, share, kinds):
    model = small(task, cell="gru")
    model.compile()
    callbacks = watchers(tmp_path, model, EXAMPLES[task], OPTIONS, every=100, share=share)
    fit(model, task, callbacks)
    found = events(tmp_path / "logs")
    looks = {tag for tag in found if tag.split("/")[0] in kinds}
    assert {tag.split("/")[0] for tag in looks} == kinds
    assert {tag: [step for step, _ in found[tag]] for tag in looks} == dict.fromkeys(looks, [4, 8])


@pytest.mark.slow
def test_without_a_share_there_are_numbers_only(tmp_path):
    model = small("classifier")
    model.compile()
    fit(model, "classifier", watchers(tmp_path, model, EXAMPLES["classifier"], OPTIONS, share=0))
    assert {tag.split("/")[0] for tag in events(tmp_path / "logs")} == {"epochs", "best", "_hparams_"}


@pytest.mark.slow
def test_the_table_of_a_training_has_every_option_and_the_score_of_its_metrics_json(tmp_path):
    options, examples = TrainingOptions(epochs=2, watch_share=0, learning_rate=0.0), EXAMPLES["classifier"]
    network = {"units": 3, "tokenizer": "whitespace"}
    run = train(TASKS["classifier"], examples, examples, tmp_path / "run", options, network, {})
    _, [group] = shown_by_tensorboard(run.logs)
    groups = TASKS["classifier"].option_groups().values()
    assert group.hparams.keys() == {name for options_class in groups for name in options_class.names()}
    assert group.hparams["units"].number_value == 3 and group.hparams["plateau_factor"].string_value == "None"
    best = run.read_metrics()["best"]
    scores = {metric.name.tag: metric.value for metric in group.metric_values}
    assert scores == pytest.approx({f"best/{name}": best[f"val_{name}"] for name in ("loss", "accuracy")}, rel=1e-6)
