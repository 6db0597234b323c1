"""Small files that were once misread, with what is right: every command reads a file the same way."""

import csv
import functools
import gzip
import io
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from toy import EXAMPLES, small

from seq_models import catalog, cli
from seq_models.errors import InputError
from seq_models.tasks import TASKS
from seq_models.text.examples import read_examples
from seq_models.text.inspection import inspect_examples
from seq_models.text.questions import Reading, read_questions

WIDE = (
    b'id,subject,body,team\n1,"Printer","The printer, again, is jammed",hardware\n'
    b'2,"Login","Password was\nforgotten",accounts\n'
)
NUMBERED = b"1\tAnna\tB-PER\n2\tvisits\tO\n3\tLyon\tB-LOC\n\n1\tRain\tO\n2\tfalls\tO\n"
COMMENTS = (
    b"# id 17\tdomain=en\nThe O\nriver O\nAmstel B-LOC\nfloods O\n\n"
    b"#begin document (wb/x); part 000\nAnna B-PER\nreads O\n"
)
FEATS = (
    b"# text = Dogs bark\n1\tDogs\tdog\tNOUN\t_\tNumber=Plur\t2\tnsubj\t_\t_\n"
    b"2\tbark\tbark\tVERB\t_\t_\t0\troot\t_\t_\n\n"
)
LONE_CR = b"the room is clean .\nthe soup is cold .\r Order it .\nthe view is great .\n"


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write_file


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run directory of every task."""
    folder = tmp_path_factory.mktemp("runs")
    for task in EXAMPLES:
        small(task).save_run(folder / task)
    return folder


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """A run that many commands ask is loaded, and its graph built, once."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(catalog, "load_run", functools.cache(catalog.load_run))
        yield


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    """The sentence of a command that must fail as a user's mistake does."""
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("seq-models: ") and error.count("\n") == 1
    return error


def problem_of(path, **options):
    with pytest.raises(InputError) as raised:
        list(read_examples(path, **options))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def questions(path, field="text", columns=None):
    return [question for found in read_questions(path, Reading(field, lambda _: columns)) for question in found]


def stdin(monkeypatch, data, terminal=False):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: terminal))


# Lines


@pytest.mark.parametrize("content", [LONE_CR, LONE_CR.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + LONE_CR])
def test_one_line_in_one_line_out_whatever_ends_it(content, runs, write, capsys, monkeypatch):
    path = write("a.txt", content)
    assert list(read_examples(path))[1] == "the soup is cold .\r Order it ."
    assert not any("\ufeff" in text for text in read_examples(path))
    assert run("predict", runs / "classifier", "--input", path) == 0
    from_file = capsys.readouterr().out.splitlines()
    for flags in ([], ["--input", "-"]):
        stdin(monkeypatch, content)
        assert run("predict", runs / "classifier", *flags) == 0
        assert len(from_file) == 3 and capsys.readouterr().out.splitlines() == from_file


@pytest.mark.slow
def test_blank_lines_have_answers_and_a_last_line_needs_no_end(runs, write, capsys):
    for task in TASKS:
        assert run("predict", runs / task, "--input", write("a.txt", "a b\n\n  \nb")) == 0
        assert len(capsys.readouterr().out.split("\n")) == 5


def test_a_compressed_file_is_answered_as_any_other(runs, write, capsys):
    lines = "".join(f"line {number} is here\n" for number in range(5))
    for name in ("a.txt", "a.txt.gz", "a.en.gz"):
        assert run("predict", runs / "classifier", "--input", write(name, lines)) == 0
        assert len(capsys.readouterr().out.splitlines()) == 5


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("good room\nbad soup\n".encode("utf-16"), 1),
        ("good room\nbad soup\n".encode("utf-16-be"), 1),
        ("le café est bon\nla soupe est froide\n".encode("cp1252"), 1),
        ("good\nlove it\nüber\n".encode("latin-1"), 3),
    ],
)
def test_another_encoding_is_refused_with_file_and_line(content, line, runs, write, capsys, monkeypatch):
    path = write("a.txt", content)
    assert f"{path}:{line}: expected UTF-8" in refused(capsys, "predict", runs / "classifier", "--input", path)
    assert f"{path}:{line}: expected UTF-8" in problem_of(path)
    stdin(monkeypatch, content)
    assert f"<stdin>:{line}: expected UTF-8" in refused(capsys, "predict", runs / "classifier")


