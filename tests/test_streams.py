"""A corpus as one continuous text: its segments, and states that are carried from one to the next."""

import random

import numpy as np
import pytest
import tensorflow as tf

import seq_models as sm
from seq_models.errors import InputError
from seq_models.tasks.carried import CarriedStates
from seq_models.text import words
from seq_models.text.codec import Codec
from seq_models.text.datasets import Position
from seq_models.text.options import LanguageModelTextOptions
from seq_models.text.streams import Consecutive, RandomSegments, Stream, encoded, make_stream
from seq_models.text.vocabulary import END, START
from seq_models.training.optimizers import make_optimizer
from seq_models.training.options import StreamTrainingOptions

GENERATOR = random.Random(5)
TEXTS = [" ".join(GENERATOR.choices("abcdefg", k=GENERATOR.randint(1, 9))) for _ in range(60)]


@pytest.fixture(scope="module")
def model():
    return sm.LanguageModel.from_examples(
        TEXTS, tokenizer="whitespace", units=7, layers=2, corpus="stream", unknown_share=0.0
    )


def tokens_of(model):
    return np.concatenate([row for _, row, _ in model.preprocessor.rows(TEXTS)])


@pytest.mark.parametrize("rows, length, vary", [(1, 5, False), (4, 7, False), (3, 10, True), (64, 35, False)])
def test_consecutive_segments_give_each_row_its_share_of_the_text(model, rows, length, vary):
    whole = tokens_of(model)
    batches = [*make_stream(model.preprocessor, TEXTS, Consecutive(rows, length, vary), seed=3)]
    inputs, targets, weights = (
        np.concatenate([np.pad(each(batch), [(0, 0), (0, 60 - each(batch).shape[1])]) for batch in batches], axis=1)
        for each in (lambda batch: batch[0][0], lambda batch: batch[1], lambda batch: batch[2])
    )
    read = [(inputs[row][weights[row] > 0], targets[row][weights[row] > 0]) for row in range(rows)]
    np.testing.assert_array_equal(np.concatenate([targets for _, targets in read]), whole)
    before = np.append(END, whole[:-1])
    np.testing.assert_array_equal(
        np.concatenate([inputs for inputs, _ in read]), np.where(before == END, START, before)
    )
    assert max(len(targets) for _, targets in read) == -(-len(whole) // rows)
    assert [bool(np.all(batch[0][1])) for batch in batches] == [True] + [False] * (len(batches) - 1)


def test_ends_of_segments_move_from_epoch_to_epoch(model):
    data = make_stream(model.preprocessor, TEXTS, Consecutive(2, 12, vary=True), position=Position())
    lengths = [[batch[1].shape[1] for batch in data] for _ in range(2)]
    assert lengths[0] != lengths[1] and len(lengths[0]) == len(lengths[1]) == data.batches_in_epoch


@pytest.mark.parametrize("rows, length", [(4, 7), (1, 1000), (8, 3)])
def test_random_segments_read_every_token_once_in_another_order_each_epoch(model, rows, length):
    whole = tokens_of(model)
    data = make_stream(model.preprocessor, TEXTS, RandomSegments(rows, length), position=Position())
    epochs = [[*data] for _ in range(2)]
    for batches in epochs:
        read = np.concatenate([targets[weights > 0] for _, targets, weights in batches])
        np.testing.assert_array_equal(np.sort(read), np.sort(whole))
        assert all(np.all(fresh) for (_, fresh), _, _ in batches) and len(batches) == data.batches_in_epoch
    if rows > 1:
        assert not np.array_equal(epochs[0][0][1], epochs[1][0][1])


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_segments_with_carried_states_are_one_long_unroll_bit_for_bit(model, rows):
    batches = [*make_stream(model.preprocessor, TEXTS, Consecutive(rows, 9))]
    carried = CarriedStates(model.network.start(tf.zeros((1, 1), tf.int32)))
    parts = []
    for (tokens, fresh), _, _ in batches[:-1]:  # the last one ends earlier in some rows
        hidden, states = model.network.read(tokens, carried.before(fresh))
        carried.keep(states)
        parts.append(hidden)
    whole = tf.concat([tokens for (tokens, _), _, _ in batches[:-1]], axis=1)
    unrolled, _ = model.network.read(whole, model.network.start(whole))
    np.testing.assert_array_equal(tf.concat(parts, axis=1), unrolled)


def test_the_score_of_a_stream_is_that_of_one_long_text(model):
    whole = tokens_of(model)
    before = np.append(END, whole[:-1])
    inputs = tf.constant(np.where(before == END, START, before)[None], tf.int32)
    hidden, _ = model.network.read(inputs, model.network.start(inputs))
    log_p = model.network.head.log_probability(hidden, tf.constant(whole[None], tf.int32))
    assert model.score(TEXTS)["cross_entropy"] == pytest.approx(-float(tf.reduce_mean(log_p)), rel=1e-5)


def test_shares_of_workers_are_the_rows_of_the_whole_batch(model):
    whole, *parts = (
        [*make_stream(model.preprocessor, TEXTS, Consecutive(4, 7), share=share)] for share in [(0, 1), (0, 2), (1, 2)]
    )
    for batch, *of_workers in zip(whole, *parts, strict=True):
        joined = tf.nest.map_structure(lambda *rows: tf.concat(rows, axis=0), *of_workers)
        tf.nest.map_structure(np.testing.assert_array_equal, batch, joined)
    with pytest.raises(InputError, match="multiple of the number of workers, 3. Received: 4 rows"):
        make_stream(model.preprocessor, TEXTS, Consecutive(4, 7), share=(0, 3))


def test_auto_takes_very_long_lines_for_one_text_and_says_so(capsys):
    options = {"tokenizer": "whitespace", "units": 3}
    assert not sm.LanguageModel.from_examples(["a b"], **options).preprocessor.stream
    assert capsys.readouterr().err == ""
    assert sm.LanguageModel.from_examples(["a b", "c " * 1001], **options).preprocessor.stream
    assert "so all are read as one text; corpus=sentences reads each by itself" in capsys.readouterr().err
    assert not sm.LanguageModel.from_examples(["c " * 1001], corpus="sentences", **options).preprocessor.stream


def test_nothing_of_a_long_line_is_cut():
    model = sm.LanguageModel.from_examples(["a b c " * 700], tokenizer="whitespace", units=3, corpus="sentences")
    assert model.predict_text(["a b c " * 700])[0]["lengths"] == 2101
    [(inputs, _, _)] = model.dataset(["a b c " * 700])
    assert inputs.shape == (1, 2101)


@pytest.mark.parametrize(
    "corpus, options, message",
    [
        (
            "sentences",
            {"segment_length": 3},
            "segment_length must be left out, or else corpus be stream. Received: .*3",
        ),
        ("sentences", {"segments": "random"}, "segments must be left out"),
        ("stream", {"segment_length": 0}, "segment_length must be a positive integer"),
        ("stream", {"batch_size": 0}, "batch_size must be a positive integer"),
    ],
)
def test_a_segment_that_cannot_be_is_refused(corpus, options, message):
    model = sm.LanguageModel.from_examples(TEXTS, tokenizer="whitespace", units=3, corpus=corpus)
    with pytest.raises(ValueError, match=message):
        model.dataset(TEXTS, **options)


def test_what_contradicts_a_stream_is_refused(model):
    with pytest.raises(ValueError, match="accumulate must be 1 .*Received: accumulate=2 with corpus=stream"):
        model.compile(accumulate=2)
    with pytest.raises(ValueError, match="vary_segments must be left out beside segments=random"):
        StreamTrainingOptions(segments="random", vary_segments=True)
    with pytest.raises(InputError, match="expected no weight in one continuous text. Received: 0.5"):
        Stream(model.preprocessor, [("a b", 0.5)])


@pytest.mark.slow
def test_a_stream_is_trained_and_goes_on_bit_for_bit_from_the_middle_of_an_epoch():
    def trained(*positions):
        tf.keras.utils.set_random_seed(2)
        model = sm.LanguageModel.from_examples(TEXTS, tokenizer="whitespace", units=5, corpus="stream")
        model.compile(make_optimizer(StreamTrainingOptions(), 100))
        for epoch, first, steps in positions:
            data = make_stream(model.preprocessor, TEXTS, Consecutive(4, 6), position=Position(epoch, first))
            model.fit(data.take(steps), verbose=0)
        return [variable.numpy() for variable in (*model.variables, *model.carried_variables())]

    whole, parts = trained((0, 0, 6)), trained((0, 0, 2), (0, 2, 4))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(whole[0], trained((0, 0, 2), (0, 0, 4))[0])  # other tokens give other weights


@pytest.mark.parametrize("tokenizer", ["whitespace", "words", "chars"])
def test_a_long_text_is_encoded_in_parts_and_reads_the_same(tokenizer, monkeypatch):
    texts = ["ab c  漢字漢字漢字, e\u0301 d" * 5, "", "a", " b ", "漢字" * 30]
    codec = Codec.train(texts, LanguageModelTextOptions(tokenizer=tokenizer))
    whole = codec.encode(tf.constant(texts)).values.numpy()
    monkeypatch.setattr(words, "BLOCK", 7)
    parts = list(encoded(codec, texts))
    assert len(parts) > (1 if tokenizer == "chars" else 9)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
