"""No data lost and no traceback: damaged runs, two processes, full disks, data that change, full outputs."""

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from toy import EXAMPLES, PLAIN, small

from seq_models import cli
from seq_models.errors import InputError
from seq_models.exports import versions
from seq_models.tasks import TASKS
from seq_models.text.counting import count_shared
from seq_models.text.examples import read_examples
from seq_models.training import trainer
from seq_models.training.lock import LOCK, locked
from seq_models.training.options import TrainingOptions
from seq_models.training.run_directory import RunDirectory

exporting = importlib.import_module("seq_models.exports.export")  # the name is that of its function too
ROWS = "".join(f"{text}\t{label}\n" for text, label in EXAMPLES["classifier"])


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.tsv"
    path.write_text(ROWS, "utf-8")
    return path


def train(data, out, **options):
    options = {"epochs": 2, "batch_size": 4, "watch_share": 0, **options}
    examples = read_examples(data) if isinstance(data, Path) else data
    task = TASKS["classifier"]
    return trainer.train(task, examples, examples, out, TrainingOptions(**options), PLAIN, {})


def stopped(data, out, monkeypatch, **options):
    """A run that was asked to end after its first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(trainer.StopOnNaN, "on_epoch_end", on_epoch_end)
        train(data, out, **options)
    return RunDirectory(out)


def files(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# Sentences


@pytest.mark.slow
def test_a_training_says_that_it_saved_where_it_goes_on_and_that_it_has_ended(data, tmp_path, monkeypatch, capsys):
    run = stopped(data, tmp_path / "run", monkeypatch)
    said = capsys.readouterr().err
    assert "8 of the validation examples are training examples too" in said
    assert "it is saved, and the same command goes on in epoch 2 after batch 0" in said
    train(data, run.path)
    assert f"{run.path} goes on in epoch 2 after batch 0." in capsys.readouterr().err
    before = files(run.path)
    train(data, run.path)
    assert f"{run.path} has had its 2 epochs and stays as it is" in capsys.readouterr().err
    assert files(run.path) == before


@pytest.mark.slow
def test_an_early_end_says_why_and_which_epoch_was_best(data, tmp_path, capsys):
    run = train(data, tmp_path / "run", epochs=9, patience=1, learning_rate=0.0)
    score = run.read_metrics()["best"]["val_accuracy"]
    expected = f"after 2 of 9 epochs: none of the last 1 was better than epoch 1, with val_accuracy {score:.4f}."
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("task", TASKS)
def test_shared_examples_are_counted_whole_and_once(task):
    examples = EXAMPLES[task]
    assert count_shared(examples, examples[2:4] + examples[2:3]) == 3
    assert count_shared(examples[:3], examples[3:]) == 0


def test_the_same_text_with_another_label_is_another_example():
    assert count_shared([("a", "x")], [("a", "y")]) == 0


# The data of a run


@pytest.mark.slow
def test_a_run_goes_on_with_moved_data_and_not_with_other_data(data, tmp_path, monkeypatch):
    run = stopped(data, tmp_path / "run", monkeypatch)
    data.write_text("".join(reversed(ROWS.splitlines(keepends=True))))
    before = files(run.path)
    with pytest.raises(InputError, match="rows.tsv must hold what .*run was begun with; .* Received: other contents"):
        train(data, run.path)
    assert files(run.path) == before
    data.write_text(ROWS)
    assert train(data.rename(tmp_path / "moved.tsv"), run.path).read_metrics()["finished"]


def test_a_run_on_lists_is_bound_to_them_too(tmp_path, monkeypatch):
    run = stopped(EXAMPLES["classifier"], tmp_path / "run", monkeypatch)
    with pytest.raises(InputError, match="The train data must hold what"):
        train(EXAMPLES["classifier"][::-1], run.path)


@pytest.mark.parametrize("change", ["other rows", "fewer rows", "another label", "gone"])
def test_data_that_change_during_a_training_are_named(change, data, tmp_path, monkeypatch):
    changes = {
        "other rows": lambda: data.write_text(ROWS.replace("a", "b")),
        "fewer rows": lambda: data.write_text("a\tlong\n"),
        "another label": lambda: data.write_text(ROWS.replace("short", "middling")),
        "gone": data.unlink,
    }
    monkeypatch.setattr(trainer.StopOnNaN, "on_epoch_begin", lambda *_, **__: changes[change]() if data.exists() else 0)
    expected = "must stay as it is while it is trained on|expected a file that can be read"
    with pytest.raises(InputError, match=f"rows.tsv:? ({expected})"):
        train(data, tmp_path / "run", epochs=3)
    assert not (tmp_path / "run" / "model.keras").exists()


# Damage


def test_without_a_whole_checkpoint_the_best_model_stays(data, tmp_path, monkeypatch, capsys):
    run = stopped(data, tmp_path / "run", monkeypatch)
    for path in run.checkpoints.iterdir():
        path.write_bytes(b"damaged")
    before = files(run.path)
    with pytest.raises(InputError, match="must hold a whole checkpoint to go on from; .*model.keras stays as it is"):
        train(data, run.path)
    assert files(run.path) == before
    assert capsys.readouterr().err.count("is damaged and left out") == len(list(run.checkpoints.iterdir()))


DAMAGE = {"model.keras": b"PK\x03\x04 cut", "config.toml": b"= =", "metrics.json": b"{}"}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGE)
def test_a_training_does_not_go_on_with_damaged_files(name, data, tmp_path, monkeypatch):
    run = stopped(data, tmp_path / "run", monkeypatch)
    (run.path / name).write_bytes(DAMAGE[name])
    with pytest.raises(InputError, match=f"{name} must be .* Received: "):
        train(data, run.path)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [None, b"", DAMAGE["model.keras"]], ids=["gone", "empty", "cut"])
def test_a_training_that_has_ended_says_so_only_of_a_whole_model(damage, data, tmp_path, capsys):
    path = tmp_path / "run"
    train(data, path)
    capsys.readouterr()
    train(data, path)
    assert "has had its 2 epochs" in capsys.readouterr().err
    (path / "model.keras").unlink()
    if damage is not None:
        (path / "model.keras").write_bytes(damage)
    with pytest.raises(InputError, match=r"model.keras must be the best model so far, whole. Received: "):
        train(data, path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of a saved run."""
    model = small("classifier")
    model.sample_texts = ["a b"]
    model.save_run(directory := tmp_path_factory.mktemp("whole") / "run")
    return files(directory)