@pytest.mark.parametrize("name", ["a.conll", "a.txt", "a.tsv"])
def test_a_file_with_cr_only_is_one_sentence_about_line_ends(name, write):
    assert "lines that end in LF or CRLF" in problem_of(write(name, b"Anna B-PER\rreads O\r\rLyon B-LOC\r"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_can_be_read_once_is_refused_for_training_and_not_for_predicting(tmp_path, runs, capsys):
    pipe = tmp_path / "a.tsv"
    os.mkfifo(pipe)
    assert "a regular file" in problem_of(pipe)
    with subprocess.Popen(["sh", "-c", f"printf 'a b\\tlong\\n' > {pipe}"]):
        assert run("predict", runs / "classifier", "--input", pipe) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("line", [b"a b c\n", b'{"text": "a b c"}\n'])
def test_a_line_of_a_slow_pipe_is_answered_at_once(line, runs):
    command = [sys.executable, "-m", "seq_models.cli", "predict", str(runs / "classifier")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for _ in range(2):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline().split(b"\t")[0] in (b"long", b"short")  # before the pipe is closed
        process.stdin.close()
        assert process.stdout.read() == b"" and b"> " not in process.stderr.read()
    assert process.returncode == 0


def test_a_terminal_has_a_prompt(runs, capsys, monkeypatch):
    stdin(monkeypatch, b"a b\n", terminal=True)
    assert run("predict", runs / "classifier") == 0
    shown = capsys.readouterr()
    assert shown.err.startswith("> ") and shown.out.count("\n") == 1


# What is piped


PIPED = {
    ".csv": 'id,text,label\n1,"a b, c",long\n2,"d\nb",short\n',
    ".tsv": "text\tlabel\na b c\tlong\nd\tshort\n",
    ".jsonl": '{"n": 1, "text": "a b c"}\n{"n": 2, "text": "d"}\n',
}


@pytest.mark.parametrize("ending", PIPED)
def test_a_piped_table_that_names_its_columns_is_answered_as_the_file_and_said(
    ending, runs, write, capsys, monkeypatch
):
    content = PIPED[ending]
    assert run("predict", runs / "classifier", "--input", write(f"a{ending}", content)) == 0
    from_file = capsys.readouterr()
    assert len(from_file.out.splitlines()) == 2 and from_file.err == ""
    for path in ([], ["--input", write("no_ending", content)]):
        stdin(monkeypatch, content.encode())
        assert run("predict", runs / "classifier", *path) == 0
        piped = capsys.readouterr()
        assert piped.out == from_file.out
        assert f"the first line names columns, so this is read as {ending}; or give --format txt" in piped.err
    stdin(monkeypatch, content.encode())
    assert run("predict", runs / "classifier", "--format", "txt") == 0
    piped = capsys.readouterr()
    assert len(piped.out.splitlines()) == content.count("\n") and piped.err == ""


@pytest.mark.parametrize("ending", [*PIPED, ".conll"])
def test_a_piped_table_whose_columns_have_other_names_or_none_is_read_by_its_format(ending, runs, capsys, monkeypatch):
    task = "labeler" if ending == ".conll" else "classifier"
    content = {**PIPED, ".conll": "a A\nb B\n\nc C\n"}[ending].replace("label", "other").replace("text", "body")
    columns = [] if task == "labeler" else ["--columns", "body"]
    stdin(monkeypatch, content.encode())
    assert run("predict", runs / task, "--format", ending[1:], *columns) == 0
    answers = capsys.readouterr()
    assert len(answers.out.splitlines()) == 2 and answers.err == ""


@pytest.mark.parametrize(
    ("task", "content", "looks"),
    [
        ("classifier", "a b\tlong\nd\tshort\n", True),
        ("classifier", '"a, b",short\nc,long\n', True),
        ("labeler", "a A\nb B\n", True),
        ("classifier", "text, sentence and label\nshort\n", False),
        ("classifier", "text\na b long\n", False),
        ("classifier", "a b, c\n", False),
        ("labeler", "A\na b\n", False),
        ("classifier", '{"other": 3}\n', False),
        ("classifier", "", False),
    ],
)
def test_what_may_be_a_table_or_not_is_read_as_lines_and_that_is_said(task, content, looks, runs, capsys, monkeypatch):
    stdin(monkeypatch, content.encode())
    assert run("predict", runs / task) == 0
    answers = capsys.readouterr()
    assert len(answers.out.splitlines()) == content.count("\n")
    assert answers.err == (
        "seq-models: <stdin>: each line is read as a text, though the first one looks like a row of a table; if it is "
        "one, say which by --format, as --format tsv\n"
        if looks
        else ""
    )


@pytest.mark.slow
def test_the_columns_of_a_run_make_a_piped_table_one_and_named_ones_need_a_table(
    write, tmp_path, runs, capsys, monkeypatch
):
    path, directory = write("wide.csv", WIDE), tmp_path / "run"
    data = ["--train", path, "--valid", path, "--columns", "body", "team"]
    assert run("train", "classifier", *data, "--out", directory, "--set", "epochs=1", "units=2", "watch_share=0") == 0
    capsys.readouterr()
    stdin(monkeypatch, WIDE)
    assert run("predict", directory, "--json") == 0
    assert {json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()} <= {"hardware", "accounts"}
    for arguments, content in ((["--columns", "body"], b"one\n"), (["--columns", "1", "--format", "txt"], WIDE)):
        stdin(monkeypatch, content)
        assert "<stdin>: expected a table to take a column of" in refused(capsys, "predict", directory, *arguments)


# Headers


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'review,sentiment\n"clean, room",positive\ncold soup,negative\n'),
        ("a.csv", 'Sentence,Label\n"clean, room",positive\ncold soup,negative\n'),
        ("a.tsv", '"text"\t"label"\n"clean, room"\t"positive"\n"cold soup"\t"negative"\n'),
        ("a.tsv", '"label"\t"n"\t"text"\n"positive"\t1\t"clean, room"\n"negative"\t2\t"cold soup"\n'),
        ("a.jsonl", '{"Review": "clean, room", "stars": "positive"}\n{"Review": "cold soup", "stars": "negative"}\n'),
    ],
)
def test_a_header_is_no_example_and_quotes_are_no_text(name, content, write, capsys):
    path = write(name, content)
    expected = [("clean, room", "positive"), ("cold soup", "negative")]
    assert list(read_examples(path)) == list(read_examples(path)) == expected
    assert [question.text for question in questions(path)] == [text for text, _ in expected]
    said = capsys.readouterr().err
    assert said.count("is read as text") == ("text" not in content), "another name is said once"


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "inspect"])
def test_a_table_of_unknown_columns_lists_them_and_names_columns(command, runs, write, tmp_path, capsys):
    path = write("wide.csv", WIDE.replace(b"body", b"about"))
    arguments = {
        "train": ["classifier", "--train", path, "--valid", path, "--out", tmp_path / "run"],
        "evaluate": [runs / "classifier", "--data", path],
        "predict": [runs / "classifier", "--input", path],
        "inspect": ["classifier", "--data", path],
    }
    error = refused(capsys, command, *arguments[command])
    assert "--columns" in error and "id,subject,about,team" in error and f"{path}:1" in error


