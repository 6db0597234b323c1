"""Train a model into a run directory."""

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from seq_models.commands.data import add_data, examples, scores_line
from seq_models.errors import InputError, options_from_outside
from seq_models.messages import say

HELP = "train a model; the same command again goes on with its run"
TASK_NAMES = ("language-model", "labeler", "classifier", "encoder-decoder", "multi-label")
BASELINE_NAMES = ("ngram", "window")


def add(parser: ArgumentParser) -> None:
    parser.add_argument("-h", "--help", action=Help, help="show this, and the options of TASK if it stands before")
    names = (*TASK_NAMES, *BASELINE_NAMES)
    parser.add_argument("task", metavar="TASK", choices=names, help=", ".join(names))
    add_data(parser, "--train", "--valid", required=False)
    parser.add_argument("--out", metavar="DIR", help="the run directory")
    parser.add_argument(
        "--from", dest="from_run", metavar="RUN", help="begin with the vocabulary and the best weights of a run"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="a TOML file: that of --print-config, or the config.toml of a run"
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="options, over those of the file"
    )
    parser.add_argument("--print-config", action="store_true", help="print a file for --config with every option")
    parser.add_argument(
        "--strategy", choices=("one", "mirrored", "multi-worker"), help="where to train: TF_CONFIG has the workers"
    )


class Help(argparse.Action):
    """Shows the flags and, where a task stands before it, every option of the task."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        parser.print_help()
        if namespace.task is not None:
            from seq_models.catalog import MODELS
            from seq_models.commands.configuration import options_help

            print("\n" + options_help(MODELS[namespace.task].option_groups()), end="")
        parser.exit()


def run(flags: Namespace) -> None:
    from seq_models.catalog import MODELS
    from seq_models.commands.configuration import template

    task = MODELS[flags.task]
    data, values = _told(flags, task.option_groups())
    with options_from_outside():
        options: dict[str, Any] = {name: group(**values[name]) for name, group in task.option_groups().items()}
    if flags.print_config:
        print(template(flags.task, data, options), end="")
        return
    _refuse_missing({**data, "out": flags.out})
    columns = data.get("columns")
    corpora = {name: examples(data[name], columns) for name in ("train", "valid")}
    if flags.config is not None:
        _say_other_contents(flags, corpora)
    data = {**data, "columns": columns or []}
    run = task.train_into(flags.out, corpora["train"], corpora["valid"], values, data)
    best = run.read_metrics()["best"]
    print(f"{run.path}: best epoch {best['epoch']}, " + scores_line({k: v for k, v in best.items() if k != "epoch"}))


def _told(flags: Namespace, groups: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What flags say, or else the configuration file: the data, and of each group the options that are given."""
    from seq_models.commands.configuration import read_tables, settings
    from seq_models.options import grouped

    tables = {} if flags.config is None else read_tables(flags.config, flags.task, groups)
    given = {"train": flags.train, "valid": flags.valid, "columns": flags.columns, "from": flags.from_run}
    data = tables.pop("data", {}) | {name: value for name, value in given.items() if value}
    strategy = [f"strategy={flags.strategy}"] if flags.strategy else []
    over = settings([*flags.set, *strategy], groups)
    with options_from_outside():
        values = grouped({name: value for table in tables.values() for name, value in table.items()} | over, groups)
    return {name: value for name, value in data.items() if value}, values


def _say_other_contents(flags: Namespace, corpora: dict[str, Any]) -> None:
    """Says that a new run begins on other data than those of the run whose configuration it has."""
    from seq_models.commands.configuration import contents_in
    from seq_models.training.run_directory import RunDirectory

    known = contents_in(flags.config)
    others = [name for name, contents in known.items() if contents != corpora[name].contents()]
    if others and not RunDirectory(flags.out).config.exists():  # else the run that is there says so, if it differs
        paths = " and ".join(str(path) for name in others for path in corpora[name].paths)
        say(f"{flags.out} is a new run: {paths} now hold other contents than what {flags.config} was trained on.")


def _refuse_missing(data: dict[str, Any]) -> None:
    missing = [f"--{name}" for name in ("train", "valid", "out") if not data.get(name)]
    if missing:
        raise InputError(
            "A training needs --train and --valid, or a configuration file that names the data, and --out. "
            f"Received: no {' and no '.join(missing)}"
        )
