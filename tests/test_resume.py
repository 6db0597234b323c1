"""A training that is ended at any moment goes on bit for bit: in this process by exceptions, in others by signals."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from toy import EXAMPLES, PLAIN

import seq_models as sm
from seq_models import cli
from seq_models.tasks import TASKS
from seq_models.training import resume, trainer
from seq_models.training.resume import Resume, Termination
from seq_models.training.run_directory import RunDirectory

EPOCHS, BATCHES = 3, 3  # of 3 examples each, two in the last one


def run(directory, task="classifier", network=PLAIN, **options):
    """Trains, with a checkpoint after every batch."""
    options = {"epochs": EPOCHS, "batch_size": 3, "learning_rate": 0.05, "patience": 2, "watch_share": 0, **options}
    options = TASKS[task].training_options_class(**{"checkpoint_seconds": 0, **options})
    model_options = {"tokenizer": "whitespace", "units": 4, "embedding_units": 3, **network, "dropout": 0.3}
    data = EXAMPLES[task]
    return trainer.train(TASKS[task], data, data, directory, options, model_options, {})


def run_and_kill(directory, after, *arguments, **options):
    """Two runs: a whole one, and what a kill after so many batches leaves of it, a copy of its directory then."""
    plain, batches = Resume.on_train_batch_end, itertools.count(1)

    def on_train_batch_end(self, batch, logs=None):
        plain(self, batch, logs)
        if next(batches) == after:
            shutil.copytree(directory / "whole", directory / "killed")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Resume, "on_train_batch_end", on_train_batch_end)
        whole = run(directory / "whole", *arguments, **options)
    return whole, RunDirectory(directory / "killed")


def result(found):
    """The scores of every epoch and the weights that a training ends with."""
    return found.read_metrics(), sm.load_run(found.path).get_weights()


def contents(found):
    """All that a training leaves behind which depends on the numbers, if it saves after the same batches."""
    scores, weights = result(found)
    newest, _ = trainer.Checkpoints(found.checkpoints).newest(pytest.fail)
    return scores, [*weights, *newest.values()]


def assert_bit_equal(one, other):
    assert one[0] == other[0]
    assert all(np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True))


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """The contents of a whole run, and the directory that a kill at the end of its second epoch has left of it."""
    whole, killed = run_and_kill(tmp_path_factory.mktemp("runs"), 2 * BATCHES)
    return contents(whole), killed.path


@pytest.fixture
def whole(two_runs):
    """What a whole run leaves behind."""
    return two_runs[0]


@pytest.fixture
def killed(two_runs, tmp_path):
    """A copy of what a kill has left of the same run."""
    return RunDirectory(shutil.copytree(two_runs[1], tmp_path / "killed"))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_in_the_middle_of_an_epoch_a_training_goes_on_as_if_nothing_had_been(tmp_path, task):
    whole, killed = run_and_kill(tmp_path, BATCHES + 2, task, {}, epochs=2)
    assert len(killed.read_metrics()["epochs"]) == 1
    assert_bit_equal(contents(run(killed.path, task, {}, epochs=2)), contents(whole))


@pytest.mark.slow
def test_a_training_that_goes_by_its_answers_and_draws_what_it_reads_goes_on_as_if_nothing_had_been(tmp_path):
    options = {"epochs": 2, "monitor": "val_bleu", "monitor_examples": 4}
    options |= {"scheduled_sampling": "inverse_sigmoid", "sampling_steps": 2}
    whole, killed = run_and_kill(tmp_path, BATCHES + 2, "encoder-decoder", **options)
    assert all("val_bleu" in record for record in whole.read_metrics()["epochs"])
    assert_bit_equal(contents(run(killed.path, "encoder-decoder", **options)), contents(whole))


@pytest.mark.slow
def test_a_training_broken_after_every_single_batch_comes_to_the_same_end(tmp_path, monkeypatch):
    class Interrupted(Exception):
        pass

    plain, options = Resume.on_train_batch_end, {"schedule": "cosine", "epochs": 2}

    def on_train_batch_end(self, batch, logs=None):
        plain(self, batch, logs)
        raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(Resume, "on_train_batch_end", on_train_batch_end)
        for _ in range(2 * BATCHES):
            with pytest.raises(Interrupted):
                run(tmp_path / "broken", **options)
    whole = run(tmp_path / "whole", **options)
    assert_bit_equal(contents(run(tmp_path / "broken", **options)), contents(whole))


@pytest.mark.slow
def test_early_stopping_counts_on_over_an_interruption(tmp_path):
    options = {"learning_rate": 0.0, "epochs": 6, "patience": 3}  # no epoch is better than the first
    whole, killed = run_and_kill(tmp_path, 2 * BATCHES + 2, **options)
    assert len(whole.read_metrics()["epochs"]) == 4
    assert len(killed.read_metrics()["epochs"]) == 2
    assert run(killed.path, **options).read_metrics() == whole.read_metrics()


@pytest.mark.slow
def test_the_wait_for_a_smaller_learning_rate_counts_on_over_an_interruption(tmp_path):
    # No epoch is better than the first, so the rate is halved after the fourth.
    options = {"learning_rate": 1e-9, "epochs": 5, "patience": 9}
    options |= {"schedule": "plateau", "plateau_patience": 3, "plateau_factor": 0.5}
    whole, killed = run_and_kill(tmp_path, 2 * BATCHES + 2, **options)  # in the third epoch
    whole = contents(whole)
    assert any(np.array_equal(array, np.float32(0.5e-9)) for array in whole[1])
    assert_bit_equal(contents(run(killed.path, **options)), whole)


@pytest.mark.slow
@pytest.mark.parametrize(("epochs", "started"), [(3, False), (4, True)])  # when the training is killed
def test_averaging_since_a_plateau_goes_on_over_an_interruption(tmp_path, epochs, started):
    options = {"optimizer": "sgd", "learning_rate": 30.0, "epochs": 6, "patience": 9, "average_after_plateau": 1}
    options |= {"schedule": "decay", "decay_from": 3}
    whole, killed = run_and_kill(tmp_path, epochs * BATCHES + 1, **options)
    _, state = trainer.Checkpoints(killed.checkpoints).newest(pytest.fail)
    assert state["callbacks"]["AverageAfterPlateau"]["started"] == started
    assert_bit_equal(contents(run(killed.path, **options)), contents(whole))


@pytest.mark.slow
def test_the_mean_of_the_last_epochs_goes_on_over_an_interruption(tmp_path):
    options = {"average_epochs": 3, "epochs": 4}
    whole, killed = run_and_kill(tmp_path, 2 * BATCHES + 1, **options)  # two of the three are in the checkpoint
    arrays, _ = trainer.Checkpoints(killed.checkpoints).newest(pytest.fail)
    assert {name.split("/")[1] for name in arrays if name.startswith("AverageOfEpochs/")} == {"0", "1"}
    assert_bit_equal(contents(run(killed.path, **options)), contents(whole))


@pytest.mark.slow
def test_all_regularization_of_a_language_model_goes_on_over_an_interruption(tmp_path):
    network = {"layers": 2, "variational": True, "embedding_dropout": 0.3, "weight_dropout": 0.4}
    network |= {"input_dropout": 0.2, "activation_penalty": 2.0, "temporal_penalty": 1.0}
    whole, killed = run_and_kill(tmp_path, BATCHES + 2, "language-model", network, epochs=2)
    assert_bit_equal(contents(run(killed.path, "language-model", network, epochs=2)), contents(whole))


def test_a_signal_saves_where_the_training_is_and_not_only_where_it_was(tmp_path, monkeypatch):
    plain = Resume.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, self.batches) == (1, 1):
            self.termination.asked = signal.SIGTERM
        plain(self, batch, logs)

    monkeypatch.setattr(Resume, "on_train_batch_end", on_train_batch_end)
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, checkpoint_seconds=1e6)
    assert ended.value.code == 143
    _, state = trainer.Checkpoints(RunDirectory(tmp_path).checkpoints).newest(pytest.fail)
    assert (state["epoch"], state["batches"]) == (1, 2)


def test_from_one_checkpoint_to_the_next_so_many_seconds_pass(tmp_path, monkeypatch):
    clock, plain, save, steps = [0.0], Resume.on_train_batch_end, trainer.Checkpoints.save, []

    def on_train_batch_end(self, batch, logs=None):
        clock[0] += 1  # a second a batch
        plain(self, batch, logs)

    monkeypatch.setattr(resume, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(Resume, "on_train_batch_end", on_train_batch_end)
    monkeypatch.setattr(trainer.Checkpoints, "save", lambda self, n, *rest: (steps.append(n), save(self, n, *rest)))
    run(tmp_path, epochs=2, batch_size=1, checkpoint_seconds=2.5)
    assert steps == [0, 3, 6, 8, 11, 14]  # an epoch of 8 batches begins with one


def test_a_second_signal_does_what_it_did_before_the_training():
    done = []
    before = signal.signal(signal.SIGTERM, lambda *_: done.append("before"))
    try:
        with Termination() as termination:
            signal.raise_signal(signal.SIGTERM)
            assert (termination.asked, done) == (signal.SIGTERM, [])
            signal.raise_signal(signal.SIGTERM)
            assert done == ["before"]
        signal.raise_signal(signal.SIGTERM)
        assert done == ["before"] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_damaged_newest_checkpoint_costs_a_few_batches_and_changes_nothing(whole, killed, capsys):
    newest = max(killed.checkpoints.glob("*.npz"))
    newest.write_bytes(newest.read_bytes()[:100])
    assert_bit_equal(contents(run(killed.path)), whole)
    assert f"{newest} is damaged" in capsys.readouterr().err


def test_a_checkpoint_of_another_model_is_refused_and_stays(killed):
    arrays, state = trainer.Checkpoints(killed.checkpoints).newest(pytest.fail)
    trainer.Checkpoints(killed.checkpoints).save(99, {**arrays, "model/0": arrays["model/0"][:1]}, state)
    before = {path: path.read_bytes() for path in killed.checkpoints.iterdir()}
    with pytest.raises(sm.InputError, match="The checkpoint must be one of this model, .* Received: "):
        run(killed.path)
    assert {path: path.read_bytes() for path in killed.checkpoints.iterdir()} == before


@pytest.mark.slow
def test_a_full_disk_ends_a_training_with_one_sentence_and_it_goes_on_later(whole, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(keras.Model, "save", full)
        with pytest.raises(sm.InputError, match="model.keras must be on a disk .* Received: No space left on device"):
            run(tmp_path / "full")
    assert_bit_equal(contents(run(tmp_path / "full")), whole)


def command(directory, out):
    files = [f"--{split}={directory / 'train.tsv'}" for split in ("train", "valid")]
    options = ["epochs=40", "batch_size=2", "units=8", "tokenizer=whitespace", "patience=40", "dropout=0.2"]
    options += ["cell=simple_rnn", "bidirectional=false", "checkpoint_seconds=0.2", "watch_share=0"]
    return ["train", "classifier", *files, "--out", str(out), "--set", *options]


@pytest.mark.slow
def test_a_signal_ends_a_process_which_then_goes_on_to_the_same_end(tmp_path):
    (tmp_path / "train.tsv").write_text(
        "".join(f"{text}\t{label}\n" for text, label in EXAMPLES["classifier"]), "utf-8"
    )
    program = [sys.executable, "-m", "seq_models.cli", *command(tmp_path, tmp_path / "killed")]
    assert cli.main(command(tmp_path, tmp_path / "whole")) == 0
    for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_for_a_new_checkpoint(tmp_path / "killed", process)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
        assert process.returncode == code
        assert "Traceback" not in said
    assert cli.main(command(tmp_path, tmp_path / "killed")) == 0
    # Not the newest checkpoints: on a slow machine one of the last epoch may be among them.
    whole, killed = (result(RunDirectory(tmp_path / name)) for name in ("whole", "killed"))
    assert json.dumps(whole[0]) == json.dumps(killed[0])
    assert_bit_equal(whole, killed)


def wait_for_a_new_checkpoint(out, process, seconds=120):
    def newest():
        return max(((path.name, path.stat().st_mtime_ns) for path in out.glob("checkpoints/*.npz")), default=None)

    before, until = newest(), time.monotonic() + seconds
    while newest() == before:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
