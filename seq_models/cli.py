"""The command line: parsing and printing only."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from seq_models.errors import InputError, WorkerLost, options_from_outside

WORKER_LOST = 138  # Kubernetes operators start a container again that ends with a code above 127
TABLES = ("text", "network", "training")  # of options in a configuration file
TASK_NAMES = ("language-model", "labeler", "classifier", "encoder-decoder")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code.

    0; 2 for a mistake of the user; 138 when another worker of a training was lost, 143 after SIGTERM and 130 after
    SIGINT: these three mean that the same command goes on where the training was.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the start-up chatter of TensorFlow's C++ side
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except InputError as error:
        print(f"seq-models: {error}", file=sys.stderr)
        return 2
    except WorkerLost as error:
        print(f"seq-models: {error}", file=sys.stderr)
        return WORKER_LOST
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser():
    parser = argparse.ArgumentParser("seq-models", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, help):
        sub = commands.add_parser(function.__name__.strip("_"), help=help, description=help, allow_abbrev=False)
        sub.set_defaults(command=function)
        return sub

    _add_work_on_runs(command)
    _add_work_on_exports(command)

    # The flags of the server are parsed where it is: to import it takes TensorFlow. No word starts with \0, so none of
    # them is taken for a flag here.
    help = "a development server with TensorFlow Serving's API: serve --help"
    serve = commands.add_parser("serve", help=help, add_help=False, prefix_chars="\0")
    serve.add_argument("flags", nargs="*")
    serve.set_defaults(command=_serve)
    return parser


def _add_work_on_runs(command):
    demo = command(_demo, "four tasks on the built-in corpora: train, evaluate, export, answer")
    demo.add_argument("--out", default="demo", metavar="DIR", help="where runs and exports go (default: %(default)s)")

    train = command(_train, "train a model; with the directory of a run, go on with it")
    train.add_argument("task", choices=TASK_NAMES)
    _add_data(train, "--train", "--valid")
    train.add_argument("--out", required=True, metavar="DIR", help="the run directory")
    train.add_argument("--config", metavar="FILE", help="a TOML file with tables [text], [network] and [training]")
    train.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="options, over those of the file")
    train.add_argument(
        "--strategy", choices=("one", "mirrored", "multi-worker"), help="where to train: TF_CONFIG has the workers"
    )

    evaluate = command(_evaluate, "the scores of a run on data")
    evaluate.add_argument("directory", metavar="DIR")
    _add_data(evaluate, "--data")
    evaluate.add_argument("--json", action="store_true", help="print JSON")

    predict = command(_predict, "one line in, one line out")
    predict.add_argument("directory", metavar="DIR")
    predict.add_argument("--input", metavar="FILE", help="a text a line (default: standard input)")
    predict.add_argument("--json", action="store_true", help="print whole answers, a JSON object a line")

    generate = command(_generate, "texts of a language model")
    generate.add_argument("directory", metavar="DIR")
    generate.add_argument("--prompt", default="", help="how the text starts")
    generate.add_argument("--count", type=int, default=1, help="number of texts")
    generate.add_argument("--max-length", type=int, default=40, help="tokens at most (default: %(default)s)")
    generate.add_argument("--temperature", type=float, default=1.0, help="0 for the most probable token each time")
    generate.add_argument("--seed", type=int, default=0)

    inspect = command(_inspect, "what is wrong with data, before training on it")
    inspect.add_argument("task", choices=TASK_NAMES)
    _add_data(inspect, "--data")


def _add_work_on_exports(command):
    export = command(_export, "a SavedModel for TensorFlow Serving: BASE/NAME/1, /2, …")
    export.add_argument("directory", metavar="DIR")
    export.add_argument("--to", required=True, metavar="BASE", help="the directory of all models")
    export.add_argument("--name", required=True, help="the model's name")
    export.add_argument("--version", type=int, metavar="N", help="a new version (default: one above the highest)")

    gate = command(_gate, "whether TensorFlow Serving can load a SavedModel and answer its warm-up requests")
    gate.add_argument("models", nargs="+", metavar="MODEL", help="the directory of a version")


def _add_data(parser, *flags):
    text = "a file, or two parallel files: .txt .tsv .csv .jsonl .conllu .conll .bio, each also .gz"
    for flag in flags:
        parser.add_argument(flag, nargs="+", metavar="FILE", help=text, required=True)
    parser.add_argument("--columns", nargs=2, metavar="NAME", help="the two columns or fields to read")


def _read(paths, columns):
    from seq_models.text.examples import read_examples

    # Where programs keep what they can find out again, by the XDG specification.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seq_models"
    return read_examples(*paths, columns=columns, cache=cache)


def _demo(options):
    from seq_models.demo import demo

    demo(Path(options.out))


def _train(options):
    from seq_models.tasks import TASKS
    from seq_models.training.options import TrainingOptions
    from seq_models.training.trainer import train

    overrides = {**_config_file(options.config), **dict(map(_setting, options.set))}
    if options.strategy:
        overrides["strategy"] = options.strategy
    with options_from_outside():
        training, model_options = TrainingOptions.split(overrides)
    run = train(
        TASKS[options.task],
        _read(options.train, options.columns),
        _read(options.valid, options.columns),
        options.out,
        training,
        model_options,
        {"train": options.train, "valid": options.valid, "columns": options.columns or []},
    )
    best = run.read_metrics()["best"]
    print(f"{run.path}: best epoch {best['epoch']}, " + _scores({k: v for k, v in best.items() if k != "epoch"}))


def _config_file(path):
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


def _setting(text):
    """KEY=VALUE -> (key, value): a TOML value, or else a string."""
    import tomlkit

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"--set takes KEY=VALUE. Received: {text}")
    try:
        return key, tomlkit.parse(f"value = {value}").unwrap()["value"]
    except tomlkit.exceptions.TOMLKitError:
        return key, value


def _evaluate(options):
    from seq_models.tasks import load_run

    model = load_run(options.directory)
    scores = model.score(_read(options.data, options.columns))
    print(json.dumps(scores) if options.json else _scores(scores))


def _scores(scores):
    return ", ".join(f"{name} {value:.4f}" for name, value in scores.items())


def _predict(options):
    from seq_models.tasks import load_run

    model = load_run(options.directory)
    with _lines(options.input) as lines:
        while chunk := [line for _, line in zip(range(64), lines, strict=False)]:
            for answer in model.predict_text([line.rstrip("\r\n") for line in chunk]):
                print(json.dumps(answer, ensure_ascii=False) if options.json else model.line(answer), flush=True)


def _lines(path):
    if path is None:
        return open(sys.stdin.fileno(), encoding="utf-8", errors="replace", closefd=False)
    try:
        return open(path, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path} must be a file of a text a line. Received: {error.strerror}") from error


def _generate(options):
    from seq_models.tasks import load_run

    model = load_run(options.directory)
    if model.task_name != "language-model":
        raise InputError(f"{options.directory} must be the run of a language model. Received: {model.task_name}")
    with options_from_outside():
        answers = model.generate(
            [options.prompt] * options.count, options.max_length, options.temperature, options.seed
        )
    for answer in answers:
        print(answer["text"])


def _gate(options):
    from seq_models.exports.gate import check

    for path in options.models:
        check(path)
        print(f"{path}: passed")


def _export(options):
    from seq_models.exports import export
    from seq_models.exports.server_config import check_name, write_server_config
    from seq_models.tasks import load_run

    check_name(options.name)
    path = export(load_run(options.directory), Path(options.to) / options.name, options.version)
    write_server_config(options.to, options.name)
    print(path)


def _serve(options):
    try:
        from seq_models.server import parse_flags, serve
    except ModuleNotFoundError as error:
        problem = 'seq-models serve must have its extra, pip install "seq_models[serve]"'
        raise InputError(f"{problem}. Received: {error}") from error
    serve(parse_flags(options.flags))


def _inspect(options):
    from seq_models.text.inspection import format_report, inspect_examples

    print(format_report(inspect_examples(_read(options.data, options.columns), options.task)))


if __name__ == "__main__":
    sys.exit(main())
