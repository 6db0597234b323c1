"""The processes that tests of several workers run on: each is told who it is, and none outlives its test."""

import json
import os
import signal
import sys
import time

import pytest
from local_cluster import LocalCluster

SAYS = """
import os, sys
print(os.environ["TF_CONFIG"])
print(os.environ["CUDA_VISIBLE_DEVICES"], os.environ["NAME"], file=sys.stderr)
sys.exit(7)
"""
SLEEPS = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def python(program):
    return [sys.executable, "-c", program]


def started(cluster):
    """Waits until every worker of SLEEPS has its child; gives the children's ids."""
    files = [cluster.directory / f"worker-{index}.out" for index in range(cluster.count)]
    cluster.until(lambda: all(file.read_text().endswith("\n") for file in files), seconds=20)
    return [int(file.read_text()) for file in files]


def running(pid):
    """Whether a process is there and not just unreaped."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")


def test_every_worker_is_told_who_it_is_and_what_it_says_and_its_exit_code_are_kept(tmp_path):
    with LocalCluster(python(SAYS), 3, tmp_path, NAME="mood") as cluster:
        outcomes = cluster.outcomes(seconds=30)
    configs = [json.loads(outcome.out) for outcome in outcomes]
    assert [config["task"] for config in configs] == [{"type": "worker", "index": index} for index in range(3)]
    assert configs[0]["cluster"] == configs[1]["cluster"] == configs[2]["cluster"]
    assert len(set(configs[0]["cluster"]["worker"])) == 3
    assert [(outcome.code, outcome.err) for outcome in outcomes] == [(7, "-1 mood\n")] * 3


@needs_proc
def test_one_worker_is_killed_and_the_others_are_left_alone(tmp_path):
    with LocalCluster(python("import time; time.sleep(60)"), 2, tmp_path) as cluster:
        cluster.signal(1, signal.SIGKILL)
        assert cluster.processes[1].wait(20) == -signal.SIGKILL
        assert running(cluster.processes[0].pid)


@needs_proc
def test_nothing_is_left_running_even_after_an_error(tmp_path):
    with pytest.raises(KeyError), LocalCluster(python(SLEEPS), 2, tmp_path) as cluster:
        children = started(cluster)
        raise KeyError
    pids = [*children, *(process.pid for process in cluster.processes)]
    deadline = time.monotonic() + 10
    while any(map(running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)  # the children are killed too, but nobody can wait for them
    assert not any(map(running, pids))


def test_a_worker_that_does_not_end_is_named_with_what_all_have_said(tmp_path):
    with LocalCluster(python(SLEEPS), 2, tmp_path) as cluster:
        child, _ = started(cluster)
        with pytest.raises(TimeoutError, match=rf"Worker 0 has not ended in 0.1 seconds.\nworker 0 out: …{child}"):
            cluster.outcomes(seconds=0.1)


def test_nobody_waits_for_workers_that_have_all_ended(tmp_path):
    begun = time.monotonic()
    with LocalCluster(python("print('gone')"), 2, tmp_path) as cluster:
        with pytest.raises(TimeoutError, match="gone"):
            cluster.until(lambda: False, seconds=40)
    assert time.monotonic() - begun < 30
