"""Libraries that are measured in interleaved runs of the same job, each in a process of its own with all cores."""

import contextlib
import itertools
import multiprocessing
import random
import time
from pathlib import Path

RUN_SECONDS = 0.2  # a run repeats its job for about so long, after one call that is not counted
PAUSE_SECONDS = 0.05  # for the threads of the library before to fall asleep: those of PyTorch spin for a while


@contextlib.contextmanager
def workers(libraries, serve):
    """A dict of `Worker`s; `serve(library)` runs in its process and returns a function that answers questions."""
    with contextlib.ExitStack() as stack:
        yield {library: stack.enter_context(Worker(library, serve)) for library in libraries}


def ask_all(workers, rounds, *question):
    """Asks all workers in turn, in a random order in each round: a list of dicts from library to answer."""
    for worker in workers.values():
        worker.ask(*question)  # not counted
    turns = (random.sample(list(workers), len(workers)) for _ in range(rounds))
    return [{library: workers[library].ask(*question) for library in turn} for turn in turns]


def seconds_of(job):
    """Seconds of one call, over as many calls as fit in a run."""
    job()
    started = time.perf_counter()
    for calls in itertools.count(1):
        job()
        if (passed := time.perf_counter() - started) > RUN_SECONDS:
            return passed / calls


def peak_memory(job):
    """MB that a job adds at its peak to what this process holds (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _status("VmRSS")
    job()
    return round((_status("VmHWM") - before) / 1024)


def _status(name):
    """A figure of this process in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))


class Worker:
    """A library in a process of its own, which does one thing at a time when asked."""

    def __init__(self, library, serve):
        self.library, self.serve = library, serve

    def __enter__(self):
        processes = multiprocessing.get_context("spawn")
        self.pipe, theirs = processes.Pipe()
        self.process = processes.Process(target=_answer, args=(self.serve, self.library, theirs), daemon=True)
        self.process.start()
        theirs.close()
        return self

    def __exit__(self, *_):
        self.pipe.close()
        self.process.join()

    def ask(self, *question):
        time.sleep(PAUSE_SECONDS)
        self.pipe.send(question)
        return self.pipe.recv()


def _answer(serve, library, pipe):
    answer = serve(library)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            pipe.send(answer(*pipe.recv()))