def test_a_first_line_that_is_unlike_all_others_is_not_taken_for_an_example(write):
    rows = "".join(f"text {number}\t{number % 3}\n" for number in range(30))
    path = write("a.tsv", "what they wrote\tgrade\n" + rows)
    assert "a.tsv:1: expected an example" in problem_of(path) and "--columns 1 2" in problem_of(path)
    assert len(list(read_examples(path, columns=("what they wrote", "grade")))) == 30
    assert len(list(read_examples(path, columns=("1", "2")))) == 31
    assert len(list(read_examples(write("b.tsv", "rare but right\t2\n" + rows)))) == 31
    assert len(list(read_examples(write("c.tsv", "rare\t9\nas this\t8\n" + rows)))) == 32


def test_columns_are_taken_by_name_or_by_number(write):
    path = write("wide.csv", WIDE)
    expected = [("The printer, again, is jammed", "hardware"), ("Password was\nforgotten", "accounts")]
    assert list(read_examples(path, columns=("body", "team"))) == expected
    bare = write("bare.csv", WIDE.partition(b"\n")[2])
    assert list(read_examples(bare, columns=("3", "-1"))) == expected
    assert "the column '5' once" in problem_of(bare, columns=("3", "5"))


def test_a_field_may_be_as_long_as_it_likes(write):
    long = "word " * 30_000
    path = write("a.csv", f'text,label\n"{long}",long\nshort text,short\n')
    assert list(read_examples(path)) == [(long.strip(), "long"), ("short text", "short")]
    assert [len(question.text) for question in questions(path)] == [150_000, 10]