def cut(data):
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    "damage", [cut, lambda _: b"", lambda _: b"\xff[1]", None], ids=["cut", "empty", "other", "directory"]
)
@pytest.mark.parametrize("name", ["model.keras", "sample_texts.json", "vocabulary.txt", "labels.txt"])
def test_a_damaged_file_of_a_run_is_one_sentence(name, damage, whole, data, tmp_path, capsys):
    for path, content in whole.items():
        (tmp_path / path.name).write_bytes(content if path.name != name or damage is None else damage(content))
    if damage is None:
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
    for words in (["evaluate", tmp_path, "--data", data], ["export", tmp_path, "--to", tmp_path / "x", "--name", "m"]):
        assert cli.main(list(map(str, words))) == 2
        [said] = capsys.readouterr().err.splitlines()
        assert name in said and "not found" not in said
    assert not (tmp_path / "x").exists()


# Two processes


def _hold(directory, held, end):
    with locked(Path(directory)):
        held.set()
        end.wait(60)


@pytest.mark.slow
def test_a_lock_names_the_other_process_and_ends_with_it(data, tmp_path):
    context = multiprocessing.get_context("spawn")
    held, end = context.Event(), context.Event()
    other = context.Process(target=_hold, args=[str(tmp_path / "run"), held, end])
    other.start()
    assert held.wait(60)
    with pytest.raises(InputError, match=f"one process at a time. Received: process {other.pid} on "):
        train(data, tmp_path / "run")
    other.kill()
    other.join()
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
    assert train(data, tmp_path / "run", epochs=1).read_metrics()["finished"]
    assert not (tmp_path / "run" / LOCK).exists()


