"""The choice of the engine that runs a call."""

import contextlib
import itertools
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple

import keras

from seq_models.layers.engines.cudnn import CuDNN
from seq_models.layers.engines.engine import Engine, Facts, Run
from seq_models.layers.engines.fused import Fused
from seq_models.layers.engines.loop import Halves, Loop, Steps
from seq_models.private_api import being_exported, compiled_by_xla

# By name, the fastest first: of those that can run a call the first one that pays is chosen.
ENGINES: dict[str, Engine] = {
    "cudnn": CuDNN(),
    "fused": Fused(),
    "halves": Halves(),
    "loop": Loop(),
    "steps": Steps(),
}

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
        able = (name for name, each in ENGINES.items() if each.pays(facts) and each.why_not(facts) is None)
        engine = next(able, "steps")  # whose reason is that of all, if there is none
    check_name(engine)
    needed = ENGINES[engine].why_not(facts)
    if needed is not None:
        raise ValueError(f"engine={engine!r} needs {needed}")
    return ENGINES[engine]


class Used(NamedTuple):
    """What ran a call, and why.

    Attributes:
        name: Of the engine; its class where `using` asked for one that has no name.
        why: What each faster engine needs, or that it does not pay; "" where there is none.
    """

    name: str
    why: str

    @classmethod
    def of(cls, engine: Engine, facts: Facts) -> "Used":
        """That `engine` runs a call of these facts."""
        name = next((name for name, each in ENGINES.items() if each is engine), type(engine).__name__)
        faster = itertools.takewhile(lambda each: each != name, ENGINES) if name in ENGINES else ()
        return cls(name, "; ".join(f"{each} {_lack(ENGINES[each], facts)}" for each in faster))


def check_name(engine: str) -> None:
    """Raises a ValueError if `engine` is neither "auto" nor the name of an engine."""
    if engine not in ("auto", *ENGINES):
        raise ValueError(f"engine must be one of auto, {', '.join(ENGINES)}. Received: engine={engine!r}")


def facts_of(run: Run) -> Facts:
    """The facts of a run that is about to start."""
    backend = keras.backend.backend()
    on_tensorflow = backend == "tensorflow"
    graph = on_tensorflow and not hasattr(run.sequences, "numpy")
    return Facts(
        cell=run.cell,
        unroll=run.layer.unroll,
        use_cudnn=getattr(run.layer, "use_cudnn", "auto"),
        training=run.training,
        weight_dropout=run.recurrent_kernel is not None,
        rows=run.sequences.shape[0],
        masked=run.mask is not None,
        backend=backend,
        graph=graph,
        gpu=backend in ("tensorflow", "jax") and _has_gpu(),
        xla=on_tensorflow and compiled_by_xla(),
        exported=graph and being_exported(),
        beside=_beside.get(),
    )


def _lack(engine, facts):
    """Why an engine is not chosen for a call."""
    if not engine.pays(facts):  # asked first, because it costs nothing
        return "does not pay"
    needed = engine.why_not(facts)
    return "was not asked for" if needed is None else f"needs {needed}"


def _has_gpu():
    try:
        return bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:  # JAX without one
        return False


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
