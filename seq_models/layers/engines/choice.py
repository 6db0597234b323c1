"""The choice of the engine that runs a call."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import keras

from seq_models.layers.engines.engine import Engine, Facts, Run
from seq_models.layers.engines.fused import Fused
from seq_models.layers.engines.halves import Halves
from seq_models.layers.engines.loop import Loop
from seq_models.layers.engines.steps import Steps
from seq_models.private_api import compiled_by_xla

# By name, the fastest first: of those that can run a call the first one that pays is chosen.
ENGINES: dict[str, Engine] = {"fused": Fused(), "halves": Halves(), "loop": Loop(), "steps": Steps()}

_asked_for: ContextVar[tuple[Engine, ...]] = ContextVar("engines asked for", default=())
_beside: ContextVar[bool] = ContextVar("whether loops run beside each other", default=False)


def choose(facts: Facts, engine: str = "auto") -> Engine:
    """The engine of a call.

    Args:
        facts: What is known of the call.
        engine: "auto", or the name of an engine. Those that `using` asks for come before either.
    Raises:
        ValueError: If `engine` is no name, or the name of an engine that cannot run the call.
    """
    for asked in _asked_for.get():
        if asked.why_not(facts) is None:
            return asked
    if engine == "auto":
        return next(each for each in ENGINES.values() if each.why_not(facts) is None and each.pays(facts))
    check_name(engine)
    needed = ENGINES[engine].why_not(facts)
    if needed is not None:
        raise ValueError(f"engine={engine!r} needs {needed}")
    return ENGINES[engine]


def check_name(engine: str) -> None:
    """Raises a ValueError if `engine` is neither "auto" nor the name of an engine."""
    if engine not in ("auto", *ENGINES):
        raise ValueError(f"engine must be one of auto, {', '.join(ENGINES)}. Received: engine={engine!r}")


def facts_of(run: Run) -> Facts:
    """The facts of a run that is about to start."""
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return Facts(
        cell=run.cell,
        unroll=run.layer.unroll,
        training=run.training,
        rows=run.sequences.shape[0],
        graph=on_tensorflow and not hasattr(run.sequences, "numpy"),
        gpu=on_tensorflow and bool(keras.distribution.list_devices("gpu")),  # JAX without one raises an error
        xla=on_tensorflow and compiled_by_xla(),
        beside=_beside.get(),
    )


def using(*engines: Engine) -> contextlib.AbstractContextManager[None]:
    """Within it, the first of these engines that can runs every recurrent layer; where none can, the choice stays.

    Args:
        engines: In the order of preference.
    """
    return _within(_asked_for, engines)


def beside_each_other() -> contextlib.AbstractContextManager[None]:
    """Within it, recurrent layers run beside each other, so that none need be split to keep two cores busy."""
    return _within(_beside, True)


@contextlib.contextmanager
def _within(variable: ContextVar, value: object) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
