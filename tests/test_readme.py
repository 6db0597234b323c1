"""The README is true: its commands and its Python run, and its figures are those that were measured."""

import importlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import requests

from seq_models import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
sys.path[:0] = [str(ROOT / folder) for folder in ("benchmarks", "checks")]

TRAIN = [
    ("I like this phone , the camera is great", "positive"),
    ("the battery is bad and the screen is dull", "negative"),
    ("great camera , great screen", "positive"),
    ("I do not like the dull screen", "negative"),
    ("this phone is great", "positive"),
    ("a bad phone with a bad camera", "negative"),
] * 4


def section(name):
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.S).group(1)


def block(name):
    return re.search(r"```\w*\n(.*?)```", section(name), re.S).group(1)


ANSWER = {"label", "score", "abstain", "probabilities", "classes"}


def run(line, capsys):
    """What a command line of the README prints."""
    name, *arguments = shlex.split(line)
    assert name == "seq-models"
    assert cli.main(arguments) == 0, line
    printed = capsys.readouterr().out
    assert printed, line
    return printed


@pytest.fixture(scope="module")
def folder_with_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    table = "".join(f"{text}\t{label}\n" for text, label in TRAIN)
    (folder / "train.tsv").write_text(table, "utf-8")
    (folder / "valid.tsv").write_text(table, "utf-8")
    (folder / "texts.txt").write_text("".join(text + "\n" for text, _ in TRAIN), "utf-8")
    (folder / "train.conll").write_text("New York\tB-LOC\nsleeps\tO\n\nRain\tO\nfalls\tO\n\n" * 4, "utf-8")
    return folder


@pytest.fixture
def in_folder_with_files(folder_with_files, monkeypatch):
    """One folder for all: a `train` that an earlier test has come to the end of leaves its run as it is."""
    monkeypatch.chdir(folder_with_files)


@pytest.mark.slow
def test_the_python_example_prints_what_the_readme_says(in_folder_with_files, capsys):
    exec(compile(block("python"), "README.md", "exec"), {})
    assert capsys.readouterr().out == block("output")


@pytest.mark.slow
def test_the_commands_run_one_after_the_other(in_folder_with_files, capsys):
    printed = {line: run(line, capsys) for line in [*block("commands").splitlines(), *block("report").splitlines()]}
    *_, reported, scores, answers = printed.values()
    report = Path("reports/mood")
    assert {path.name for path in report.iterdir()} == {"report.txt", "confusion.png", "reliability.png", "errors.tsv"}
    assert (report / "report.txt").read_text("utf-8") in reported
    for head in ("label", "length", "confusion"):
        assert re.search(f"^{head}", reported, re.M)
    assert json.loads(scores).keys() == {"accuracy", "f1", "ece"}
    assert [json.loads(line).keys() for line in answers.splitlines()] == [ANSWER] * len(TRAIN)


