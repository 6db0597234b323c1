"""Vectors of words from files: what is found for a vocabulary, what is no such file, models that begin with them."""

import gzip
import json
import shutil
import unicodedata

import numpy as np
import pytest
from toy import EXAMPLES, PLAIN

import seq_models as sm
from seq_models import cli
from seq_models.tasks import TASKS
from seq_models.text import vectors as module
from seq_models.text.codec import Codec
from seq_models.text.options import EmbeddingOptions, PairEmbeddingOptions, TextOptions
from seq_models.text.vectors import EXACT, LOWER_CASED, MISSING, find_vectors, vector_size, write_vectors
from seq_models.text.vocabulary import SPECIAL_TOKENS
from seq_models.training import trainer
from seq_models.training.options import TrainingOptions

TOKENS = [*SPECIAL_TOKENS, "the", "London", "中国", "cafe\u0301", "dog"]
GLOVE = "the 1 -2.5 3e-1\nlondon 4 5 6\n中国 7 8 9\n"
WORDS = "a 1 2 3\nb 4 5 6\nE 7 8 9\nnew 0.5 0.25 0.125\nold -1 -1 -1\n"


@pytest.fixture
def written(tmp_path):
    """Writes a file of vectors, and gives its path."""

    def write(text, name="v.vec"):
        path = tmp_path / name
        data = text.encode() if isinstance(text, str) else text
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (GLOVE, "glove.txt"),
        ("3 3\n" + GLOVE, "word2vec.vec"),
        ("3 3 \n" + GLOVE.replace("\n", " \r\n"), "fasttext.vec"),
        (GLOVE, "glove.txt.gz"),
    ],
)
def test_every_format_gives_the_rows_of_the_vocabulary(written, text, name):
    path = written(text, name)
    found = find_vectors(path, TOKENS, "nfc")
    assert vector_size(path) == found.size == 3
    assert found.found.tolist() == [MISSING] * 4 + [EXACT, LOWER_CASED, EXACT, MISSING, MISSING]
    assert np.array_equal(found.rows[4:7], np.array([[1, -2.5, 0.3], [4, 5, 6], [7, 8, 9]], np.float32))
    assert found.coverage() == {"exact": 2, "lower_cased": 1, "missing": 2, "added": 0}
    all_rows = np.array([[1, -2.5, 0.3], [4, 5, 6], [7, 8, 9]])
    assert np.allclose(found.mean, all_rows.mean(axis=0)) and np.allclose(found.deviation, all_rows.std(axis=0))


def test_the_same_word_counts_before_its_lower_case_wherever_it_stands(written):
    found = find_vectors(written("london 1 1\nLondon 2 2\nLONDON 3 3\n"), TOKENS)
    assert found.rows[5].tolist() == [2, 2] and found.found[5] == EXACT


def test_words_are_compared_in_the_form_that_the_tokens_have(written):
    composed = unicodedata.normalize("NFC", TOKENS[7])
    tokens = [*TOKENS[:7], composed]
    assert find_vectors(written(f"{TOKENS[7]} 1 2\n"), tokens, "nfc").found[7] == EXACT
    assert find_vectors(written(f"{TOKENS[7]} 1 2\n"), tokens, "none").found[7] == MISSING


def test_words_with_spaces_are_read_from_the_right_and_other_spaces_are_parts_of_words(written):
    lines = ". . . 1 2 3\nat name@domain.com 4 5 6\n\u3000 7 8 9\n10 1 2 3\n  3 2 1\n"
    tokens = [*SPECIAL_TOKENS, ". . .", "at name@domain.com", "\u3000", "10", " "]
    found = find_vectors(written("10 0 0 0\n" + lines), tokens)
    assert found.found[4:].tolist() == [EXACT] * 5
    assert found.rows[4:].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [0, 0, 0], [3, 2, 1]]


def test_special_tokens_have_vectors_where_the_file_has_them(written):
    assert find_vectors(written("</s> 1 2\n<unk> 3 4\n"), TOKENS).found[:4].tolist() == [MISSING, EXACT, MISSING, EXACT]


@pytest.mark.parametrize("number", [2, 3000])  # in one block, and over several
def test_of_a_word_that_comes_twice_the_first_vector_counts(written, capsys, number):
    others = "".join(f"w{k} 0 0\n" for k in range(number))
    path = written(f"the 1 1\nnew 2 2\n{others}the 3 3\nnew 4 4\ndog 5 5\n")
    found = find_vectors(path, TOKENS, most=1)
    assert found.rows[4].tolist() == [1, 1] and found.more[0] == ["new"] and found.more[1].tolist() == [[2, 2]]
    said = f"{path}:{number + 3}: a word that is there before; its first vector counts (2 such lines in all)."
    assert said in capsys.readouterr().err


