"""Train a model into a run directory."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from seq_models.commands.data import add_data, examples, scores_line
from seq_models.errors import InputError, options_from_outside

HELP = "train a model; with the directory of a run, go on with it"
TABLES = ("text", "network", "training")  # of options in a configuration file
TASK_NAMES = ("language-model", "labeler", "classifier", "encoder-decoder")


def add(parser: ArgumentParser) -> None:
    parser.add_argument("task", choices=TASK_NAMES)
    add_data(parser, "--train", "--valid")
    parser.add_argument("--out", required=True, metavar="DIR", help="the run directory")
    parser.add_argument("--config", metavar="FILE", help="a TOML file with tables [text], [network] and [training]")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="options, over those of the file")
    parser.add_argument(
        "--strategy", choices=("one", "mirrored", "multi-worker"), help="where to train: TF_CONFIG has the workers"
    )


def run(options: Namespace) -> None:
    from seq_models.tasks import TASKS
    from seq_models.training.options import TrainingOptions
    from seq_models.training.trainer import train

    overrides = {**_config_file(options.config), **dict(map(setting, options.set))}
    if options.strategy:
        overrides["strategy"] = options.strategy
    with options_from_outside():
        training, model_options = TrainingOptions.split(overrides)
    run = train(
        TASKS[options.task],
        examples(options.train, options.columns),
        examples(options.valid, options.columns),
        options.out,
        training,
        model_options,
        {"train": options.train, "valid": options.valid, "columns": options.columns or []},
    )
    best = run.read_metrics()["best"]
    print(f"{run.path}: best epoch {best['epoch']}, " + scores_line({k: v for k, v in best.items() if k != "epoch"}))


def _config_file(path: str | None) -> dict[str, Any]:
    import tomlkit

    if path is None:
        return {}
    try:
        tables = tomlkit.parse(Path(path).read_text("utf-8")).unwrap()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} must be a TOML file. Received: {error}") from error
    for unknown in [name for name in tables if name not in TABLES]:
        raise InputError(f"{path} must hold the tables [text], [network] and [training] only. Received: {unknown}")
    return {key: value for name in TABLES for key, value in tables.get(name, {}).items()}


def setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE -> (key, value): a TOML value, or else a string."""
    import tomlkit

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"--set takes KEY=VALUE. Received: {text}")
    try:
        return key, tomlkit.parse(f"value = {value}").unwrap()["value"]
    except tomlkit.exceptions.TOMLKitError:
        return key, value
