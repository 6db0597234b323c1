"""What a training is told from outside: a TOML file with a table for each group of options, and KEY=VALUE beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import tomlkit

from seq_models.errors import InputError, options_from_outside, shortened
from seq_models.options import Options, expected, grouped, kind_of

Groups = Mapping[str, type[Options]]
Tables = dict[str, dict[str, Any]]
# What [data] may hold, each as if given by the flag of its name, and an example of it.
DATA = {
    "train": ["train.tsv"],
    "valid": ["valid.tsv"],
    "columns": ["text", "label"],
    "from": "runs/before",
}


def read_tables(path: str, task: str, groups: Groups) -> Tables:
    """The tables of a configuration file: those of the options, and [data].

    Raises:
        InputError: If it is no TOML file, or holds what is none of the task's.
    """
    try:
        tables = tomlkit.parse(Path(path).read_text("utf-8")).unwrap()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} must be a TOML file. Received: {error}") from error
    for name, table in tables.items():
        if name not in ("data", *groups) or not isinstance(table, dict):
            known = ", ".join(f"[{group}]" for group in ("data", *groups))
            raise InputError(f"{path} must hold the tables {known} only. Received: {name}")
    # What the files of a run held is no wish of anybody.
    data = {name: value for name, value in tables.get("data", {}).items() if not name.endswith("_contents")}
    if (other := data.pop("task", task)) != task:
        raise InputError(f"{path} must be a configuration of the task {task}. Received: {other!r}")
    for name, value in data.items():
        if name not in DATA:
            raise InputError(f"The table [data] of {path} must hold task, {', '.join(DATA)} only. Received: {name}")
        if not _like(value, DATA[name]):
            raise InputError(f"{name} in {path} must be as {DATA[name]!r}. Received: {shortened(repr(value), 60)}")
    return {"data": data, **{group: _own_table(path, group, tables.get(group, {}), groups) for group in groups}}


def contents_in(path: str) -> dict[str, list[str]]:
    """What the data held that a run was trained on, by what they are for, if a configuration file is that of a run."""
    data = tomlkit.parse(Path(path).read_text("utf-8")).unwrap().get("data", {})
    return {name: data[f"{name}_contents"] for name in ("train", "valid") if f"{name}_contents" in data}


def _own_table(path, group, table, groups):
    """The table of a group, which must hold no option of another one."""
    with options_from_outside(path):
        for owner, values in grouped(table, groups).items():
            for name in values if owner != group else ():
                raise ValueError(f"{name} must be in the table [{owner}]. Received: {name} in [{group}]")
    return table


def _like(value, example):
    """Whether a value is a text as the example is one, or a list of texts."""
    texts = value if isinstance(example, list) and isinstance(value, list) else [value]
    return type(value) is type(example) and all(isinstance(text, str) for text in texts)


def settings(texts: Sequence[str], groups: Groups) -> dict[str, Any]:
    """KEY=VALUE, … -> values by key: TOML values, or else texts.

    Raises:
        InputError: If one is not of this form, or a key comes twice.
    """
    strings = {item.name for options in groups.values() for item in fields(options) if kind_of(item) is str}
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"--set takes KEY=VALUE. Received: {text}")
        if key in values:
            raise InputError(f"{key} must be set once. Received: {key}={values[key]} and {text}")
        values[key] = _toml_value(value)
        if key in strings and not isinstance(values[key], str):
            values[key] = value
    return values


def _toml_value(text):
    try:
        return tomlkit.parse(f"value = {text}").unwrap()["value"]
    except tomlkit.exceptions.TOMLKitError:
        return text


def template(task: str, data: Mapping[str, Any], options: Mapping[str, Options]) -> str:
    """A configuration file of a task with every option: its meaning, what it may be, its default and its value.

    Args:
        task: The name of the task.
        data: What [data] holds.
        options: The options by the name of their table.
    """
    lines = [
        f"# seq-models train {task} --config FILE",
        "# A line `# KEY = …` is left out; give it a value and take away the #. Flags override what is written here.",
        "",
        "[data]",
        *_pair("task", task),
        *(line for name, example in DATA.items() for line in _pair(name, data.get(name), example)),
    ]
    lines += [""]
    for table, values in options.items():
        lines += [f"[{table}]"]
        for item in fields(values):
            lines += [f"# {item.metadata['meaning']}", f"# {expected(item)}; default: {_toml(item.default)}"]
            lines += [*_pair(item.name, getattr(values, item.name)), ""]
    return "\n".join(lines)


def _pair(name, value, example=None):
    """A line of TOML; without a value a comment that shows how it would look."""
    if value is not None:
        return [f"{name} = {_toml(value)}"]
    return [f"# {name} = {'…' if example is None else _toml(example)}"]


def options_help(groups: Groups) -> str:
    """Every option: its name, default, what it may be and what it means."""
    lines = ["options of --set, each in its table of --config:"]
    for table, options in groups.items():
        lines += ["", f"[{table}]"]
        for item in fields(options):
            lines += [f"  {item.name} = {_toml(item.default)}", f"      {expected(item)}: {item.metadata['meaning']}"]
    return "\n".join(lines) + "\n"


def _toml(value):
    """A value as TOML writes it; None, which it cannot write, as Python does."""
    return "None" if value is None else tomlkit.item(value).as_string()
