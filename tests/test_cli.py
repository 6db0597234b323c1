"""The command line: what it prints, and one clear sentence with exit code 2 for every mistake of a user."""

import json
import subprocess
import sys

import pytest
import tomlkit
from toy import EXAMPLES, small

import seq_models as sm
from seq_models import cli


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small data files of every task."""
    folder = tmp_path_factory.mktemp("data")
    write = lambda name, text: (folder / name).write_text(text, "utf-8")  # noqa: E731
    write("lm.txt", "\n".join(EXAMPLES["language-model"]) + "\n")
    write("class.tsv", "".join(f"{text}\t{label}\n" for text, label in EXAMPLES["classifier"]))
    write(
        "tags.bio", "".join("".join(f"{t} {g}\n" for t, g in zip(*e, strict=True)) + "\n" for e in EXAMPLES["labeler"])
    )
    write("a.en", "".join(source + "\n" for source, _ in EXAMPLES["encoder-decoder"]))
    write("b.de", "".join(target + "\n" for _, target in EXAMPLES["encoder-decoder"]))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run directory of every task."""
    folder = tmp_path_factory.mktemp("runs")
    for task in EXAMPLES:
        small(task).save_run(folder / task)
    return folder


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    """The message of a command that must fail as a user's mistake does."""
    code, error = run(*arguments), capsys.readouterr().err
    assert code == 2
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["predict", "run", "--format", "xml"], "argument --format: invalid choice: 'xml'"),
        (["evaluate", "run"], "the following arguments are required: --data"),
        (["inspect", "classifier", "--data", "x", "--colour"], "unrecognized arguments: --colour"),
        (["predict", "run", "--n-best", "two"], "argument --n-best: invalid int value: 'two'"),
        (["fly"], "argument COMMAND: invalid choice: 'fly'"),
    ],
)
def test_a_wrong_flag_is_answered_with_one_sentence(arguments, words, capsys):
    [line] = refused(capsys, *arguments).splitlines()
    assert line.startswith("seq-models: ") and words in line
    command = "seq-models" if len(arguments) == 1 or "--colour" in arguments else f"seq-models {arguments[0]}"
    assert line.endswith(f"; `{command} --help` has all flags")


@pytest.mark.slow
def test_train_evaluate_predict_export_inspect(files, tmp_path, capsys, monkeypatch):
    directory = tmp_path / "run"
    train = ["train", "classifier", "--train", files / "class.tsv", "--valid", files / "class.tsv", "--out", directory]
    assert run(*train, "--set", "epochs=2", "units=4", "cell=gru", "watch_share=0") == 0
    assert "best epoch" in capsys.readouterr().out
    assert run("evaluate", directory, "--data", files / "class.tsv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] <= 1
    (tmp_path / "in.txt").write_text("a b\n我\n", "utf-8")
    assert run("predict", directory, "--input", tmp_path / "in.txt") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].split("\t")[0] in ("long", "short")
    assert run("export", directory, "--to", tmp_path / "models", "--name", "mood") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "models" / "mood" / "1")
    assert run("inspect", "classifier", "--data", files / "class.tsv") == 0
    assert "8" in capsys.readouterr().out
    with_held_out = ["--data", files / "class.tsv", "--held-out", files / "class.tsv", "--json"]
    assert run("inspect", "classifier", *with_held_out) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["counts"]["examples"] == report["held_out"]["shared examples"] == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "names"),
    [("language-model", ["lm.txt"]), ("labeler", ["tags.bio"]), ("encoder-decoder", ["a.en", "b.de"])],
)
def test_every_task_is_evaluated_and_asked(task, names, files, runs, capsys, tmp_path):
    assert run("evaluate", runs / task, "--data", *(files / name for name in names)) == 0
    assert capsys.readouterr().out.strip()
    (tmp_path / "in.txt").write_text("a b\n", "utf-8")
    assert run("predict", runs / task, "--input", tmp_path / "in.txt", "--json") == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


@pytest.mark.slow
def test_generate_prints_texts_that_start_with_the_prompt(runs, capsys):
    assert run("generate", runs / "language-model", "--prompt", "a b", "--count", 3, "--max-length", 4) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("a b") for line in lines)


