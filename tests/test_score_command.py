"""The commands `score` and `generate`: what they read, print and refuse."""

import io
import json
import sys

import pytest
from toy import small

import seq_models as sm
from seq_models.cli import main

HOME = ["walking home after school"] * 5 + ["walking to the house"] * 2 + ["after school"] * 2


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "ngram"
    sm.NgramLanguageModel.from_examples(HOME, order=3).save_run(path)
    return path


def printed(capsys, *words):
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def lines_of(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def test_each_line_has_its_scores(run, tmp_path, capsys):
    data = lines_of(tmp_path / "data.txt", "walking home", "XYZ")
    rows = [line.split("\t") for line in printed(capsys, "score", run, "--data", data).splitlines()]
    assert [row[-1] for row in rows] == ["walking home", "XYZ"]
    for row, expected in zip(rows, sm.load_run(run).score_tokens(["walking home", "XYZ"]), strict=True):
        names = ("log_probability", "perplexity", "bits_per_character")
        assert list(map(float, row[:3])) == pytest.approx([expected[name] for name in names], abs=1e-4)


def test_the_more_probable_candidate_comes_first(run, tmp_path, capsys):
    candidates = ["walking house after school", "walking home after school", "", "school after", "after school"]
    data = lines_of(tmp_path / "data.txt", *candidates)
    rows = [line.split("\t") for line in printed(capsys, "score", run, "--data", data, "--rerank").splitlines()]
    ordered = ["walking home after school", "walking house after school", "after school", "school after"]
    assert [(row[0], row[-1]) for row in rows] == list(zip("1212", ordered, strict=True))


@pytest.mark.slow
def test_tokens_have_a_line_each(run, tmp_path, capsys):
    data = lines_of(tmp_path / "data.txt", "walking home", "school")
    blocks = printed(capsys, "score", run, "--data", data, "--tokens").strip().split("\n\n")
    whole, *tokens = [line.split("\t") for line in blocks[0].splitlines()]
    assert whole[-1] == "walking home" and [token for _, token in tokens] == ["walking", "home", "</s>"]
    assert sum(float(log_p) for log_p, _ in tokens) == pytest.approx(float(whole[0]), abs=1e-3)
    candidates = lines_of(tmp_path / "candidates.txt", "walking house", "walking home", "", "school")
    blocks = printed(capsys, "score", run, "--data", candidates, "--tokens", "--rerank").strip().split("\n\n")
    heads = [block.splitlines()[0].split("\t") for block in blocks]
    assert [(head[0], head[-1]) for head in heads] == [("1", "walking home"), ("2", "walking house"), ("1", "school")]
    [whole, _] = printed(capsys, "score", run, "--data", data, "--tokens", "--json").splitlines()
    assert json.loads(whole)["tokens"] == ["walking", "home", "</s>"]


def test_json_and_a_file_of_scores(run, tmp_path, capsys):
    data, output = lines_of(tmp_path / "data.txt", "walking home"), tmp_path / "scores.csv"
    [line] = printed(capsys, "score", run, "--data", data, "--json").splitlines()
    assert json.loads(line).keys() == {"log_probability", "perplexity", "bits_per_character", "lengths"}
    assert printed(capsys, "score", run, "--data", data, "--output", output) == ""
    assert output.read_text().splitlines()[0] == "text,log_probability,perplexity,lengths,bits_per_character"


def test_only_a_language_model_scores_texts(tmp_path, capsys):
    small("classifier").save_run(tmp_path / "run")
    assert main(["score", str(tmp_path / "run"), "--data", str(tmp_path)]) == 2
    assert "must be the run of a language model. Received: classifier" in capsys.readouterr().err


@pytest.mark.slow
def test_each_line_of_a_pipe_is_a_prompt(run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"walking\n\nafter\n")))
    out = printed(capsys, "generate", run, "--interactive", "--json", "--count", 2, "--seed", 3, "--max-length", 4)
    answers = list(map(json.loads, out.splitlines()))
    model = sm.load_run(run)
    prompts = ["walking"] * 2 + [""] * 2 + ["after"] * 2
    assert answers == model.generate(prompts, seed=3, max_length=4)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--top-k", "-1"], "top_k must be"),
        (["--top-p", "0"], "top_p must be"),
        (["--repetition-penalty", "nan"], "repetition_penalty must be"),
        (["--min-length", "9", "--max-length", "3"], "min_length must be at most max_length"),
    ],
)
def test_a_wrong_option_is_one_sentence(run, wrong, message, capsys):
    assert main(["generate", str(run), *wrong]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and message in said
