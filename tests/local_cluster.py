"""The workers of a training as processes of this machine: started together, watched, and ended for certain."""

import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """How a worker ended: its exit code (minus the signal that ended it) and what it said."""

    code: int
    out: str
    err: str


class LocalCluster:
    """Runs one command as several workers, each with its TF_CONFIG. Within `with`; afterwards none of them is left.

        with LocalCluster([sys.executable, "-m", "seq_models.cli", "train", …], 2, tmp_path) as cluster:
            cluster.until(lambda: any(out.glob("checkpoints/*.npz")), seconds=60)
            cluster.signal(1, signal.SIGKILL)
            outcomes = cluster.outcomes(seconds=60)

    Args:
        words: The command, a list of words.
        count: Number of workers, on free ports of the loopback address.
        directory: Where their output goes, a file for each stream.
        environment: Variables beside those of this process.
    """

    def __init__(self, words, count, directory, **environment):
        self.words, self.count, self.directory, self.environment = words, count, Path(directory), environment

    def __enter__(self):
        self.processes = []
        for index, config in enumerate(tf_configs(self.count)):
            self.processes.append(self._start(index, config))
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.poll()
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
                process.wait()

    def signal(self, index, number):
        """Sends a signal to a worker."""
        self.processes[index].send_signal(number)

    def until(self, condition, seconds):
        """Waits until `condition()` holds.

        Raises:
            TimeoutError: If it does not in that time, or when all workers have ended; with what they said last.
        """
        deadline = time.monotonic() + seconds
        while True:
            over = time.monotonic() > deadline or all(process.poll() is not None for process in self.processes)
            if condition():  # asked after that, since it may come true as the last worker ends
                return
            if over:
                raise TimeoutError(f"What was waited for did not come in {seconds:g} seconds.\n{self._said()}")
            time.sleep(0.02)

    def outcomes(self, seconds):
        """Waits until all workers have ended; gives the `Outcome` of each.

        Raises:
            TimeoutError: If one has not ended in that time; with what they said last.
        """
        deadline = time.monotonic() + seconds
        for index, process in enumerate(self.processes):
            try:
                process.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired as error:
                raise TimeoutError(f"Worker {index} has not ended in {seconds:g} seconds.\n{self._said()}") from error
        return [
            Outcome(process.returncode, self._text(index, "out"), self._text(index, "err"))
            for index, process in enumerate(self.processes)
        ]

    def _start(self, index, config):
        fixed = {"TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        with self._file(index, "out").open("wb") as out, self._file(index, "err").open("wb") as err:
            return subprocess.Popen(
                self.words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **self.environment, **fixed},
                start_new_session=True,  # a group of its own, to be killed whole
            )

    def _file(self, index, stream):
        return self.directory / f"worker-{index}.{stream}"

    def _text(self, index, stream):
        return self._file(index, stream).read_text("utf-8", errors="replace")

    def _said(self):
        return "\n".join(
            f"worker {index} {stream}: …{self._text(index, stream)[-1000:]}"
            for index in range(self.count)
            for stream in ("out", "err")
        )


def tf_configs(count):
    """TF_CONFIG of each of some workers, on free ports of the loopback address."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    cluster = {"worker": [f"127.0.0.1:{server.getsockname()[1]}" for server in servers]}
    for server in servers:
        server.close()
    return [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}) for index in range(count)]
