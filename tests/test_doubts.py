"""Data that look like those of another task, or have tags of two schemes, train with a sentence; others without."""

import pytest

from seq_models import messages
from seq_models.tasks import TASKS
from seq_models.text.datasets import make_dataset
from seq_models.text.examples import read_examples

PAIRS = [(f"the dog number {n}", f"der Hund Nummer {n}") for n in range(150)]
BIO = [["O", "B-PER", "I-PER", "O"], ["B-LOC", "O"], ["B-PER", "B-PER", "I-PER"]] * 4
IOB1 = [["O", "I-PER", "I-PER", "O"], ["I-LOC", "I-PER"], ["I-PER", "B-PER", "I-PER"]] * 4
BIOES = [["O", "B-PER", "E-PER", "O"], ["S-LOC", "O"], ["B-PER", "I-PER", "E-PER"]] * 4
BMES = [[tag.replace("I-", "M-") for tag in row] for row in BIOES]
BILOU = [[tag.replace("E-", "L-").replace("S-", "U-") for tag in row] for row in BIOES]


@pytest.fixture(autouse=True)
def nothing_said():
    messages.say_once.cache_clear()


def said(task, examples, capsys):
    preprocessor = TASKS[task].preprocessor_class
    capsys.readouterr()
    make_dataset(preprocessor.learned(examples, preprocessor.options_class()), examples)
    return capsys.readouterr().err


def conll(path, rows):
    path.write_text("# newdoc\n\n" + "".join("".join(f"w {tag}\n" for tag in row) + "\n" for row in rows), "utf-8")
    return read_examples(path)


def test_pairs_for_a_classifier_and_labels_for_an_encoder_decoder_are_said_with_the_file(tmp_path, capsys):
    pairs, labeled = tmp_path / "pairs.tsv", tmp_path / "labeled.tsv"
    pairs.write_text("".join(f"{a}\t{b}\n" for a, b in PAIRS), "utf-8")
    labeled.write_text("".join(f"{text}\t{'bad' if n % 3 else 'good'}\n" for n, (text, _) in enumerate(PAIRS)), "utf-8")
    error = said("classifier", read_examples(pairs, columns=("1", "2")), capsys)
    assert f"{pairs}: a text and its label are expected, but 150 labels in 150 examples look like" in error
    error = said("encoder-decoder", read_examples(labeled), capsys)
    assert (
        f"{labeled}: a source and its target are expected, but 2 different targets in 150 examples, as 'bad'" in error
    )
    for task, path in (("classifier", labeled), ("encoder-decoder", pairs)):
        assert "expected, but" not in said(task, read_examples(path, columns=("1", "2")), capsys)


def test_words_in_the_place_of_tags_are_said(capsys):
    rows = [([f"runs{n}", "the"], [f"run{n}", "the"]) for n in range(120)]
    assert "examples: tokens and their tags are expected, but 121 tags beside 125 tokens" in said(
        "labeler", rows, capsys
    )
    assert said("labeler", [(tokens, ["VERB", "DET"]) for tokens, _ in rows], capsys) == ""


@pytest.mark.parametrize(
    ("task", "examples"),
    [
        ("classifier", [(text, f"intent {n // 2}") for n, (text, _) in enumerate(PAIRS)]),  # two examples of each
        ("classifier", [("a", "x"), ("b", "y"), ("c", "z")]),
        ("encoder-decoder", [("a b", "b a")] * 50),
        ("encoder-decoder", [(text, str(n // 10)) for n, (text, _) in enumerate(PAIRS)]),
        ("language-model", ["a b"] * 200),
    ],
)
def test_data_that_are_rare_and_right_are_not_doubted(task, examples, capsys):
    assert said(task, examples, capsys) == ""


@pytest.mark.parametrize("rows", [BIO, IOB1, BIOES, BMES, BILOU, [["NOUN", "O"], ["I", "B"]], [["O", "O"]]])
def test_tags_of_one_scheme_are_not_doubted(rows, tmp_path, capsys):
    assert said("labeler", conll(tmp_path / "a.conll", rows), capsys) == ""


@pytest.mark.parametrize(
    ("most", "other", "scheme", "what", "count"),
    [
        (BIO, ["B-PER", "O", "I-LOC"], "IOB2", "'I-LOC' after 'O', tag 3 of its sentence", 1),
        (IOB1, ["B-PER", "I-PER", "O", "B-LOC"], "IOB1", "'B-PER' after 'O', tag 1 of its sentence", 2),
        (BIOES, ["O", "B-PER", "O", "B-LOC"], "BIOES", "'O' after 'B-PER', tag 3 of its sentence", 2),
        (BMES, ["B-PER", "M-PER", "S-LOC"], "BMES", "'S-LOC' after 'M-PER', tag 3 of its sentence", 1),
        (BILOU, ["B-PER", "L-LOC"], "BILOU", "'L-LOC' after 'B-PER', tag 2 of its sentence", 1),
        (BIOES, ["U-PER", "O"], "BIOES", "'U-PER' after 'O', tag 1 of its sentence", 1),
    ],
)
def test_tags_of_two_schemes_in_a_file_are_said_with_file_and_line(most, other, scheme, what, count, tmp_path, capsys):
    path = tmp_path / "mixed.conll"
    error = said("labeler", conll(path, [*most, other]), capsys)
    line = len(path.read_text("utf-8").splitlines()) - len(other)
    assert f"{path}:{line}: {what}, is not of the scheme {scheme}, which most tags keep to; {count} in all" in error
    assert "not of the scheme" not in said("labeler", read_examples(path), capsys)  # a sentence once
