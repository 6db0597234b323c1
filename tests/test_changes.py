"""A run whose training is asked for again with other options: what it goes on with, and what is refused."""

import shutil

import numpy as np
import pytest
from toy import EXAMPLES, PLAIN

import seq_models as sm
from seq_models.tasks import TASKS
from seq_models.training import trainer
from seq_models.training.options import TrainingOptions
from seq_models.training.run_directory import RunDirectory

pytestmark = pytest.mark.slow
MODEL = {**PLAIN, "dropout": 0.3}


def run(directory, task="classifier", **options):
    options = {"epochs": 2, "batch_size": 3, "learning_rate": 0.05, "patience": 9, "watch_share": 0, **options}
    data = EXAMPLES[task]
    return trainer.train(TASKS[task], data, data, directory, TrainingOptions(**options), MODEL, {})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Copies the run of so many epochs, with the usual options, to a directory."""
    runs = {epochs: run(tmp_path_factory.mktemp("finished") / "run", epochs=epochs) for epochs in (2, 3)}
    return lambda epochs, directory: RunDirectory(shutil.copytree(runs[epochs].path, directory))


def state(found):
    """The scores of every epoch, the best weights, and all that the training would go on from."""
    arrays, remembered = trainer.Checkpoints(found.checkpoints).newest(pytest.fail)
    return found.read_metrics(), [*sm.load_run(found.path).get_weights(), *arrays.values()], remembered


def assert_bit_equal(one, other):
    assert (one[0], one[2]) == (other[0], other[2])
    assert all(np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True))


# That the state of every task is kept whole is in test_resume.py.
def test_more_epochs_go_on_to_what_as_many_at_once_come_to(finished, tmp_path):
    longer = finished(2, tmp_path / "longer")
    assert len(longer.read_metrics()["epochs"]) == 2
    run(longer.path, epochs=3)
    assert_bit_equal(state(longer), state(finished(3, tmp_path / "whole")))
    assert longer.read_config()["training"]["epochs"] == 3


def test_average_and_schedule_go_on_too(tmp_path):
    options = {"average": 0.9, "schedule": "inverse_sqrt"}
    whole = state(run(tmp_path / "whole", epochs=4, **options))
    run(tmp_path / "longer", epochs=2, **options)
    assert_bit_equal(state(run(tmp_path / "longer", epochs=4, **options)), whole)


def test_only_the_epochs_that_are_new_are_trained(finished, tmp_path, monkeypatch, capsys):
    path = finished(3, tmp_path / "run").path
    plain, epochs = trainer.Resume.on_epoch_begin, []

    def on_epoch_begin(self, epoch, logs=None):
        epochs.append(epoch)
        plain(self, epoch, logs)

    monkeypatch.setattr(trainer.Resume, "on_epoch_begin", on_epoch_begin)
    run(path, epochs=3)
    assert epochs == [] and "has had its 3 epochs and stays as it is" in capsys.readouterr().err
    run(path, epochs=5)
    assert epochs == [2, 3, 4]  # the newest checkpoint lies in the third


def test_a_rate_on_a_plateau_and_an_unlucky_last_epoch_are_remembered(tmp_path):
    options = {"learning_rate": 1e-9, "schedule": "plateau", "plateau_patience": 2}  # no epoch is better than the first
    whole = state(run(tmp_path / "whole", epochs=5, **options))
    run(tmp_path / "longer", epochs=2, **options)
    run(tmp_path / "longer", epochs=3, **options)
    assert_bit_equal(state(run(tmp_path / "longer", epochs=5, **options)), whole)


def test_a_run_that_stopped_early_goes_on_with_more_patience_only(tmp_path, capsys):
    options = {"learning_rate": 0.0, "epochs": 8}  # no epoch is better than the first
    whole = state(run(tmp_path / "whole", patience=4, **options))
    stopped = run(tmp_path / "more", patience=2, **options)
    assert len(stopped.read_metrics()["epochs"]) == 3
    before = {path: path.stat().st_mtime_ns for path in stopped.path.rglob("*")}
    run(tmp_path / "more", patience=2, **{**options, "epochs": 9})
    assert "stopped early, after epoch 3, and stays as it is; with patience above 2" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in stopped.path.rglob("*")}
    assert_bit_equal(state(run(tmp_path / "more", patience=4, **options)), whole)


def test_operational_options_may_change_and_nothing_else(finished, tmp_path):
    found = finished(2, tmp_path / "run")
    new = {"checkpoint_seconds": 9.0, "worker_seconds": 8, "watch_share": 0.5, "patience": 4, "profile_steps": "1,2"}
    run(found.path, epochs=3, **new)
    assert (
        found.read_config()["training"] == TrainingOptions(batch_size=3, learning_rate=0.05, epochs=3, **new).written()
    )
    for name, value in {
        "batch_size": 4,
        "seed": 2,
        "learning_rate": 0.1,
        "average": 0.5,
        "strategy": "mirrored",
    }.items():
        with pytest.raises(sm.InputError, match=f"{name} = .* where the run has"):
            run(found.path, **{name: value})


def test_epochs_that_the_run_cannot_have_are_refused_with_the_reason(finished, tmp_path):
    finished(2, tmp_path / "constant")
    with pytest.raises(sm.InputError, match="epochs must be at least the 2 .* Received: epochs=1"):
        run(tmp_path / "constant", epochs=1)
    cosine = run(tmp_path / "cosine", epochs=2, schedule="cosine")
    before = cosine.config.read_bytes()
    with pytest.raises(sm.InputError, match="epochs must stay 2 .* schedule=cosine .* Received: epochs=4"):
        run(tmp_path / "cosine", epochs=4, schedule="cosine")
    assert cosine.config.read_bytes() == before and cosine.read_metrics()["finished"]
    run(tmp_path / "cosine", epochs=2, schedule="cosine", patience=5)


def test_what_a_run_shows_of_itself_changes_nothing_of_its_training(finished, tmp_path):
    watched = state(run(tmp_path / "watched", watch_share=0.9, checkpoint_seconds=0))
    plain = state(finished(2, tmp_path / "plain"))
    assert watched[0] == plain[0]
    weights = len(sm.load_run(tmp_path / "plain").get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(watched[1][:weights], plain[1][:weights], strict=True))


def test_a_longer_run_that_is_broken_off_is_no_finished_one(finished, tmp_path, monkeypatch):
    finished(2, tmp_path / "run")
    begin = trainer._begin
    monkeypatch.setattr(trainer, "_begin", lambda *args: (begin(*args), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "run", epochs=3)
    monkeypatch.undo()
    assert not RunDirectory(tmp_path / "run").read_metrics()["finished"]
    assert_bit_equal(state(run(tmp_path / "run", epochs=3)), state(finished(3, tmp_path / "whole")))


def test_a_run_that_was_broken_off_goes_on_to_more_or_fewer_epochs(finished, tmp_path, monkeypatch):
    def broken(epochs, after):
        plain, count = trainer.Resume.on_train_batch_end, iter(range(after))

        def on_train_batch_end(self, batch, logs=None):
            plain(self, batch, logs)
            if next(count, None) is None:
                raise InterruptedError

        with monkeypatch.context() as patched:
            patched.setattr(trainer.Resume, "on_train_batch_end", on_train_batch_end)
            with pytest.raises(InterruptedError):
                run(tmp_path / f"{epochs}", epochs=epochs, checkpoint_seconds=0)

    whole = finished(3, tmp_path / "whole").read_metrics()
    for epochs in (2, 5):
        broken(epochs, 4)  # in the second epoch
        assert run(tmp_path / f"{epochs}", epochs=3).read_metrics() == whole
