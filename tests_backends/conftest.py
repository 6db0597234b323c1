"""What holds for every test of the JAX and the torch backend: CPU, no TensorFlow, the same seed.

`make test-backends` sets KERAS_BACKEND. The NumPy references of `tests/` need no Keras and serve here too.
"""

import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # hundreds of small programs, each run a few times
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
sys.path.append(str(Path(__file__).parents[1] / "tests"))

import keras  # noqa: E402  the backends read the environment once, when they are imported
import pytest  # noqa: E402


def pytest_configure(config):
    backend = keras.backend.backend()
    if backend not in ("jax", "torch"):
        raise pytest.UsageError(f"KERAS_BACKEND must be jax or torch. Received: KERAS_BACKEND={backend}")
    # Keras 3.15 hands NumPy 2 its variables, whose __array__ has no `copy` argument.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    )


@pytest.fixture(autouse=True)
def same_start_for_every_test():
    """One seed before each test; after it, the default dtypes are those from before."""
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(20)
    yield
    keras.config.set_dtype_policy(policy)
