"""Which tokens of a long text a classifier reads, and that it says of how many texts."""

import pytest
import tensorflow as tf

import seq_models as sm
from seq_models import cli
from seq_models.text.codec import Codec
from seq_models.text.options import ClassifierTextOptions
from seq_models.text.vocabulary import SPECIAL_TOKENS, Vocabulary

LETTERS = "abcdefgh"
EXAMPLES = [("a b c d e f g", "x"), ("h a", "y")] * 2


def left(letters, truncate, n):
    """What is left of a text of which n tokens are read."""
    first = {"head": n, "tail": 0, "both": (n + 1) // 2}[truncate]
    return letters if len(letters) <= n else letters[:first] + letters[len(letters) - (n - first) :]


@pytest.mark.parametrize("truncate", ["head", "tail", "both"])
@pytest.mark.parametrize("max_length", [2, 3, 4, 6, 20])
def test_the_tokens_that_are_left_are_those_of_a_slice(truncate, max_length):
    options = ClassifierTextOptions(tokenizer="whitespace", max_length=max_length, truncate=truncate)
    codec = Codec.of(options, Vocabulary([*SPECIAL_TOKENS, *LETTERS]))
    texts = [LETTERS[:length] for length in range(len(LETTERS) + 1)]
    found = codec.tokenize(tf.constant([" ".join(text) for text in texts]))
    expected = [left(text, truncate, max_length - 1) for text in texts]
    assert [b"".join(row).decode() for row in found.to_list()] == expected
    assert Codec.from_config(codec.get_config()).get_config() == codec.get_config()
    assert codec.encode(tf.constant([" ".join(LETTERS)])).row_lengths()[0] == min(max_length, len(LETTERS) + 1)
    assert codec.tokenize(tf.constant([], tf.string)).nrows() == 0


def test_codecs_of_before_read_the_first_tokens():
    config = Codec("whitespace", Vocabulary(SPECIAL_TOKENS), max_length=3).get_config()
    del config["truncate"]
    assert Codec.from_config(config).tokenize(["a b c"]).to_list() == [[b"a", b"b"]]


@pytest.mark.parametrize("task", [sm.SequenceClassifier, sm.MultiLabelClassifier])
def test_a_classifier_answers_to_what_is_left_and_has_seen_no_other_words(task):
    model = task.from_examples(EXAMPLES, tokenizer="whitespace", units=3, max_length=4, truncate="both")
    assert set(model.preprocessor.codec.vocabulary.tokens) - set(SPECIAL_TOKENS) == set("abgh")
    one, other = model.predict_text(["a b c d e f g", "a b g"])
    assert one == other != model.predict_text(["a b c"])[0]


def test_truncate_is_one_of_three_ways():
    with pytest.raises(ValueError, match="truncate must be one of head, tail, both. Received: truncate='middle'"):
        sm.SequenceClassifier.from_examples(EXAMPLES, truncate="middle")


@pytest.mark.slow
def test_how_many_texts_are_cut_and_what_is_left_of_them_is_said(tmp_path, capsys):
    data, run = tmp_path / "data.tsv", str(tmp_path / "run")
    data.write_text("".join(f"{text}\t{label}\n" for text, label in EXAMPLES), "utf-8")
    options = {"tokenizer": "whitespace", "max_length": 4}
    for truncate, said in [("tail", "the last ones, "), ("both", "the first and the last ones, ")]:
        expected = f"2 of 4 {{}} are cut to max_length=4 tokens, {said}the end token included; the longest has 8"
        settings = [f"{name}={value}" for name, value in {**options, "truncate": truncate}.items()]
        assert cli.main(["inspect", "classifier", "--data", str(data), "--set", *settings]) == 0
        assert expected.format("examples") in capsys.readouterr().err
    files = ["--train", str(data), "--valid", str(data), "--out", run]
    assert cli.main(["train", "classifier", *files, "--set", *settings, "epochs=1", "watch_share=0", "units=2"]) == 0
    assert expected.format("training examples") in capsys.readouterr().err
    assert cli.main(["predict", run, "--input", str(data)]) == 0
    assert expected.format("texts") in capsys.readouterr().err
