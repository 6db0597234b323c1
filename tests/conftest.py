"""What holds for every test: TensorFlow is quiet, on two logical CPU devices, and starts from the same seed."""

import functools
import gc
import os
import shutil
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="seq-models-tests-")  # not that of the user

import keras  # noqa: E402  TensorFlow reads the environment once, when it is imported
import pytest  # noqa: E402
import tensorflow as tf  # noqa: E402
from forked_gate import forking_python  # noqa: E402

from seq_models.exports import gate  # noqa: E402

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def pytest_collection_modifyitems(items):
    """Files that hold long tests come first, so that at the end no process works alone."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish():
    """What is imported by now stays: the garbage collector need not look at it again and again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def same_start_for_every_test():
    """One seed before each test; after it, the default dtypes are those from before."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.utils.set_random_seed(20)
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="session", autouse=True)
def kernels_of_the_last_time():
    """Compiled kernels are kept from one run of the tests to the next; their name says what they were compiled from."""
    cache, kept = Path(os.environ["XDG_CACHE_HOME"]) / "seq_models", Path(__file__).parent.parent / ".pytest_cache"
    cache.mkdir()
    kept.mkdir(exist_ok=True)
    for path in kept.glob("kernels-*.so"):
        shutil.copy(path, cache)
    yield
    for path in cache.glob("kernels-*.so"):
        aside = shutil.copy(path, kept / f"{path.name}.{os.getpid()}")
        os.replace(aside, kept / path.name)


@pytest.fixture(scope="session", autouse=True)
def forked_python():
    """Gives an interpreter that has imported TensorFlow; a gate's process is one unless another is named."""
    plain, interpreter = gate.Process.__init__, functools.cache(forking_python)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gate.Process, "__init__", lambda self, python=None: plain(self, python or interpreter()))
        yield interpreter
