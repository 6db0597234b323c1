"""Batches of an epoch: where they begin, what they hold, how workers share them, what is kept of a corpus."""

import gzip
import itertools
import os

import numpy as np
import pytest
import tensorflow as tf

from seq_models import InputError, SequenceLabeler
from seq_models.text import batching, contents, kept, preprocessors
from seq_models.text.datasets import Position, make_dataset
from seq_models.text.examples import read_examples
from seq_models.text.options import LanguageModelTextOptions, TextOptions

KINDS = {
    "language-model": preprocessors.LanguageModelPreprocessor,
    "labeler": preprocessors.SequenceLabelerPreprocessor,
    "classifier": preprocessors.SequenceClassifierPreprocessor,
    "encoder-decoder": preprocessors.EncoderDecoderPreprocessor,
}
COUNT = 150  # three pools of batches of 2
each_task = pytest.mark.parametrize("task", KINDS)


def make_examples(task, count=COUNT):
    rng = np.random.default_rng(0)
    texts = [" ".join([f"w{i}", *("ab" * rng.integers(1, 12))]) for i in range(count)]
    if task == "language-model":
        return texts
    if task == "labeler":
        return [(text.split(), [token.upper()[0] for token in text.split()]) for text in texts]
    if task == "classifier":
        return [(text, str(len(text) % 2)) for text in texts]
    return [(text, " ".join(["x", *text.split()[::2]])) for text in texts]


def make(task, examples):
    return KINDS[task].from_examples(examples, KINDS[task].options_class(tokenizer="whitespace"))


def arrays(dataset):
    """Each batch as a list of arrays."""
    return [[array.numpy() for array in tf.nest.flatten(batch)] for batch in dataset]


def same(one, other):
    """Whether two lists of batches are equal byte for byte."""
    return len(one) == len(other) and all(
        len(a) == len(b) and all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b, strict=True))
        for a, b in zip(one, other, strict=True)
    )


def rows(batches):
    """What the rows of all batches hold, sorted; zeros are left out, for padding is zeros."""
    return sorted(
        tuple(tuple(array[array != 0].tolist()) for array in row)
        for batch in batches
        for row in zip(*batch, strict=True)
    )


@pytest.fixture
def files(tmp_path):
    """Writes five files of the language model's examples, of unequal length, two of them compressed."""
    cut = [0, 11, 60, 70, 110, COUNT]
    texts = make_examples("language-model")
    for number, (start, stop) in enumerate(itertools.pairwise(cut)):
        content = "".join(f"{text}\n" for text in texts[start:stop]).encode()
        name = f"part-{number}.txt{'.gz' if number % 2 else ''}"
        (tmp_path / name).write_bytes(gzip.compress(content) if number % 2 else content)
    return tmp_path / "part-*.txt*"


# Where an epoch begins


@pytest.mark.parametrize("sizes", [{"batch_size": 2}, {"batch_tokens": 60}], ids=str)
@each_task
def test_an_epoch_that_begins_later_is_the_end_of_the_whole_epoch_byte_for_byte(task, sizes):
    examples = make_examples(task)
    preprocessor, position = make(task, examples), Position()
    dataset = make_dataset(preprocessor, examples, shuffle=True, seed=4, position=position, **sizes)
    epochs = [arrays(dataset), arrays(dataset)]
    assert not same(*epochs)
    assert (position.epoch, position.batches) == (2, 0)
    assert [len(epoch) for epoch in epochs] == [dataset.batches_in_epoch] * 2
    tf.random.set_seed(99)  # what the process has drawn so far does not count
    for epoch, batches in ((1, 0), (0, 1), (1, 33), (0, dataset.batches_in_epoch)):
        position.epoch, position.batches = epoch, batches
        assert same(arrays(dataset), epochs[epoch][batches:]), (epoch, batches)
        assert (position.epoch, position.batches) == (epoch + 1, 0)
    again = make_dataset(preprocessor, examples, shuffle=True, seed=4, **sizes)
    assert same(arrays(again), epochs[0])
    assert same(arrays(again), epochs[1])
    assert not same(arrays(make_dataset(preprocessor, examples, shuffle=True, seed=5, **sizes)), epochs[0])


