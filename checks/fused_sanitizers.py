"""Runs the fused kernels under the address, undefined-behaviour and thread sanitizers, with 1 to 4 threads.

    python checks/fused_sanitizers.py

Random shapes, masks and dropout, forward and back, for every unit; for the vectors of this processor and for plain ones
of four numbers. Needs GCC or Clang with their sanitizers. Every run must end well, and a program must give the same sum
to the last bit whatever the threads. Exit code 1 if one does not.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "seq_models" / "layers" / "engines" / "fused" / "source"
SANITIZERS = {"none": [], "address and undefined": ["-fsanitize=address,undefined"], "thread": ["-fsanitize=thread"]}
VECTORS = {"of this processor": ["-march=native"], "plain": []}
THREADS = (1, 2, 4)


def main():
    wrong = 0
    for vectors, of_vectors in VECTORS.items():
        for sanitizer, of_sanitizer in SANITIZERS.items():
            runs = results([*of_vectors, *of_sanitizer], THREADS)
            right = all(run.returncode == 0 for run in runs) and len({run.stdout for run in runs}) == 1
            wrong += not right
            print(f"vectors {vectors}, sanitizer {sanitizer}: {'right' if right else runs}", flush=True)
    sys.exit(bool(wrong))


def results(flags: list[str], threads: tuple[int, ...]) -> list[subprocess.CompletedProcess]:
    """Compiles fused_sanitizers.cc and runs it with each number of threads."""
    always = ["-std=c++20", "-O1", "-g", "-fno-sanitize-recover=all", "-pthread", f"-I{SOURCE}"]
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "program"
        compiler = os.environ.get("CXX", "c++")
        subprocess.run([compiler, *always, *flags, HERE / "fused_sanitizers.cc", "-o", program], check=True)
        return [subprocess.run([program, str(count)], capture_output=True, text=True) for count in threads]


if __name__ == "__main__":
    main()
