"""Workers that are processes of this machine: they train as one process does, and go on after one was killed.

`checks/workers.py` measures the same for all tasks and for four workers.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from local_cluster import LocalCluster

import seq_models as sm
from seq_models import cli
from seq_models.training.run_directory import RunDirectory

pytestmark = pytest.mark.slow
ROWS = [(f"{'a ' * (k % 7)}{'b ' * (k % 3)}c", ("odd", "even", "both")[k % 3]) for k in range(90)]
LIMIT = 240  # seconds


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.tsv"
    path.write_text("".join(f"{text}\t{label}\n" for text, label in ROWS), "utf-8")
    return path


def arguments(data, out, *settings):
    options = [
        "epochs=3",
        "batch_size=16",
        "units=5",
        "cell=simple_rnn",
        "bidirectional=false",
        "dropout=0.0",
        "tokenizer=whitespace",
        "patience=1",
        "checkpoint_seconds=0",
        "watch_share=0",
    ]
    return [
        "train",
        "classifier",
        "--train",
        str(data),
        "--valid",
        str(data),
        "--out",
        str(out),
        "--set",
        *options,
        *settings,
    ]


def workers(words, count, directory):
    directory.mkdir(exist_ok=True)
    return LocalCluster([sys.executable, "-m", "seq_models.cli", *words], count, directory)


def together(data, out, directory, *settings):
    return workers([*arguments(data, out, *settings), "--strategy", "multi-worker"], 2, directory)


def assert_same_run(one, other):
    one, other = RunDirectory(one), RunDirectory(other)
    for a, b in zip(one.read_metrics()["epochs"], other.read_metrics()["epochs"], strict=True):
        assert a.keys() == b.keys()
        assert all(abs(a[name] - b[name]) < 1e-5 for name in a), (a, b)
    pairs = zip(sm.load_run(one.path).get_weights(), sm.load_run(other.path).get_weights(), strict=True)
    assert max(np.abs(a - b).max() for a, b in pairs) < 1e-5


def test_two_workers_train_as_one_process_also_when_one_was_killed(data, tmp_path):
    assert cli.main(arguments(data, tmp_path / "one")) == 0
    out = tmp_path / "two"
    with together(data, out, tmp_path / "logs") as cluster:
        cluster.until(lambda: len(list((out / "checkpoints").glob("*.npz"))) > 1, LIMIT)
        cluster.signal(1, signal.SIGKILL)
        chief, killed = cluster.outcomes(LIMIT)
    assert killed.code == -signal.SIGKILL
    assert chief.code == 138
    assert "Traceback" not in chief.err
    assert (
        "Every worker must stay to the end; the same command for all goes on. Received: nothing from worker 1"
        in chief.err
    )
    with together(data, out, tmp_path / "logs") as cluster:
        outcomes = cluster.outcomes(LIMIT)
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
    assert_same_run(tmp_path / "one", out)
    assert not [path for path in out.rglob(".*")]


def test_workers_with_other_options_are_refused_by_all(data, tmp_path):
    other = "import sys, json, os; index = json.loads(os.environ['TF_CONFIG'])['task']['index']; "
    other += "from seq_models import cli; sys.exit(cli.main(sys.argv[1:] + ['--set', f'seed={5 + index}']))"
    words = [*arguments(data, tmp_path / "out"), "--strategy", "multi-worker"]
    words = words[: words.index("--set")] + words[words.index("--strategy") :]
    (tmp_path / "logs").mkdir()
    with LocalCluster([sys.executable, "-c", other, *words], 2, tmp_path / "logs") as cluster:
        outcomes = cluster.outcomes(LIMIT)
    for outcome in outcomes:
        assert outcome.code == 2, outcome
        assert "Every worker must have the options, data and checkpoints of worker 0" in outcome.err
        assert "Received: others on worker 1" in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_worker_that_never_comes_is_named_and_nothing_is_written(data, tmp_path, monkeypatch, capsys):
    from local_cluster import tf_configs

    monkeypatch.setenv("TF_CONFIG", tf_configs(2)[0])
    words = [*arguments(data, tmp_path / "out", "worker_seconds=0.5"), "--strategy", "multi-worker"]
    assert cli.main(words) == 138
    assert "Every worker must come within 0.5 seconds. Received: nothing from worker 1" in capsys.readouterr().err
    assert not Path(tmp_path / "out").exists()


def test_a_tf_config_that_is_none_is_a_mistake_of_the_user(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(os.environ, "TF_CONFIG", "worker 0")
    assert cli.main([*arguments(data, tmp_path / "out"), "--strategy", "multi-worker"]) == 2
    assert "TF_CONFIG must be JSON" in capsys.readouterr().err