def test_a_position_reaches_the_data_of_a_model():
    examples = make_examples("labeler", 9)
    model = SequenceLabeler.from_examples(examples, units=3, embedding_units=2)
    whole = arrays(model.dataset(examples, 2, shuffle=True))
    assert same(arrays(model.dataset(examples, 2, shuffle=True, position=Position(0, 3))), whole[3:])


def test_texts_are_encoded_by_a_graph_that_is_built_once():
    preprocessor = make("labeler", make_examples("labeler", 9))
    for sizes in ({"batch_size": 2}, {"batch_size": 4}, {"batch_tokens": 30}):
        for _ in range(2):
            arrays(make_dataset(preprocessor, make_examples("labeler", 9), **sizes))
    assert preprocessor._encode.experimental_get_tracing_count() == 1


def test_the_length_of_a_dataset_is_known_until_it_can_begin_anywhere():
    examples = make_examples("language-model", 9)
    preprocessor = make("language-model", examples)
    assert len(make_dataset(preprocessor, examples, 2)) == 5
    dataset = make_dataset(preprocessor, examples, 2, position=Position())
    assert dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY
    assert dataset.batches_in_epoch == 5


def test_a_corpus_larger_than_the_buffer_is_shuffled_through_it(monkeypatch):
    monkeypatch.setattr(batching, "SHUFFLE_BUFFER", 7)
    monkeypatch.setattr(batching, "CHUNK", 10)
    found = list(batching.Shuffled(0, 0).examples([range(100)]))
    assert sorted(found) == list(range(100))
    assert all(number <= place + 7 for place, number in enumerate(found))  # none comes before it is read
    assert sum(number != place for place, number in enumerate(found)) > 80
    by_turns = list(batching.Shuffled(0, 0).examples([range(100), range(100, 130)]))
    assert sorted(by_turns) == list(range(130))
    assert max(by_turns[:30]) >= 100 and min(by_turns[:30]) < 100
    assert list(batching.Shuffled(0, 1).examples([range(100)])) != found
    assert list(batching.Shuffled(0, 1).examples([range(100)])) != list(batching.Shuffled(1, 0).examples([range(100)]))


def test_every_file_of_many_is_read_and_each_may_be_the_first(monkeypatch):
    monkeypatch.setattr(batching, "SHUFFLE_BUFFER", 1)
    parts = [range(10 * number, 10 * number + 10) for number in range(3 * batching.FILES)]
    epochs = [list(batching.Shuffled(0, epoch).examples(parts)) for epoch in range(10)]
    assert all(sorted(epoch) == list(range(10 * len(parts))) for epoch in epochs)
    assert len({epoch[0] for epoch in epochs}) > 5


def test_a_batch_has_64_examples_if_nothing_else_is_said():
    examples = make_examples("language-model", 65)
    assert [len(targets) for _, targets, _ in make_dataset(make("language-model", examples), examples)] == [64, 1]


def test_pairs_are_sorted_by_the_length_of_their_target_and_then_of_their_source():
    examples = [("a b c", "x"), ("a", "x y"), ("a b", "x")]
    [((source, _), targets, _)] = make_dataset(make("encoder-decoder", examples), examples)
    lengths = [np.count_nonzero(ids, axis=1).tolist() for ids in (source, targets)]
    assert lengths == [[3, 4, 2], [2, 2, 3]]


# Batches by tokens


@each_task
def test_a_batch_has_so_many_tokens_at_most_and_an_epoch_every_example(task):
    examples = make_examples(task, 20 * COUNT)
    preprocessor = make(task, examples)
    whole = arrays(make_dataset(preprocessor, examples, batch_size=COUNT))
    for size, shuffle in ((100, True), (1000, False)):
        batches = arrays(make_dataset(preprocessor, examples, batch_tokens=size, shuffle=shuffle))
        assert rows(batches) == rows(whole)
        used = [max(array.shape[0] * array.shape[1] for array in batch if array.ndim > 1) for batch in batches]
        assert max(used) <= size
        assert np.median(used) > 0.7 * size