def test_a_carriage_return_outside_of_quotes_is_named(write):
    assert "a carriage return" in problem_of(write("a.csv", "a\rb,1\n"))
    assert list(read_examples(write("b.csv", '"a\rb",1\nc,0\n')))[0] == ("a\rb", "1")


# Tokens and tags


def test_comments_and_document_lines_are_no_tokens(write):
    sentences = [(["The", "river", "Amstel", "floods"], ["O", "O", "B-LOC", "O"]), (["Anna", "reads"], ["B-PER", "O"])]
    assert list(read_examples(write("a.conll", COMMENTS))) == sentences
    assert list(read_examples(write("b.conll", COMMENTS.replace(b" ", b"\t")))) == sentences
    more = b"-DOCSTART- O\n\n# newdoc\n# sent_id = 3\n" + COMMENTS + b"\n#end document\n"
    assert list(read_examples(write("c.conll", more))) == sentences


def test_a_token_may_begin_with_the_sign_of_a_comment(write):
    path = write("a.conll", "#Lyon B-LOC\n# O\n1 O\n")
    assert list(read_examples(path)) == [(["#Lyon", "#", "1"], ["B-LOC", "O", "O"])]


def test_numbers_of_words_are_no_tokens_and_columns_take_numbers(write, runs, capsys):
    path = write("a.conll", NUMBERED)
    assert "--columns 2 -1" in problem_of(path) and f"{path}:1" in problem_of(path)
    expected = [(["Anna", "visits", "Lyon"], ["B-PER", "O", "B-LOC"]), (["Rain", "falls"], ["O", "O"])]
    assert list(read_examples(path, columns=("2", "3"))) == list(read_examples(path, columns=("2", "-1"))) == expected
    assert list(read_examples(path, columns=("1", "-1")))[0][0] == ["1", "2", "3"]
    assert "--columns 2 -1" in refused(capsys, "predict", runs / "labeler", "--input", path)
    assert "numbers such as 1 and -1" in problem_of(path, columns=("FORM", "TAG"))


def test_with_tabs_only_tabs_separate(write):
    path = write("a.conll", "New York\tB-LOC\nis\tO\n1 000\tO\n\n1 000\tx\tO\n")
    assert list(read_examples(path)) == [(["New York", "is", "1 000"], ["B-LOC", "O", "O"]), (["1 000"], ["O"])]