@pytest.mark.slow
def test_the_export_is_served_as_the_readme_says(in_folder_with_files, capsys):
    """The commands one after the other, on free ports; the answer is read by a client as by curl."""
    *of_tokens, curl_of_tokens = block("tokens").splitlines()
    export_lm, curl_of_start = block("streaming").splitlines()
    *_, train_lm, _, _, _, _ = block("commands").splitlines()
    export, gate, *_ = block("serving").splitlines()
    for line in (block("commands").splitlines()[1], export, gate, *of_tokens, train_lm, export_lm):
        run(line, capsys)
    _, _, serve, status, curl, _ = map(shlex.split, block("serving").splitlines())
    assert serve[-1] == "&"
    words = [sys.executable, "-m", "seq_models.cli", *serve[1:-1], "--port", "0", "--rest_api_port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().split("REST at ")[1].strip()
            assert requests.get(address + status[-1].split("/v1/models")[1], timeout=60).json()
            curls = curl, shlex.split(curl_of_tokens), shlex.split(curl_of_start)
            answer, answer_to_tokens, answer_of_start = (asked(address, words) for words in curls)
        finally:
            process.terminate()
            assert process.wait(60) == 0
    assert [row.keys() for row in answer["predictions"]] == [ANSWER] * 2
    assert [row["tokens"] for row in answer_to_tokens["predictions"]] == [["New York", "sleeps"], ["Rain", ""]]
    assert [row.keys() for row in answer_of_start["predictions"]] == [{"words", "probabilities", "states"}]


def asked(address, curl):
    """What a server answers to the request of a curl command."""
    path = curl[-1].split("/v1/models")[1]
    return requests.post(address + path, data=curl[curl.index("-d") + 1], timeout=60).json()


def test_every_command_of_the_readme_is_in_a_block_that_a_test_runs():
    run_here = [block(name) for name in ("commands", "report", "serving", "streaming", "tokens", "install")]
    shown = re.findall(r"^(?:seq-models|curl) .*", README, re.M)
    assert len(shown) > 10 and all(any(line in text for text in run_here) for line in shown)


def test_what_is_installed_has_the_extras_and_constraints_that_the_readme_names():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    make, activate, pip, version = map(shlex.split, block("install").splitlines())
    assert make[-1] == ".venv" and activate[-1] == ".venv/bin/activate"
    assert (ROOT / pip[pip.index("--constraint") + 1]).is_file()
    assert set(re.search(r"\[(.*)\]", pip[-1])[1].split(",")) <= settings["optional-dependencies"].keys()
    with pytest.raises(SystemExit, match="^0$"):
        cli.main(version[1:])


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_table_of_real_text_is_what_was_measured():
    import real_text

    records = json.loads((ROOT / "benchmarks" / "results" / "real_text.json").read_text("utf-8"))
    assert section("real-text").strip() == real_text.table(records).strip()
    assert all(record["reached"] for record in records.values())


@pytest.mark.parametrize(
    "name, script, table",
    [
        ("recurrence", "benchmarks/recurrence", "summary"),
        ("train-step", "benchmarks/train_step", "table"),
        ("whole-jobs", "benchmarks/whole_jobs", "table"),
        ("scaling", "benchmarks/scaling", "table"),
        ("long-memory", "benchmarks/long_memory", "table"),
        ("resume", "checks/resume", "table"),
        ("pipeline", "benchmarks/pipeline", "table"),
        ("workers", "checks/workers", "table"),
        ("watching", "benchmarks/watching", "table"),
        ("serving-table", "benchmarks/serving", "table"),
    ],
)
def test_the_tables_are_what_was_measured(name, script, table):
    folder, script = script.split("/")
    result = json.loads((ROOT / folder / "results" / f"{script}.json").read_text("utf-8"))
    assert section(name).strip() == getattr(importlib.import_module(script), table)(result).strip()


@pytest.mark.parametrize("script", ["language_models", "encoder_decoder"])
def test_a_page_of_trainings_is_what_was_measured(script):
    script = importlib.import_module(script)
    records = json.loads(script.RESULTS.read_text("utf-8"))
    page = script.PAGE.read_text("utf-8")
    assert records.keys() == script.ROWS.keys()
    assert page == script.written(page, records)
    for record in records.values():
        assert f"| {record['seconds']} | {record['peak MB']} |" in page
        cli.make_parser().parse_args(shlex.split(record["command"])[1:])


def test_language_models_reach_the_published_perplexities():
    import language_models

    records = json.loads(language_models.RESULTS.read_text("utf-8"))
    assert records["kneser_ney-5"]["perplexity"]["test"] == pytest.approx(141.2, abs=1.5)
    published = {"lstm-2x200": 114.5, "lstm-2x400-hour": 90}
    assert all(records[name]["perplexity"]["test"] <= figure for name, figure in published.items())
    assert records["lstm-2x200"]["perplexity"]["test"] < 114.5  # as published


@pytest.mark.parametrize("script", ["memory", "adaptive_softmax"])
def test_the_tables_of_large_vocabularies_are_what_was_measured(script):
    module = importlib.import_module(script)
    page = module.PAGE.read_text("utf-8")
    assert module.written(page, json.loads(module.RESULTS.read_text("utf-8"))) == page


def test_memory_is_bounded_over_two_vocabularies_as_was_measured():
    import memory

    records = json.loads(memory.RESULTS.read_text("utf-8"))
    assert records.keys() == set(map(str, memory.SIZES))
    small, large = (max(records[str(V)].values()) for V in memory.SIZES)
    assert small < 4000 and large < 1.2 * 4000


def test_the_weights_for_pytorch_are_named_as_the_readme_says(capsys):
    exec(compile(block("torch"), "README.md", "exec"), {})
    assert capsys.readouterr().out == block("torch-output")


def test_every_measured_command_is_one_that_the_command_line_takes():
    import real_text

    for name, (command, scored, *_) in real_text.RECIPES.items():
        cli.make_parser().parse_args(shlex.split(f"train {command} --out runs/{name}"))
        cli.make_parser().parse_args(shlex.split(f"evaluate runs/{name} --data {scored}"))


def test_the_benchmark_of_defaults_has_no_options_and_the_test_data_of_the_tuned_figures():
    import defaults
    import real_text

    assert len(defaults.RECIPES) == len(real_text.RECIPES) + 1
    for name, (command, scored, score) in defaults.RECIPES.items():
        flags = cli.make_parser().parse_args(shlex.split(f"train {command} --out runs/{name}"))
        assert flags.set == [] and flags.train and flags.valid
        cli.make_parser().parse_args(shlex.split(f"evaluate runs/{name} --data {scored}"))
        if name in real_text.RECIPES:
            assert (scored, score) == (real_text.RECIPES[name][1], real_text.RECIPES[name][2][0])


def test_the_table_of_defaults_has_both_scores_and_what_is_not_measured_is_empty():
    import defaults

    record = {"score": "accuracy", "with defaults": 0.91234, "tuned": 0.9463, "training seconds": 90}
    unknown = {"accuracy on unknown words": {"with unknown_share": 0.75, "without": 0.5}}
    lines = defaults.table({"sst2": record, "dutch": {**record, "tuned": None, **unknown}}).splitlines()
    assert lines[2:] == [
        "| sst2 | accuracy | 0.9123 | 0.9463 | 90 s |  |  |",
        "| dutch | accuracy | 0.9123 |  | 90 s | 0.75 | 0.5 |",
    ]