def test_an_example_longer_than_the_tokens_of_a_batch_is_a_batch_by_itself():
    examples = [" ".join("a" * 19), "a", "b", "c"]
    dataset = make_dataset(make("language-model", examples), examples, batch_tokens=6)
    assert sorted(inputs.shape.as_list() for inputs, _, _ in dataset) == [[1, 20], [3, 2]]


@pytest.mark.parametrize(
    "options", [{"batch_size": 2, "batch_tokens": 9}, {"batch_size": 0}, {"batch_tokens": -1}, {"share": (2, 2)}]
)
def test_a_size_of_a_batch_or_a_share_that_makes_no_sense_is_refused(options):
    with pytest.raises(ValueError, match="Received"):
        make_dataset(make("language-model", ["a", "b"]), ["a", "b"], **options)


# Shares of workers


@pytest.mark.parametrize("sizes", [{"batch_size": 4}, {"batch_tokens": 60}], ids=str)
@each_task
def test_workers_share_the_rows_of_the_batches_of_one_process(task, sizes):
    examples = make_examples(task)
    preprocessor = make(task, examples)
    whole = arrays(make_dataset(preprocessor, examples, shuffle=True, **sizes))
    shares = [
        arrays(make_dataset(preprocessor, examples, shuffle=True, share=(index, 3), **sizes)) for index in range(3)
    ]
    for batch, *parts in zip(whole, *shares, strict=True):
        for array, *slices in zip(batch, *parts, strict=True):
            joined = np.zeros_like(array)
            for index, rows_of_worker in enumerate(slices):
                joined[index::3] = rows_of_worker
            assert np.array_equal(joined, array)


@pytest.mark.parametrize("sizes", [{"batch_size": 4}, {"batch_tokens": 60}], ids=str)
def test_workers_divide_files_among_them_and_make_the_same_number_of_batches(files, sizes):
    examples = read_examples(files)
    preprocessor = make("language-model", examples)
    datasets = [make_dataset(preprocessor, examples, shuffle=True, share=(index, 2), **sizes) for index in range(2)]
    for _ in range(2):
        shares = [arrays(dataset) for dataset in datasets]
        assert len(shares[0]) == len(shares[1]) == len(datasets[0])
        for index, share in enumerate(shares):
            texts = [text for part in examples.parts[index::2] for text in part]
            assert rows(share) == rows(arrays(make_dataset(preprocessor, texts)))
            assert {array.shape[0] for array in share[-1]} <= {0, 1, 2} or "batch_tokens" in sizes
        for index, share in enumerate(shares):
            begin = len(share) - 1
            late = make_dataset(preprocessor, examples, share=(index, 2), position=Position(0, begin), **sizes)
            assert len(arrays(late)) == 1
    empty = next(batch for share in shares for batch in share if len(batch[0]) == 0)
    assert [array.shape for array in empty] == [(0, 1)] * 3


@each_task
def test_an_empty_batch_has_the_form_of_every_batch(task):
    examples = make_examples(task, 3)
    preprocessor = make(task, examples)
    dataset = make_dataset(preprocessor, examples, 2, share=(1, 2), position=Position(0, 1))
    empty = next(iter(dataset))  # the last batch has one example, and that is the other worker's
    tf.nest.assert_same_structure(empty, dataset.element_spec)
    for array, spec in zip(tf.nest.flatten(empty), tf.nest.flatten(dataset.element_spec), strict=True):
        assert spec.is_compatible_with(array)
        assert array.shape[0] == 0
        assert 0 not in array.shape[1:]


def test_a_worker_without_any_example_is_refused():
    preprocessor = make("language-model", ["a", "b"])
    for options in ({"batch_size": 2}, {"batch_tokens": 9}):
        with pytest.raises(InputError, match="3 workers, 2 examples"):
            make_dataset(preprocessor, ["a", "b"], share=(0, 3), **options)


def test_files_are_divided_only_where_the_batch_can_be(files):
    examples = read_examples(files)
    with pytest.raises(InputError, match="Received: batch_size=3"):
        make_dataset(make("language-model", examples), examples, batch_size=3, share=(0, 2))


# Many files