def test_a_line_with_more_columns_than_the_first_is_named(write):
    assert "a.conll:2: expected 2 columns, as in line 1" in problem_of(write("a.conll", "is O\nNew York O\n"))


@pytest.mark.parametrize("mark", ["\r", "\x1f"])
@pytest.mark.parametrize("name", ["a.conll", "a.conllu"])
def test_what_tears_a_token_is_refused_with_file_and_line(mark, name, write):
    for word, tag in ((f"good{mark}day", "O"), ("good", f"O{mark}x")):
        rows = [("in", "O"), (word, tag)]
        conllu = "".join("\t".join(["1", word, "_", tag, *"______"]) + "\n" for word, tag in rows)
        lines = conllu if name == "a.conllu" else "".join(f"{word} {tag}\n" for word, tag in rows)
        message = problem_of(write(name, lines))
        assert f"{name}:2: expected no U+{ord(mark):04X}" in message


def test_json_lines_hold_tokens_with_tags(write, capsys):
    lines = '{"tokens": ["Anna", "reads"], "tags": ["B-PER", "O"]}\n{"tokens": ["Lyon"], "tags": ["B-LOC"]}\n'
    expected = [(["Anna", "reads"], ["B-PER", "O"]), (["Lyon"], ["B-LOC"])]
    assert list(read_examples(write("a.jsonl", lines))) == expected
    assert list(read_examples(write("b.jsonl", lines.replace("tags", "labels")))) == expected
    numbers = '{"id": 7, "tokens": ["New York", "is"], "ner_tags": [3, 0]}\n'
    assert list(read_examples(write("c.jsonl", numbers))) == [(["New York", "is"], ["3", "0"])]
    for bad in ('["a"], "tags": ["x", "y"]', '["a"], "tags": "x"', '"a", "tags": ["x"]', '["a\\nb"], "tags": ["x"]'):
        assert "bad.jsonl:1: expected " in problem_of(write("bad.jsonl", f'{{"tokens": {bad}}}\n'))


def test_nothing_is_a_value_of_the_features_of_conllu(write):
    path = write("a.conllu", FEATS)
    assert list(read_examples(path, columns=("FORM", "FEATS"))) == [(["Dogs", "bark"], ["Number=Plur", "_"])]
    assert "there is no XPOS tag" in problem_of(path, columns=("FORM", "XPOS"))


# Labels and examples


def test_labels_that_look_alike_are_named(write, capsys):
    path = write("a.tsv", "a b\tpositive\nc d\tpositive \ne f\tnegative\ng h\tpositive\u200b\n" * 2)
    (warning,) = [each for each in inspect_examples(read_examples(path), "classifier").warnings if "differ by" in each]
    assert r"'positive', 'positive\u200b'" in warning and f"{path}:4" in warning
    TASKS["classifier"].from_examples([("a", "no"), ("b", "no\xa0"), ("c", "n o"), ("d", "on")], units=3)
    assert r"the labels 'n o', 'no', 'no\xa0' differ by" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "name", "content", "wanted", "seen"),
    [
        ("classifier", "a.txt", "a b\n", "a text and a label, two strings, as in .tsv", "a sentence"),
        ("classifier", "a.conll", "a X\n", "a text and a label, two strings, as in .tsv", "a list of tokens"),
        (
            "labeler",
            "a.tsv",
            "a\tX\n",
            "a list of tokens and a list of as many tags, as in .conll",
            "a text and a label",
        ),
        ("language-model", "a.csv", "a,X\n", "a sentence, a string, as in .txt", "a text and a label"),
        ("encoder-decoder", "a.bio", "a X\n", "a source and a target", "a list of tokens"),
        ("classifier", "a.en", "a\n", "a text and a label, two strings, as in .tsv", "parallel text"),
    ],
)
def test_data_of_another_task_is_one_sentence(task, name, content, wanted, seen, write, tmp_path, capsys):
    paths = [write(name, content), write("a.de", "b\n")] if name == "a.en" else [write(name, content)]
    out = tmp_path / "run"
    error = refused(capsys, "train", task, "--train", *paths, "--valid", *paths, "--out", out)
    assert str(paths[0]) in error and f"expected {wanted}" in error and f"Received: {seen}" in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("examples", "labels"),
    [
        ([["a b", "x"], ["c", "y"]], ["x", "y"]),
        ([("a b", 1), ("c", 0)], ["0", "1"]),
        ([("a b", np.int64(1)), ("c", True)], ["1", "True"]),
        (np.array([("a b", "x"), ("c", "y")]), ["x", "y"]),
    ],
)
def test_rows_and_numbers_of_classes_are_examples_too(examples, labels):
    model = TASKS["classifier"].from_examples(examples, units=3)
    assert model.preprocessor.labels.names == labels
    assert set(model.score(examples)) >= {"accuracy"}


