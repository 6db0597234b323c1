"""Who the workers of a training are, and what is said of one that does not come."""

import json
import socket
import threading
import time

import pytest

from seq_models.errors import InputError, WorkerLost
from seq_models.training.cluster import Cluster

TWO = {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 1}}


def from_environment(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    return Cluster.from_environment()


def test_the_first_worker_is_the_chief(monkeypatch):
    cluster = from_environment(monkeypatch, TWO)
    assert (cluster.addresses, cluster.share, cluster.chief) == (("127.0.0.1:1", "127.0.0.1:2"), (1, 2), False)
    assert from_environment(monkeypatch, {**TWO, "task": {"type": "worker", "index": "0"}}).chief


def test_a_chief_counts_as_worker_0(monkeypatch):
    jobs = {"worker": ["b:1"], "chief": ["a:1"]}
    chief = from_environment(monkeypatch, {"cluster": jobs, "task": {"type": "chief", "index": 0}})
    worker = from_environment(monkeypatch, {"cluster": jobs, "task": {"type": "worker", "index": 0}})
    assert (chief.addresses, chief.chief) == (("a:1", "b:1"), True)
    assert (worker.index, worker.chief) == (1, False)


@pytest.mark.parametrize(
    "config",
    [
        "",
        "worker 0",
        "[]",
        {},
        {"cluster": {"worker": ["a:1"]}},
        {"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"worker": ["a:x"]}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}},
        {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}},
        {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "first"}},
        {"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}},
        {"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}},
    ],
)
def test_another_tf_config_is_refused_with_what_was_expected(monkeypatch, config):
    with pytest.raises(InputError, match=r'TF_CONFIG must be JSON such as \{"cluster".*Received: '):
        from_environment(monkeypatch, config)


def free_addresses(count):
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = tuple(f"127.0.0.1:{server.getsockname()[1]}" for server in servers)
    for server in servers:
        server.close()
    return addresses


def test_workers_that_come_one_after_the_other_meet():
    addresses, everyone = free_addresses(3), threading.Barrier(3, timeout=20)
    met = []

    def worker(index):
        time.sleep(0.3 * index)
        Cluster(addresses, index).wait(15)
        # One that has met the others goes on to TensorFlow, which listens where it did.
        with socket.create_server(("127.0.0.1", int(addresses[index].rpartition(":")[2]))):
            everyone.wait()
        met.append(index)

    threads = [threading.Thread(target=worker, args=[index]) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(25)
    assert sorted(met) == [0, 1, 2]


def test_a_worker_that_never_comes_is_named():
    addresses = free_addresses(3)
    with socket.create_server(("127.0.0.1", int(addresses[0].rpartition(":")[2]))):
        with pytest.raises(WorkerLost, match=f"within 0.3 seconds. Received: nothing from worker 2 .{addresses[2]}.$"):
            Cluster(addresses, 1).wait(0.3)


def test_a_port_that_is_taken_is_an_error_of_its_own():
    addresses = free_addresses(2)
    with socket.create_server(("127.0.0.1", int(addresses[0].rpartition(":")[2]))):
        with pytest.raises(
            InputError, match=f"The port of worker 0 .{addresses[0]}. must be free. Received: Address already"
        ):
            Cluster(addresses, 0).wait(0.3)


def test_a_process_that_trains_alone_waits_for_nobody():
    Cluster.alone().wait(0)
    assert Cluster.alone().chief and Cluster.alone().share == (0, 1)
