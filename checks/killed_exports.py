"""Exports that are killed while a server looks at their directory.

    make demo
    python checks/killed_exports.py [--demo demo] [--exports 100] [--at-once 2] [--out FILE]

A development server serves the classifier of the demo and looks for new versions every second. Each export is
`seq-models export`, killed by SIGKILL, with its processes, at a random moment of the time that an undisturbed one
takes; a client asks all the time. A version that cannot be loaded, or a request that fails, is a failure.

Writes checks/results/killed_exports.json and prints it.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import requests
from rich.progress import track

RESULTS = Path(__file__).resolve().parent / "results" / "killed_exports.json"
MODEL = "classifier"
QUESTION = {"inputs": {"text": ["the library was not boring"]}}
LOOK_SECONDS = 1  # between two looks of the server
ASK_SECONDS = 0.05  # between two requests
LIMIT = 300  # seconds for one export, or for the server to see a version


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="what `make demo` wrote (default: %(default)s)")
    parser.add_argument("--exports", type=int, default=100, help="to be killed (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=2, help="how many of them (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    run = options.demo / "runs" / MODEL
    if not run.is_dir():
        parser.error(f"--demo must hold the runs of `make demo`. Received: {options.demo}")
    with tempfile.TemporaryDirectory() as base:
        result = measure(run, Path(base), options.exports, options.at_once)
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result, indent=1))
    return 1 if result["broken"] or result["requests failed"] else 0


def measure(run, base, exports, at_once):
    """What the server saw and the client heard."""
    export(run, base)  # to have one to serve, and the files of the system in memory
    moments = random.Random(0)
    with server(base) as url, Looker(url) as looker, concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        takes = max(pool.map(lambda _: export(run, base), range(at_once)))
        jobs = [pool.submit(export, run, base, moments.uniform(0, takes)) for _ in range(exports)]
        finished = sum(job.result() is not None for job in track(jobs, "exports"))
        export(run, base)
        last = max(int(path.name) for path in (base / MODEL).iterdir() if path.name.isdecimal())
        looker.until_served(last)
    return {
        "exports": exports,
        "killed": exports - finished,
        "seconds of an undisturbed one": round(takes, 1),
        "versions seen by the server": len(looker.seen),
        "broken": looker.broken,
        "requests": looker.requests,
        "requests failed": looker.failed,
    }


def export(run, base, seconds=LIMIT):
    """An export that is killed after some seconds; the seconds that it took, or None if it was killed."""
    started = time.monotonic()
    words = [sys.executable, "-m", "seq_models.cli", "export", str(run), "--to", str(base), "--name", MODEL]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=quiet, start_new_session=True
    )
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    if process.returncode:
        raise RuntimeError(f"An export ended with {process.returncode}: {said[-2000:]}")
    return time.monotonic() - started


@contextlib.contextmanager
def server(base):
    """A development server in a process of its own; gives the address of the model."""
    words = [sys.executable, "-m", "seq_models.cli", "serve", "--model_name", MODEL]
    words += ["--model_base_path", str(base / MODEL), "--port", "0", "--rest_api_port", "0"]
    words += ["--file_system_poll_wait_seconds", str(LOOK_SECONDS)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield f"{process.stdout.readline().split(' at ')[2].strip()}/{MODEL}"
    finally:
        process.terminate()
        process.wait(LIMIT)


class Looker:
    """Within it, a client asks the model, and which versions there are, again and again.

    Attributes:
        seen: The numbers of the versions that the server loaded.
        broken: What it says of each version that it could not load.
        requests, failed: How many there were.
    """

    def __init__(self, url):
        self.url, self.seen, self.broken, self.requests, self.failed = url, set(), {}, 0, 0

    def __enter__(self):
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def until_served(self, version):
        deadline = time.monotonic() + LIMIT
        while version not in self.seen:
            if time.monotonic() > deadline:
                raise TimeoutError(f"The server has not loaded version {version} in {LIMIT} seconds.")
            time.sleep(LOOK_SECONDS)

    def _look(self):
        with requests.Session() as session:
            while not self._over.wait(ASK_SECONDS):
                self.requests += 1
                self.failed += not session.post(f"{self.url}:predict", json=QUESTION, timeout=LIMIT).ok
                for status in session.get(self.url, timeout=LIMIT).json()["model_version_status"]:
                    if status["status"]["error_code"] != "OK":
                        self.broken[status["version"]] = status["status"]["error_message"]
                    elif status["state"] == "AVAILABLE":
                        self.seen.add(int(status["version"]))


if __name__ == "__main__":
    sys.exit(main())