def test_the_first_words_that_could_be_tokens_are_added_up_to_their_number(written):
    path = written(
        "".join(f"{word} {k}\n" for k, word in enumerate(["the", "two words", "Upper", "new", "old", "more"]))
    )
    codec = Codec.train(["the"], TextOptions(lowercase=True))
    found = find_vectors(path, codec.vocabulary.tokens, "nfc", 2, codec.are_tokens)
    assert found.more[0] == ["new", "old"] and found.more[1].tolist() == [[3], [4]]
    assert codec.are_tokens(["中国", "中", "new", "a,b", ""]).tolist() == [False, True, True, False, False]
    assert codec.are_tokens([]).tolist() == []


BAD = {
    "a short line": ("a 1 2 3\nb 1 2\n", ":2: expected a word and 3 numbers"),
    "a line too long": ("a 1 2 3\nb 1 2 3 4\n", ":2: expected a word and 3 numbers"),
    "a line without a word": ("a 1 2 3\n1 2 3\n", ":2: expected a word and 3 numbers"),
    "an empty line": ("a 1 2 3\n\nb 1 2 3\n", ":2: expected a word and 3 numbers"),
    "tabs": ("a\t1\t2\n", ":1: expected a word and its numbers, with a space before each"),
    "a header of another count": ("3 2\na 1 2\nb 1 2\n", ":1: expected a header with the count of the vectors, 2 in"),
    "a header of another size": ("2 3\na 1 2\nb 1 2\n", ":1: expected a header .* their size, 2 in the next line"),
    "a header alone": ("2 3\n", ": expected a word and its numbers in each line. Received: no such line"),
    "no number": ("a 1 2\nb 1 x2\n", ":2: expected 2 numbers after the word, finite as 32 bits. Received: 'x2'"),
    "two spaces": ("a 1 2\nb  1 2\n", ":2: expected a word and 2 numbers, with a space before each"),
    "two spaces, too long": ("a 1 2\nb 1  2 3\n", ":2: expected a word and 2 numbers, with a space before each"),
    "two spaces between numbers": ("a 1 2\nb 1  2\n", ":2: expected a word and 2 numbers, with a space before each"),
    "NaN": ("a 1 2\nb nan 2\n", ":2: expected 2 numbers after the word, finite as 32 bits. Received: 'nan'"),
    "infinity": ("a 1 2\nb 1 1e39\n", ":2: expected 2 numbers after the word, finite as 32 bits. Received: '1e39'"),
    "digits of other scripts": ("a 1 2\nb 1 ٢\n", ":2: expected 2 numbers after the word"),
    "an empty file": ("", ": expected a word and its numbers in each line. Received: no such line"),
    "no vectors at all": ("hello world\nx y\n", ":1: expected a word and its numbers"),
    "GB 18030": ("a 1 2\n中 1 2\n".encode("gb18030"), ":2: expected UTF-8, also at byte 0"),
    "UTF-16": ("a 1 2\n".encode("utf-16"), ":1: expected UTF-8. Received: UTF-16"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_such_file_is_named_with_its_line(written, case):
    text, expected = BAD[case]
    path = written(text)
    with pytest.raises(sm.InputError, match=f"^{path}({expected})"):
        find_vectors(path, TOKENS)


def test_a_binary_file_is_refused_with_the_way_to_make_text_of_it(written):
    for name in ("v.bin", "v.bin.gz"):
        with pytest.raises(sm.InputError, match="expected vectors as text; gensim's KeyedVectors.load_word2vec_format"):
            find_vectors(written("a 1\n", name), TOKENS)
    with pytest.raises(sm.InputError, match="gone.vec: expected a file that can be read"):
        find_vectors("gone.vec", TOKENS)


def test_tokens_without_a_vector_start_with_the_mean_and_the_deviation_of_the_vectors(written):
    random = np.random.default_rng(1)
    rows = random.normal([1, -20], [0.5, 3], (500, 2))
    text = "".join(f"w{k} {x:.5f} {y:.5f}\n" for k, (x, y) in enumerate(rows))
    tokens = [*SPECIAL_TOKENS, "w7", *(f"other{k}" for k in range(4000))]
    table = find_vectors(written(text), tokens, most=3).table(random.standard_normal, at=5)
    assert len(table) == len(tokens) + 3 and np.allclose(table[4:8], rows[[7, 0, 1, 2]], atol=1e-5)
    assert np.allclose(table[8:].mean(axis=0), rows.mean(axis=0), atol=0.15)
    assert np.allclose(table[8:].std(axis=0), rows.std(axis=0), rtol=0.05)


def test_what_is_written_is_read_back_to_the_last_bit(tmp_path):
    rows = np.random.default_rng(2).normal(size=(len(TOKENS), 4)).astype(np.float32)
    path = tmp_path / "v.vec"
    write_vectors(path, TOKENS, rows)
    found = find_vectors(path, TOKENS)
    assert found.found[0] == MISSING and np.array_equal(found.rows[1:], rows[1:])
    for bad, expected in ((path, "which is there"), (tmp_path / "v.gz", "v.gz"), ("", "must be a path")):
        with pytest.raises(sm.InputError, match=expected):
            write_vectors(bad, TOKENS, rows)
    with pytest.raises(sm.InputError, match="A token must stand on a line by itself"):
        write_vectors(tmp_path / "w.vec", [*TOKENS[:-1], "\n"], rows)


# Models


@pytest.mark.parametrize("task", ["language-model", "labeler", "classifier", "window"])
def test_embeddings_of_a_task_begin_with_the_vectors(written, task, capsys):
    from seq_models.catalog import MODELS

    options = {"tokenizer": "whitespace", "units": 5, "vectors": written(WORDS), "vectors_words": 1}
    model = MODELS[task].from_examples(EXAMPLES[task if task in EXAMPLES else "language-model"], **options)
    tokens, rows = model.embeddings()["embedding"]
    assert rows.shape[1] == 3 and len(tokens) == len(SPECIAL_TOKENS) + 5 + 1
    at = {token: rows[id_].tolist() for id_, token in enumerate(tokens)}
    assert (at["a"], at["b"], at["E"]) == ([1, 2, 3], [4, 5, 6], [7, 8, 9])
    assert model.coverage["embedding"] == {
        "file": str(options["vectors"]),
        "size": 3,
        "exact": 2,
        "lower_cased": 0,
        "missing": 3,
        "added": 1,
    }
    assert "has vectors of 2 of 5 words" in capsys.readouterr().err


def test_added_words_come_before_those_that_were_seen_once(written):
    texts = ["a a b b once", "a twice twice"]
    model = sm.LanguageModel.from_examples(texts, units=3, vectors=written(WORDS), vectors_words=9)
    tokens, vocabulary = model.embeddings()["embedding"][0], model.preprocessor.codec.vocabulary
    assert set(tokens[vocabulary.first_seen_once :]) == {"once"} and vocabulary.seen_once == 1
    assert {"E", "new", "old"} <= set(tokens)
    again = type(model.preprocessor).from_config(model.preprocessor.get_config())
    assert again.codec.vocabulary.tokens == tokens


def test_sources_and_targets_have_files_of_their_own(written):
    options = {
        "vectors": written(WORDS),
        "target_vectors": written("b 1 1 1\nc 2 2 2\nmore 3 3 3\n", "t.vec"),
        "vectors_words": 2,
    }
    model = sm.EncoderDecoder.from_examples(EXAMPLES["encoder-decoder"], tokenizer="whitespace", units=4, **options)
    (source, rows), (target, others) = model.embeddings().values()
    assert rows[source.index("b")].tolist() == [4, 5, 6] and others[target.index("b")].tolist() == [1, 1, 1]
    assert len(source) == len(target) + 2, "targets that training has not seen would never be written"
    assert model.coverage["target_embedding"]["exact"] == 2
    one = sm.EncoderDecoder.from_examples(
        EXAMPLES["encoder-decoder"], units=4, target_vectors=options["target_vectors"]
    )
    assert one.coverage.keys() == {"target_embedding"}


def test_the_embedding_has_the_size_of_the_vectors_or_it_is_said(written):
    texts, path = EXAMPLES["classifier"], written(WORDS)
    assert sm.SequenceClassifier.from_examples(texts, units=4, embedding_units=3, vectors=path).coverage
    with pytest.raises(sm.InputError, match=f"embedding_units must be left out, or 3, .* {path}. Received: 5"):
        sm.SequenceClassifier.from_examples(texts, units=4, embedding_units=5, vectors=path)
    pair = {"vectors": path, "target_vectors": written("a 1 2\n", "t.vec")}
    with pytest.raises(sm.InputError, match="All vectors must have one size. Received: 3 in .*v.vec and 2 in .*t.vec"):
        sm.EncoderDecoder.from_examples(EXAMPLES["encoder-decoder"], units=4, **pair)


def test_options_of_vectors_that_have_no_effect_are_refused(written, tmp_path):
    with pytest.raises(ValueError, match="vectors_words needs vectors"):
        EmbeddingOptions(vectors_words=3)
    assert PairEmbeddingOptions(target_vectors=tmp_path).files() == {"target_vectors": str(tmp_path)}
    with pytest.raises(sm.InputError, match="vectors_words must be left out with tokenizer=wordpiece"):
        options = {"tokenizer": "wordpiece", "vocabulary_size": 20, "vectors": written(WORDS), "vectors_words": 2}
        sm.SequenceClassifier.from_examples(EXAMPLES["classifier"], **options)
    with pytest.raises(ValueError, match="vectors must be the name of an option"):
        sm.NgramLanguageModel.from_examples(["a b"], vectors="v.vec")


# Runs


def train(directory, path, **options):
    options = {"epochs": 1, "batch_size": 4, "watch_share": 0, "learning_rate": 0.05, **options}
    model = {**PLAIN, "vectors": str(path), "vectors_words": 2}
    data = EXAMPLES["classifier"]
    return trainer.train(TASKS["classifier"], data, data, directory, TrainingOptions(**options), model, {})


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """A file, and a run that began with it and has left its embedding alone."""
    path = tmp_path_factory.mktemp("vectors") / "v.vec"
    path.write_text(WORDS, "utf-8")
    return path, train(tmp_path_factory.mktemp("frozen") / "run", path, freeze_embeddings=1)


def rows_of(model):
    tokens, rows = model.embeddings()["embedding"]
    return {token: rows[id_].tolist() for id_, token in enumerate(tokens)}


def test_a_run_keeps_what_was_found_and_loads_without_the_file(frozen, tmp_path, capsys):
    path, run = frozen
    assert json.loads((run.path / "vectors.json").read_text())["embedding"]["exact"] == 2
    aside = path.rename(path.with_name("aside"))
    try:
        assert rows_of(sm.load_run(run.path))["a"] == [1, 2, 3], "frozen embeddings stay as they are"
        assert cli.main(["predict", str(run.path), "--input", str(aside)]) == 0
        assert cli.main(["vectors", str(run.path), "--out", str(tmp_path / "out.vec")]) == 0
    finally:
        aside.rename(path)
    found = find_vectors(tmp_path / "out.vec", [*SPECIAL_TOKENS, "a", "b"])
    assert found.rows[4:].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert cli.main(["vectors", str(run.path), "--out", str(tmp_path / "out.vec")]) == 2
    assert cli.main(["vectors", str(run.path), "--out", str(tmp_path / "b.vec"), "--embedding", "x"]) == 2
    assert "embedding must be one of embedding. Received: x" in capsys.readouterr().err


def test_a_run_goes_on_with_a_file_of_the_same_contents_and_no_other(frozen, tmp_path):
    path, run = frozen
    copy = shutil.copytree(run.path, tmp_path / "run")
    other = tmp_path / "other.vec"
    other.write_text(WORDS.replace("0.25", "0.5"), "utf-8")
    with pytest.raises(sm.InputError, match=f"{other} must hold what {copy} was begun with"):
        train(copy, other, epochs=2, freeze_embeddings=1)
    moved = shutil.copy(path, tmp_path / "moved.vec")
    after = train(copy, moved, epochs=2, freeze_embeddings=1)
    assert after.read_config()["embeddings"]["vectors"] == str(moved)
    rows = rows_of(sm.load_run(copy))
    assert len(after.read_metrics()["epochs"]) == 2
    if after.read_metrics()["best"]["epoch"] == 2:
        assert rows["a"] != [1, 2, 3]
    with pytest.raises(sm.InputError, match="vectors = None where the run has"):
        data = EXAMPLES["classifier"]
        options = TrainingOptions(epochs=2, batch_size=4, watch_share=0, learning_rate=0.05, freeze_embeddings=1)
        trainer.train(TASKS["classifier"], data, data, copy, options, PLAIN, {})


def test_an_optimizer_with_decay_and_momentum_leaves_a_frozen_embedding_alone(written):
    examples = EXAMPLES["classifier"]
    model = sm.SequenceClassifier.from_examples(examples, **PLAIN, vectors=written(WORDS))
    model.compile("adamw")
    embedding, before = model.network.get_layer("embedding").embeddings, rows_of(model)
    dataset = model.dataset(examples, batch_size=4)
    kernel = model.network.head.kernel.numpy()
    model.freeze([embedding])
    model.fit(dataset, epochs=1, verbose=0)
    assert rows_of(model) == before and not np.array_equal(kernel, model.network.head.kernel.numpy())
    model.freeze([])
    model.fit(dataset, epochs=1, verbose=0)
    assert rows_of(model)["a"] != before["a"]


def test_a_file_is_read_in_blocks(written, monkeypatch):
    sizes, parsed = [], module._parsed
    monkeypatch.setattr(module, "_parsed", lambda lines, size: (sizes.append(len(lines)), parsed(lines, size))[1])
    find_vectors(written("".join(f"w{k} 1\n" for k in range(3000))), TOKENS)
    assert len(sizes) == 3 and max(sizes) < 2000
