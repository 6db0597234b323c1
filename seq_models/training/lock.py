"""One training in a run directory at a time."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from seq_models.errors import InputError
from seq_models.messages import say

LOCK = ".lock"  # the file in the run directory


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Within it no other process gets the lock of the directory, which is made if it is not there.

    The kernel holds the lock as long as this process lives, however it ends; of a directory in which nothing came to be
    nothing stays.

    Raises:
        InputError: If another process has it; names the process.
    """
    new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / LOCK
    with _acquired(path) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            if new:
                with contextlib.suppress(OSError):  # it holds a run
                    directory.rmdir()


def _acquired(path):
    """The file, open and locked."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with file:
                file.seek(0)
                other = file.read() or "another process"
            raise InputError(f"{path.parent} must be trained in by one process at a time. Received: {other}") from error
        except OSError as error:
            say(f"{path.parent} must be trained in by this process alone, for its disk has no locks: {error.strerror}")
        if _is(file, path):
            return file
        file.close()  # the other one has ended and taken the file with it: there may be a new one


def _is(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