@pytest.mark.slow
def test_train_on_one_replica_a_core_as_a_process(files, tmp_path):
    data = ["--train", files / "class.tsv", "--valid", files / "class.tsv", "--out", tmp_path / "run"]
    command = [sys.executable, "-m", "seq_models.cli", "train", "classifier", *data, "--strategy", "mirrored"]
    done = subprocess.run(
        [*map(str, command), "--set", "epochs=1", "units=3", "cell=simple_rnn", "watch_share=0"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "model.keras").is_file()
    assert "auto_shard" not in done.stderr


@pytest.mark.slow
def test_a_config_file_gives_options_and_set_overrides_them(files, tmp_path, capsys):
    (tmp_path / "c.toml").write_text(
        '[training]\nepochs = 9\nwatch_share = 0\n[text]\nmin_count = 2\n[network]\ncell = "gru"\nunits = 3\n', "utf-8"
    )
    data = ["--train", files / "class.tsv", "--valid", files / "class.tsv"]
    run("train", "classifier", *data, "--out", tmp_path / "run", "--config", tmp_path / "c.toml", "--set", "epochs=1")
    options = sm.load_run(tmp_path / "run").network.options
    assert (options.cell, options.units) == ("gru", 3)
    written = tomlkit.parse((tmp_path / "run" / "config.toml").read_text("utf-8")).unwrap()
    assert written["training"]["epochs"] == 1 and written["training"]["patience"] == 3, "defaults are written out"
    assert written["text"] | {"min_count": 2, "tokenizer": "words"} == written["text"]
    assert written["network"] == options.written()


@pytest.mark.parametrize(
    ("name", "content", "place", "expected"),
    [
        ("no_tab.tsv", "good food\tpositive\nbad food\n", "no_tab.tsv:2", "Received"),
        ("empty.tsv", "", "empty.tsv", "Received"),
        ("bytes.tsv", b"a\tb\n\xff\tb\n", "bytes.tsv:2", "UTF-8"),
        ("data.xml", "<a/>", "data.xml", ".tsv"),
        ("missing.tsv", None, "missing.tsv", "Received"),
    ],
)
def test_bad_data_is_refused_with_file_and_line(name, content, place, expected, files, tmp_path, capsys):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    arguments = ["--train", path, "--valid", files / "class.tsv", "--out", tmp_path / "run"]
    error = refused(capsys, "train", "classifier", *arguments)
    assert place in error
    assert expected in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_unequal_parallel_files_are_refused(files, tmp_path, capsys):
    (tmp_path / "short.de").write_text("a\n", "utf-8")
    pair = [files / "a.en", tmp_path / "short.de"]
    error = refused(capsys, "train", "encoder-decoder", "--train", *pair, "--valid", *pair, "--out", tmp_path / "run")
    assert "short.de" in error
    assert not (tmp_path / "run").exists()


def test_an_unknown_label_at_evaluation_counts_as_wrong_and_is_named(runs, tmp_path, capsys):
    (tmp_path / "test.tsv").write_text("a\tmiddling\nb\tmiddling\n", "utf-8")
    assert run("evaluate", runs / "classifier", "--data", tmp_path / "test.tsv") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("accuracy 0.0000") and "2 in all, middling (2)" in captured.err


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("unit=3", "units"),
        ("cell=lstn", "simple_rnn, lstm, gru"),
        ("units=-3", "positive integer"),
        ("pooling=sum", "last, mean, max, attention"),
        ("tokenizer=bpe", "whitespace, words, chars, wordpiece"),
        ("epochs=many", "positive integer"),
        ("optimizer=adamm", "adamm"),
        ("epochs", "KEY=VALUE"),
    ],
)
def test_an_option_that_is_none_or_has_a_wrong_value_is_refused(setting, expected, files, tmp_path, capsys):
    data = ["--train", files / "class.tsv", "--valid", files / "class.tsv", "--out", tmp_path / "run"]
    error = refused(capsys, "train", "classifier", *data, "--set", setting)
    assert expected in error
    assert not (tmp_path / "run").exists()


def test_a_directory_of_another_configuration_is_refused_and_left_alone(files, runs, capsys):
    before = {path: path.read_bytes() for path in (runs / "classifier").rglob("*") if path.is_file()}
    data = ["--train", files / "class.tsv", "--valid", files / "class.tsv"]
    error = refused(capsys, "train", "classifier", *data, "--out", runs / "classifier", "--set", "units=9")
    assert "units" in error
    assert before == {path: path.read_bytes() for path in (runs / "classifier").rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", [["fly"], ["train", "poet"], ["predict"], ["evaluate", "x", "--dat", "y"]])
def test_an_unknown_command_task_or_flag_is_refused(command, capsys):
    assert "seq-models" in refused(capsys, *command)


def test_a_directory_that_is_no_run_is_refused(tmp_path, capsys):
    assert "must be a run directory" in refused(capsys, "predict", tmp_path)


def test_texts_are_generated_by_language_models_only(runs, capsys):
    assert "language model" in refused(capsys, "generate", runs / "classifier")


def test_a_config_file_with_another_table_or_no_toml_is_refused(files, tmp_path, capsys):
    data = ["--train", files / "class.tsv", "--valid", files / "class.tsv", "--out", tmp_path / "run"]
    for text in ("[modle]\nunits = 3\n", "units = = 3\n"):
        (tmp_path / "c.toml").write_text(text, "utf-8")
        assert "c.toml" in refused(capsys, "train", "classifier", *data, "--config", tmp_path / "c.toml")