def test_of_a_training_that_cannot_begin_no_directory_stays(tmp_path):
    with pytest.raises(InputError):
        train([3], tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Disks and outputs


@pytest.mark.slow
@pytest.mark.parametrize("place", ["save", "metrics"])
def test_a_full_disk_is_one_sentence_and_the_training_goes_on_later(place, data, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        target = {"save": (keras.Model, "save"), "metrics": (Path, "write_text")}[place]
        patched.setattr(*target, full)
        with pytest.raises(InputError, match="must be on a disk that can be written to and has room"):
            train(data, tmp_path / "run")
    assert not [path for path in (tmp_path / "run").rglob(".*")] if (tmp_path / "run").exists() else True
    assert train(data, tmp_path / "run").read_metrics()["finished"]


def test_of_a_model_that_cannot_be_saved_whole_the_one_before_stays(tmp_path, monkeypatch):
    small("classifier").save_run(tmp_path)
    before = files(tmp_path)
    monkeypatch.setattr(keras.Model, "save", lambda _, path: (path.write_bytes(b"cut"), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        small("classifier").save_run(tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("out", "expected"),
    [("x" * 300, "File name too long"), ("a\0b", "NUL"), ("rows.tsv/run", "Not a directory"), ("/proc/run", "")],
)
def test_a_place_that_cannot_be_is_one_sentence(out, expected, data, tmp_path, capsys):
    words = ["train", "classifier", "--train", data, "--valid", data, "--out", tmp_path / out, "--set", "epochs=1"]
    assert cli.main(list(map(str, words))) == 2
    said = capsys.readouterr().err.splitlines()
    assert expected in said[-1] and not [line for line in said if not line.startswith("seq-models: ")]


@pytest.mark.slow
def test_an_output_that_is_full_is_one_sentence(data):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "seq_models.cli", "inspect", "classifier", "--data", data]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=env)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("Received: No space left on device") and "Traceback" not in done.stderr


def test_an_interrupt_outside_of_a_training_is_one_sentence(monkeypatch, capsys, data):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.COMMANDS["inspect"], "run", interrupted)
    assert cli.main(["inspect", "classifier", "--data", str(data)]) == 130
    assert capsys.readouterr().err == "seq-models: Interrupted.\n"


def test_a_fault_of_the_program_is_no_sentence(monkeypatch, data):
    def wrong(_):
        raise ValueError("two shapes")

    monkeypatch.setattr(cli.COMMANDS["inspect"], "run", wrong)
    with pytest.raises(ValueError, match="two shapes"):
        cli.main(["inspect", "classifier", "--data", str(data)])


@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_no_example_and_one_that_cannot_learn_are_refused(task):
    with pytest.raises(ValueError, match="There must be at least one example. Received: none"):
        TASKS[task].from_examples([])
    model = small(task)
    model.compile()
    model.trainable = False
    with pytest.raises(ValueError, match="must have a weight with trainable=True to be fitted. Received: none"):
        model.fit(model.dataset(EXAMPLES[task]), verbose=0)


def write_nothing(_, path):
    path.mkdir()


def nothing(*_):
    return []


@pytest.mark.parametrize("place", ["manifest", "rename", "tensorflow"])
def test_an_export_to_a_full_disk_is_one_sentence_and_blocks_no_version(place, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def exhausted(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    for name, function in (("write", write_nothing), ("check", nothing), ("probes_of", nothing)):
        monkeypatch.setattr(exporting, name, function)
    monkeypatch.setattr(exporting.warmup, "write", nothing)
    monkeypatch.setattr(exporting, "manifest_of", lambda *_: "{}")
    with monkeypatch.context() as patched, pytest.raises(InputError, match="has room; .* Received: No space left"):
        where = {"manifest": (versions, "flush"), "rename": (versions.os, "rename"), "tensorflow": (exporting, "write")}
        patched.setattr(*where[place], exhausted if place == "tensorflow" else full)
        exporting.export(small("classifier"), tmp_path, version=3)
    assert not [path for path in tmp_path.rglob("*") if path.name != "manifests"]
    assert exporting.export(small("classifier"), tmp_path, version=3).name == "3"
