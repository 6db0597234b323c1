"""The compiled kernels: built on first use, kept for the next time.

They are compiled with the compiler that is there for the processor that is there, into a cache whose key is the source,
the compiler, the processor and TensorFlow. Where that fails nothing is lost: `problem` says why.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from seq_models.messages import say_once

SOURCE = Path(__file__).parent / "source"
FLAGS = ("-std=c++20", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
SECONDS = 120  # that a compiler may take


class NotBuilt(RuntimeError):
    """The kernels cannot be built or loaded here; the message is the end of the sentence "it needs …"."""


@functools.cache
def operations() -> ModuleType:
    """The operations, compiled if they were not yet.

    Raises:
        NotBuilt: If they cannot be compiled or loaded.
    """
    import tensorflow as tf

    path = library()
    try:
        module = tf.load_op_library(str(path))
        ctypes.CDLL(str(path)).seq_models_set_threads(_threads())
    except (tf.errors.OpError, OSError) as error:
        raise NotBuilt(f"a library that TensorFlow loads. Received: {path}: {error}") from error
    return module


@functools.cache
def problem() -> str | None:
    """None if there are operations, else the end of the sentence "it needs …"."""
    try:
        operations()
    except NotBuilt as error:
        return str(error)
    return None


def library() -> Path:
    """The compiled library, in the cache or, where that cannot be written, in a directory of this process."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None or shutil.which(compiler) is None:
        raise NotBuilt(f"a C++ compiler, as c++, or its name in CXX. Received: {compiler or 'none'}")
    command = [compiler, *FLAGS, *_vector_flags(), str(SOURCE / "operations.cc"), *_of_tensorflow()]
    name = f"kernels-{_digest(command)}.so"
    path = _cache() / name
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _compile(command, path)
    except OSError as error:
        say_once(
            f"{path.parent} cannot keep compiled kernels, so every process compiles them anew, which takes a while; "
            f"XDG_CACHE_HOME names another place: {error.strerror or error}"
        )
    try:
        return _compile(command, Path(tempfile.mkdtemp(prefix="seq_models-")) / name)
    except OSError as error:
        raise NotBuilt("a directory that can be written, for compiled kernels") from error


def _compile(command: list[str], path: Path) -> Path:
    """Compiles aside and renames, so that two processes at once do no harm."""
    handle, aside = tempfile.mkstemp(suffix=".so", dir=path.parent)
    os.close(handle)
    try:
        done = subprocess.run([*command, "-o", aside], capture_output=True, text=True, timeout=SECONDS)
        if done.returncode:
            said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0]
            raise NotBuilt(f"a C++ compiler that takes its source. Received: {said}")
        os.replace(aside, path)
    except subprocess.TimeoutExpired as error:
        raise NotBuilt(f"a C++ compiler that ends within {SECONDS} s. Received: {command[0]}") from error
    finally:
        Path(aside).unlink(missing_ok=True)
    return path


def _vector_flags() -> list[str]:
    # Else GCC takes vectors of 8 where there are some of 16.
    return ["-mprefer-vector-width=512"] if platform.machine() in ("x86_64", "AMD64") else []


def _of_tensorflow() -> list[str]:
    import tensorflow as tf

    library = Path(tf.sysconfig.get_lib())
    framework = next(library.glob("libtensorflow_framework.*"))
    return [f"-I{tf.sysconfig.get_include()}", str(framework)]


def _digest(command: list[str]) -> str:
    version = subprocess.run([command[0], "--version"], capture_output=True, check=False).stdout
    digest = hashlib.sha256(repr((command, sys.version_info[:2], _processor())).encode() + version)
    for file in sorted(SOURCE.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """What the processor can do, for a cache may lie on a disk that several machines read."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seq_models"


def _threads() -> int:
    import tensorflow as tf

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return tf.config.threading.get_intra_op_parallelism_threads() or cores