def test_files_are_read_by_turns_in_an_order_of_each_epoch(files, monkeypatch):
    monkeypatch.setattr("seq_models.text.batching.CHUNK", 5)
    examples = read_examples(files)
    preprocessor = make("language-model", examples)
    dataset = make_dataset(preprocessor, examples, 4, shuffle=True)
    epochs = [arrays(dataset), arrays(dataset)]
    assert rows(epochs[0]) == rows(epochs[1]) == rows(arrays(make_dataset(preprocessor, list(examples))))
    assert not same(*epochs)
    unshuffled = make_dataset(preprocessor, examples, 4)
    assert same(arrays(unshuffled), arrays(make_dataset(preprocessor, list(examples), 4)))


# What is kept of a corpus


@pytest.fixture
def passes(monkeypatch):
    """Counts how often something is computed and not found in the cache."""
    found = []
    write = kept._write
    monkeypatch.setattr(contents, "SETTLED", float("inf"))  # no file is old enough to keep what it holds
    monkeypatch.setattr(kept, "_write", lambda path, text: (found.append(path), write(path, text)))
    return found


def test_vocabularies_and_counts_are_found_once_for_the_same_files_and_options(files, tmp_path, passes):
    def run(**options):
        examples = read_examples(files, cache=tmp_path / "cache")
        learned = KINDS["language-model"].learned(examples, LanguageModelTextOptions("whitespace", **options))
        dataset = make_dataset(learned, examples, batch_tokens=50)
        return learned.get_config(), dataset.batches_in_epoch

    first = run()
    assert len(passes) == 3  # the vocabulary, the check, the lengths
    assert run() == first
    assert len(passes) == 3
    assert first[0] == make("language-model", read_examples(files)).get_config()
    assert len(run(lowercase=True)[0]["codec"]["vocabulary"]) == len(first[0]["codec"]["vocabulary"])
    assert len(passes) == 5  # another vocabulary, and lengths by it; the same examples
    path = files.parent / "part-0.txt"
    path.write_text(path.read_text() + "new words here\n")
    assert len(run()[0]["codec"]["vocabulary"]) == len(first[0]["codec"]["vocabulary"]) + 3


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:0], lambda data: data[:70] + b"\xff" + data[71:]]
)
def test_a_damaged_cache_is_made_anew(files, tmp_path, passes, damage):
    def learned():
        return (
            KINDS["language-model"].learned(read_examples(files, cache=tmp_path / "cache"), TextOptions()).get_config()
        )

    first = learned()
    [path] = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert learned() == first
    assert path.read_bytes() == whole
    assert len(passes) == 2


def test_what_is_kept_of_a_file_is_not_taken_for_one_changed_later_or_for_other_columns(tmp_path):
    path = tmp_path / "a.tsv"

    def words(*columns):
        examples = read_examples(path, columns=columns, cache=tmp_path / "cache")
        return KINDS["classifier"].learned(examples, TextOptions()).codec.vocabulary.tokens[4:]

    for time, word in enumerate(("old", "new")):
        path.write_text(f"a\tb\tc\n{word}\tx\ty\n")
        os.utime(path, (time, time))
        assert words("a", "b") == [word]
        assert words("c", "b") == ["y"]


def test_examples_are_checked_again_for_other_labels_and_a_warning_comes_every_time(tmp_path, capsys):
    path = tmp_path / "a.tsv"
    path.write_text("a\tx\nb\ty\n")
    examples = read_examples(path, cache=tmp_path / "cache")
    make_dataset(make("classifier", examples), examples)
    assert not capsys.readouterr().err
    for _ in range(2):
        make_dataset(make("classifier", [("a", "x")]), examples)
        assert "Labels that training has not seen" in capsys.readouterr().err


def test_a_cache_keeps_no_sign_of_a_failure(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("a\tx\nb\ty\n")
    preprocessor = make("encoder-decoder", [("a", "x")])
    preprocessor.problem = lambda example: None if example[0] == "a" else "no a"
    examples = read_examples(path, cache=tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(InputError, match=r"a\.tsv:2: no a"):
            make_dataset(preprocessor, examples)
    assert not (tmp_path / "cache").exists()