@pytest.mark.parametrize(
    ("examples", "part"),
    [
        (zip("ab", "xy", strict=True), "again and again, as list(…) of this one can. Received: zip"),
        ((pair for pair in [("a", "x")]), "Received: generator"),
        (None, "an iterable of examples. Received: None"),
        (7, "Received: 7"),
        ([], "at least one example. Received: none"),
        ([None], "example 1: expected a text and a label, two strings"),
        ([("a", "x"), ("b", 1.5)], "example 2: expected a text and a label, two strings"),
        ([("a", "x\ny")], "example 1: expected no U+000A in a label"),
        ("ab", "Received: 'ab'"),
        ({"a": "x"}, "Received: dict"),
    ],
)
def test_what_are_no_examples_is_one_sentence(examples, part):
    model = TASKS["classifier"].from_examples([("a", "x"), ("b", "y")], units=3)
    for use in (
        lambda: TASKS["classifier"].from_examples(examples),
        lambda: model.dataset(examples),
        lambda: model.score(examples),
    ):
        with pytest.raises(InputError, match=re.escape(part)):
            use()


@pytest.mark.parametrize("token", ["a\x1fb", "a\nb", "a\rb"])
def test_tokens_that_would_be_torn_are_refused(token):
    for example in (([token, "c"], ["X", "Y"]), (["b", "c"], ["X", token])):
        with pytest.raises(InputError, match="example 1: expected"):
            TASKS["labeler"].from_examples([example], units=3)


# Answers beside their input


@pytest.mark.slow
def test_a_run_keeps_its_columns_and_answers_tables(write, tmp_path, capsys):
    path, directory = write("wide.csv", WIDE), tmp_path / "run"
    data = ["--train", path, "--valid", path, "--columns", "body", "team"]
    assert run("train", "classifier", *data, "--out", directory, "--set", "epochs=1", "units=2", "watch_share=0") == 0
    assert run("evaluate", directory, "--data", path) == 0
    questions_only = write("new.csv", b'body,id\n"two\nlines",8\nred,9\n')
    for name, rows in (("a.csv", csv.DictReader), ("a.jsonl", lambda file: map(json.loads, file))):
        assert run("predict", directory, "--input", questions_only, "--output", tmp_path / name) == 0
        with open(tmp_path / name, encoding="utf-8", newline="") as file:
            first, second = rows(file)
        assert (first["body"], first["id"], second["body"]) == ("two\nlines", "8", "red")
        assert first["label"] in ("hardware", "accounts")
    capsys.readouterr()
    assert "no tab or line end" in refused(
        capsys, "predict", directory, "--input", questions_only, "--output", tmp_path / "a.tsv"
    )
    assert not (tmp_path / "a.tsv").exists()
    capsys.readouterr()
    assert run("predict", directory, "--input", path, "--columns", "subject", "--json") == 0
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == 2


