"""Options from outside: the help of a task, a configuration file, KEY=VALUE, and what is said of a wrong one."""

import dataclasses
import tomllib

import numpy as np
import pytest
from toy import EXAMPLES

import seq_models as sm
from seq_models import cli
from seq_models.commands.configuration import DATA
from seq_models.options import Options, expected, option
from seq_models.tasks import TASKS
from seq_models.training.options import TrainingOptions


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of labeled texts that differ."""
    folder = tmp_path_factory.mktemp("data")
    for name, examples in (("a.tsv", EXAMPLES["classifier"]), ("b.tsv", [("f g", "long"), ("h", "short")])):
        (folder / name).write_text("".join(f"{text}\t{label}\n" for text, label in examples), "utf-8")
    return folder


@pytest.fixture
def train(files, tmp_path):
    """Trains a classifier for an epoch by the command line; gives its exit code."""
    data = ["--train", files / "a.tsv", "--valid", files / "a.tsv", "--out", tmp_path / "run"]
    small = ["--set", "epochs=1", "watch_share=0", "--set", "units=3", "cell=simple_rnn", "bidirectional=false"]
    return lambda *more, known=(*data, *small): cli.main(["train", "classifier", *map(str, (*known, *more))])


def printed(capsys, *arguments):
    """What a command prints that ends well."""
    try:
        assert cli.main(list(map(str, arguments))) == 0
    except SystemExit as stop:
        assert stop.code == 0
    return capsys.readouterr().out


def items(task):
    return [(group, item) for group, own in TASKS[task].option_groups().items() for item in dataclasses.fields(own)]


@pytest.mark.parametrize("task", TASKS)
def test_no_two_options_of_a_task_have_one_name(task):
    names = [item.name for _, item in items(task)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("task", TASKS)
def test_help_of_a_task_has_every_option_with_default_bounds_and_meaning(task, capsys):
    text = printed(capsys, "train", task, "--help")
    assert "--print-config" in text
    blocks = {block.partition("]")[0]: block for block in text.split("\n[")[1:]}
    for group, item in items(task):
        [line] = [line for line in blocks[group].splitlines() if line.startswith(f"  {item.name} = ")]
        after = blocks[group].partition(line)[2].splitlines()[1]
        assert expected(item) in after and item.metadata["meaning"] in after


@pytest.mark.parametrize("task", TASKS)
def test_the_printed_configuration_holds_every_default_and_is_accepted(task, capsys, tmp_path):
    text = printed(capsys, "train", task, "--print-config")
    tables = tomllib.loads(text)
    assert tables.pop("data") == {"task": task}
    assert tables == {group: own().written() for group, own in TASKS[task].option_groups().items()}
    for _, item in items(task):
        assert f"# {item.metadata['meaning']}\n# {expected(item)}; default: " in text
        assert f"\n{item.name} = " in text or f"\n# {item.name} = …" in text
    (tmp_path / "c.toml").write_text(text, "utf-8")
    assert printed(capsys, "train", task, "--config", tmp_path / "c.toml", "--print-config") == text


def test_the_printed_configuration_has_what_is_given_beside_it(capsys):
    given = ["--set", "units=7", "--set", "batch_size=5", "--train", "a.tsv", "--from", "before"]
    tables = tomllib.loads(printed(capsys, "train", "classifier", "--print-config", *given))
    assert (tables["network"]["units"], tables["training"]["batch_size"]) == (7, 5)
    assert tables["data"] == {"task": "classifier", "train": ["a.tsv"], "from": "before"}
    examples = "\n".join(f"{name} = {value!r}" for name, value in DATA.items())
    assert tomllib.loads(examples) == DATA


@pytest.mark.slow
def test_the_configuration_of_a_run_is_accepted_and_flags_go_before_it(train, files, tmp_path, capsys):
    assert train() == 0
    first = sm.load_run(tmp_path / "run")
    (tmp_path / "c.toml").write_text("[data]\ntask = 'classifier'\ntrain_contents = ['digest']\n", "utf-8")
    assert train("--config", tmp_path / "c.toml") == 0
    config = ["--config", tmp_path / "run" / "config.toml"]
    assert train(*config, "--out", tmp_path / "again", known=()) == 0
    again = sm.load_run(tmp_path / "again")
    assert (tmp_path / "again" / "config.toml").read_text() == (tmp_path / "run" / "config.toml").read_text()
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights(), strict=True))
    assert train(*config, "--train", files / "b.tsv", "--set", "units=4", "--out", tmp_path / "b", known=()) == 0
    other = sm.load_run(tmp_path / "b")
    assert other.network.options.units == 4 and "f" in other.vocabularies()["vocabulary"]
    tables = tomllib.loads((tmp_path / "b" / "config.toml").read_text("utf-8"))
    assert tables["data"]["train"] == [str(files / "b.tsv")] and tables["data"]["valid"] == [str(files / "a.tsv")]


@pytest.mark.slow
def test_a_run_under_another_name_on_data_that_changed_is_a_new_one_and_says_so(files, tmp_path, capsys):
    data, run, other = tmp_path / "data.tsv", tmp_path / "run", tmp_path / "other"
    data.write_bytes((files / "a.tsv").read_bytes())
    options = ["--set", "epochs=1", "units=3", "cell=simple_rnn", "bidirectional=false", "watch_share=0"]
    arguments = ["--train", str(data), "--valid", str(files / "a.tsv"), *options]
    assert cli.main(["train", "classifier", *arguments, "--out", str(run)]) == 0
    again = ["train", "classifier", "--config", str(run / "config.toml"), "--out"]
    assert cli.main([*again, str(tmp_path / "same")]) == 0
    assert "is a new run" not in capsys.readouterr().err
    swapped = {"long": "short", "short": "long"}
    rows = [line.split("\t") for line in data.read_text("utf-8").splitlines()]
    data.write_text("".join(f"{text}\t{swapped[label]}\n" for text, label in rows), "utf-8")
    for said in (1, 0):  # the second time it is there, and finished
        assert cli.main([*again, str(other)]) == 0
        error = capsys.readouterr().err
        assert error.count(f"{other} is a new run: {data} now hold other contents than what {run}/config.toml") == said
    assert not np.array_equal(*(sm.load_run(each).network.head.bias.numpy() for each in (run, other)))
    assert cli.main([*again, str(run)]) == 2
    assert "must hold what" in capsys.readouterr().err


@pytest.mark.slow
def test_a_flag_that_comes_twice_names_more_files_of_one_corpus(train, files, tmp_path, capsys):
    more = ["--train", files / "b.tsv", "--valid", files / "b.tsv"]
    assert train(*more) == 0
    assert {"a", "f"} <= set(sm.load_run(tmp_path / "run").vocabularies()["vocabulary"])
    capsys.readouterr()
    both = printed(capsys, "inspect", "classifier", "--data", files / "a.tsv", "--data", files / "b.tsv")
    assert both == printed(capsys, "inspect", "classifier", "--data", files / "a.tsv", files / "b.tsv")
    assert "10" in both


@pytest.mark.slow
def test_a_run_begins_with_another_one_by_its_flag_or_its_configuration(train, files, tmp_path, capsys):
    assert train() == 0
    assert train("--from", tmp_path / "run", "--train", files / "b.tsv", "--out", tmp_path / "tuned") == 0
    words = sm.load_run(tmp_path / "tuned").vocabularies()["vocabulary"]
    assert "a" in words and "f" not in words
    assert train("--config", tmp_path / "tuned" / "config.toml", "--out", tmp_path / "again", known=()) == 0
    assert sm.load_run(tmp_path / "again").vocabularies()["vocabulary"] == words
    assert train("--from", tmp_path / "run", "--set", "dropout=0.25", "--out", tmp_path / "other") == 2
    assert "dropout must be left out or that of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["epochs=no"], "epochs must be a positive integer. Received: epochs='no'"),
        (["epochs=2.0"], "epochs must be a positive integer. Received: epochs=2.0"),
        (["epochs=[1]"], "epochs must be a positive integer. Received: epochs=[1]"),
        (["epochs="], "epochs must be a positive integer. Received: epochs=''"),
        (["epochs=true"], "epochs must be a positive integer. Received: epochs=True"),
        (["lowercase=False"], "lowercase must be true or false. Received: lowercase='False'"),
        (["bidirectional=0"], "bidirectional must be true or false. Received: bidirectional=0"),
        (["dropout=0.5x"], "dropout must be a number at least 0 and below 1. Received: dropout='0.5x'"),
        (["learning_rate=abc"], "learning_rate must be a number at least 0. Received: learning_rate='abc'"),
        (["learning_rate=inf"], "learning_rate must be a number at least 0. Received: learning_rate=inf"),
        ([f"learning_rate=1{'0' * 400}"], "learning_rate must be a number at least 0. Received: "),
        (["embedding_units=0"], "embedding_units must be a positive integer, or None. Received: embedding_units=0"),
        (["tokenizer=1"], "tokenizer must be one of whitespace, words, chars, wordpiece. Received: tokenizer='1'"),
        (["seed=4294967296"], "seed must be an integer at least 0 and below 4294967296. Received: seed=4294967296"),
        (["seed=1", "seed=1"], "seed must be set once. Received: seed=1 and seed=1"),
        (["strategy=one", "--strategy", "one"], "strategy must be set once. Received: strategy=one and strategy=one"),
        (["=3"], "--set takes KEY=VALUE. Received: =3"),
        (["epoch=3"], "epoch must be the name of an option, as epochs (training). Received: epoch=3"),
        (["Tokeniser=3"], "Tokeniser must be the name of an option, as tokenizer (text). Received: Tokeniser=3"),
        (["dropouts=3"], "dropouts must be the name of an option, as dropout (network). Received: dropouts=3"),
        (["lr=3"], "as tokenizer (text), vocabulary_size (text), min_count (text)"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(given, said, train, tmp_path, capsys):
    known = ["--train", "none.tsv", "--valid", "none.tsv", "--out", tmp_path / "run"]
    assert train("--set", *given, known=known) == 2
    error = capsys.readouterr().err
    assert error.startswith("seq-models: ") and said in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[text]\nepochs = 3\n", "epochs must be in the table [training]. Received: epochs in [text]"),
        ("[training]\nepoch = 3\n", "epoch must be the name of an option, as epochs (training). Received: epoch=3"),
        ("[training]\nepochs = 0\n", "epochs must be a positive integer. Received: epochs=0"),
        (
            "epochs = 3\n",
            "must hold the tables [data], [text], [network], [embeddings], [training] only. Received: epochs",
        ),
        ("text = 3\n", "must hold the tables [data], [text], [network], [embeddings], [training] only. Received: text"),
        ("[data]\ntask = 'labeler'\n", "must be a configuration of the task classifier. Received: 'labeler'"),
        ("[data]\ntest = ['a.tsv']\n", "must hold task, train, valid, columns, from only. Received: test"),
        ("[data]\ntrain = 'a.tsv'\n", "train in c.toml must be as ['train.tsv']. Received: 'a.tsv'"),
        ("[data]\ncolumns = ['a', 3]\n", "columns in c.toml must be as ['text', 'label']. Received: ['a', 3]"),
        ("[data]\nfrom = ['a']\n", "from in c.toml must be as 'runs/before'. Received: ['a']"),
        ("[data]\ntrain = ['a.tsv']\n", "Received: no --valid"),
        ("a = = 3\n", "c.toml must be a TOML file. Received: "),
        ("\xff", "c.toml must be a TOML file. Received: "),
        (None, "c.toml must be a TOML file. Received: "),
    ],
)
def test_a_wrong_configuration_file_is_one_sentence(text, said, train, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "c.toml").write_text(text, "latin-1")
    assert train("--config", "c.toml", "--out", "run", known=()) == 2
    error = capsys.readouterr().err
    assert error.startswith("seq-models: ") and said in error
    assert len(error.splitlines()) == 1


def test_without_data_or_a_directory_a_training_says_which_is_missing(train, tmp_path, capsys):
    assert train(known=()) == 2
    assert "Received: no --train and no --valid and no --out" in capsys.readouterr().err


def test_in_python_too_an_unknown_option_lists_close_ones_of_all_groups():
    make = TASKS["classifier"].from_examples
    for name, said in {
        "epoch": "epochs (training)",
        "unit": "units (network)",
        "tokeniser": "tokenizer (text)",
    }.items():
        with pytest.raises(ValueError) as refused:
            make(EXAMPLES["classifier"], **{name: 3})
        assert str(refused.value) == f"{name} must be the name of an option, as {said}. Received: {name}=3"
    with pytest.raises(ValueError, match="epochs must be left to the training. Received: epochs=3"):
        make(EXAMPLES["classifier"], epochs=3)


def test_numbers_of_numpy_become_plain_ones():
    options = TrainingOptions(epochs=np.int64(3), learning_rate=np.float32(0.5), clip_norm=2, batch_size=np.uint8(4))
    values = options.epochs, options.learning_rate, options.clip_norm, options.batch_size
    assert values == (3, 0.5, 2.0, 4) and [type(value) for value in values] == [int, float, float, int]
    for name, value in {"epochs": np.float64(3), "batch_size": np.int64(0), "learning_rate": np.bool_(True)}.items():
        with pytest.raises(ValueError, match=f"{name} must be"):
            TrainingOptions(**{name: value})


def test_a_field_is_defined_once_for_values_help_and_identity():
    @dataclasses.dataclass(frozen=True)
    class Own(Options):
        share: float | None = option(None, "a share", operational=True, above=0, below=1)
        name: str = option("x", "a name", choices={"x": 1, "y": 2})

    share, name = dataclasses.fields(Own)
    assert expected(share) == "a number above 0 and below 1, or None"
    assert expected(name) == "one of x, y"
    assert Own.operational() == {"share"} and Own().written() == {"name": "x"}
    for bad in (0, 1, "0.5", float("nan"), True):
        with pytest.raises(ValueError, match="share must be a number above 0 and below 1, or None"):
            Own(share=bad)


def test_the_version_is_said(capsys):
    assert printed(capsys, "--version") == f"seq-models {sm.__version__}\n"
