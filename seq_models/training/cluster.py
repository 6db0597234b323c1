"""Several workers on several machines: what TF_CONFIG says of them, and how they find one another."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from seq_models.errors import InputError, WorkerLost

EXPECTED = (
    'TF_CONFIG must be JSON such as {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}.'
)
PAUSE_SECONDS = 0.2  # between two attempts to reach a worker


@dataclass(frozen=True)
class Cluster:
    """The workers of a training and which of them this process is. The first one is the chief: only it writes.

    Args:
        addresses: "host:port" of each worker.
        index: Of this process among them.
    """

    addresses: tuple[str, ...]
    index: int

    @classmethod
    def from_environment(cls) -> Self:
        """What the environment variable TF_CONFIG says, as Kubernetes operators set it; a chief counts as worker 0.

        Raises:
            InputError: If it is not set or says something else.
        """
        text = os.environ.get("TF_CONFIG")
        if not text:
            raise InputError(
                f"The strategy multi-worker needs the environment variable TF_CONFIG. {EXPECTED} Received: none"
            )
        try:
            config = json.loads(text)
            jobs, task = config["cluster"], config["task"]
            offsets = {"chief": 0, "worker": len(jobs.get("chief", []))}
            addresses = tuple(address for job in offsets for address in jobs.get(job, []))
            index = offsets[task["type"]] + int(task["index"])
            hosts = [_host_and_port(address) for address in addresses]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{EXPECTED} Received: {text}") from error
        if set(jobs) - offsets.keys() or len(set(hosts)) < len(hosts) or not 0 <= index < len(hosts):
            raise InputError(
                f"{EXPECTED} Every address must be there once, and the index be one of them. Received: {text}"
            )
        return cls(addresses, index)

    @classmethod
    def alone(cls) -> Self:
        """A process that trains by itself."""
        return cls(("",), 0)

    @property
    def share(self) -> tuple[int, int]:
        """Which of how many shares of the data is this worker's."""
        return self.index, len(self.addresses)

    @property
    def several(self) -> bool:
        """Whether there is another worker."""
        return len(self.addresses) > 1

    @property
    def chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.index == 0

    def name(self, index: int) -> str:
        """A worker as people look for it in a log."""
        return f"worker {index} ({self.addresses[index]})"

    def wait(self, seconds: float) -> None:
        """Waits until every other worker has come; TensorFlow itself would wait for an hour and not say for whom.

        Args:
            seconds: The longest time to wait.
        Raises:
            InputError: If the port of this worker is taken.
            WorkerLost: If a worker has not come by then; names it.
        """
        if not self.several:
            return
        missing: Iterable[int] = range(len(self.addresses))
        until = time.monotonic() + seconds
        with self._door():
            while missing := self._silent(missing):
                if time.monotonic() > until:
                    names = " and ".join(map(self.name, missing))
                    raise WorkerLost(
                        f"Every worker must come within {seconds:g} seconds. Received: nothing from {names}"
                    )
                time.sleep(PAUSE_SECONDS)

    def gone(self) -> list[int]:
        """Numbers of the workers that cannot be reached."""
        return self._silent(range(len(self.addresses)))

    def _silent(self, indices):
        return [index for index in indices if index != self.index and not _answers(self.addresses[index])]

    @contextlib.contextmanager
    def _door(self):
        """Listens where TensorFlow will, so that the others see this worker."""
        host, port = _host_and_port(self.addresses[self.index])
        try:
            server = _listen(host, port)
        except OSError as error:
            raise InputError(f"The port of {self.name(self.index)} must be free. Received: {error.strerror}") from error
        with server:
            yield


def _host_and_port(address):
    host, _, port = address.rpartition(":")
    if not host:
        raise ValueError(f"An address must be host:port. Received: {address}")
    return host.strip("[]"), int(port)


def _listen(host, port):
    try:
        return socket.create_server((host, port))
    except OSError:  # in a cluster the name of a worker may be that of a service before it
        return socket.create_server(("", port))


def _answers(address):
    try:
        with socket.create_connection(_host_and_port(address), timeout=1):
            return True
    except OSError:
        return False