def test_the_column_of_the_label_stays_beside_the_answer(runs, write, tmp_path):
    path, out = write("a.tsv", "text\tlabel\na b\tlong\n"), tmp_path / "out.tsv"
    assert run("predict", runs / "classifier", "--input", path, "--output", out) == 0
    header, row = (line.split("\t") for line in out.read_text("utf-8").splitlines())
    assert header == ["text", "label", "predicted_label", "score", "abstain", "probabilities", "classes"]
    assert row[:2] == ["a b", "long"] and row[2] in ("long", "short") and len(json.loads(row[5])) == 2


def test_an_output_is_a_new_file_of_a_known_ending(runs, write, tmp_path, capsys):
    path = write("a.txt", "a b\n\nc\n")
    assert run("predict", runs / "labeler", "--input", path, "--output", tmp_path / "out.txt") == 0
    lines = (tmp_path / "out.txt").read_text("utf-8")
    assert lines.count("\n") == 3 and lines.splitlines()[1] == ""
    error = refused(capsys, "predict", runs / "labeler", "--input", path, "--output", tmp_path / "out.txt")
    assert "must be a new file" in error and (tmp_path / "out.txt").read_text("utf-8") == lines
    assert ".txt .tsv .csv .jsonl" in refused(capsys, "predict", runs / "labeler", "--output", tmp_path / "out.xlsx")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.conll", "a b\tX\nc\tX\n\nd\tX\n"),
        ("a.bio", "a_b\nc\n\nd\n"),
        ("a.conllu", FEATS.replace(b"NOUN", b"_").replace(b"VERB", b"_") + FEATS),
        ("a.jsonl", '{"tokens": ["a b", "c"]}\n{"tokens": ["d"], "tags": null}\n'),
    ],
)
def test_a_labeler_answers_for_the_tokens_of_a_table(name, content, runs, write, tmp_path):
    path, out = write(name, content), tmp_path / "out.jsonl"
    assert run("predict", runs / "labeler", "--input", path, "--output", out) == 0
    answers = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    tokens = [list(question.text) for question in questions(path, "tokens")]
    assert [answer.get("predicted_tokens", answer.get("tokens")) for answer in answers] == tokens
    assert [len(answer.get("predicted_tags", answer.get("tags"))) for answer in answers] == list(map(len, tokens))


def test_an_encoder_decoder_answers_for_sources(runs, write, capsys):
    path = write("a.tsv", "target\tsource\nc a\ta c\nb\t\n")
    assert [question.text for question in questions(path, "source")] == ["a c", ""]
    assert run("predict", runs / "encoder-decoder", "--input", path) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_words_alone_above_sentences_are_no_pair(write):
    pairs = "".join(f"the dog number {n}\t第{n}只狗\n" for n in range(6))
    path = write("pairs.tsv", "english\tchinese\n" + pairs)
    assert "pairs.tsv:1: expected an example, but no other row is like it" in problem_of(path)
    assert len(list(read_examples(path, columns=("1", "2")))) == 7
    assert len(list(read_examples(path, columns=("english", "chinese")))) == 6
    assert len(list(read_examples(write("words.tsv", "dog\t狗\n" + pairs)))) == 7  # no name of a column
    assert len(list(read_examples(write("moods.tsv", "great\tgood\n" + "a long text\tgood\n" * 9)))) == 10


def test_tokens_that_the_tokenizer_would_tear_are_said(capsys):
    examples = [(["U.S.", "New York", "dog"], ["A", "B", "C"])]
    TASKS["labeler"].from_examples(examples, units=3)
    assert "2 of 3 tokens are cut otherwise where a text is labeled, by tokenizer=words" in capsys.readouterr().err
    TASKS["labeler"].from_examples([(["dog", "猫"], ["A", "B"])], units=3)
    assert capsys.readouterr().err == ""
