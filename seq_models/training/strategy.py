"""Where a model is trained: on one device, on all local ones, or on those of several workers."""

import functools
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def _one():
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored():
    """One replica a GPU; without a GPU one a core, each a logical CPU device.

    Only one in a process: two strategies over the same devices would give their collective operations the same keys.
    """
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    [cpu] = tf.config.list_physical_devices("CPU")
    if not tf.config.get_logical_device_configuration(cpu):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cores)
    return tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices("CPU")])


@functools.cache
def _multi_worker():
    """One replica a GPU of every worker, or one a worker; TF_CONFIG says who they are. Waits for all of them."""
    return tf.distribute.MultiWorkerMirroredStrategy()


STRATEGIES: dict[str, Callable[..., Any]] = {"one": _one, "mirrored": _mirrored, "multi-worker": _multi_worker}


def make_strategy(name: str = "one") -> tf.distribute.Strategy:
    """A `tf.distribute` strategy by name.

    Args:
        name: "one", "mirrored" (all local GPUs, or one replica a core) or "multi-worker" (see `Cluster`). "mirrored"
            without a GPU and "multi-worker" must be asked for before TensorFlow has touched its devices.
    Raises:
        ValueError: If the name is another one.
    """
    if name not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}. Received: strategy={name!r}")
    return STRATEGIES[name]()


def distribute(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset) -> Any:
    """A dataset of this worker's share of every batch, as what `fit` takes under a strategy."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return dataset
    return strategy.distribute_datasets_from_function(lambda context: dataset)  # noqa: ARG005


def of_every_replica(strategy: tf.distribute.Strategy, number: int) -> list[int]:
    """What each replica gives for a number (an integer of 64 bits); all workers must ask."""
    numbers = strategy.experimental_distribute_values_from_function(lambda _: tf.constant([number], tf.int64))
    return _gatherer(strategy)(numbers).numpy().tolist()


@functools.cache
def _gatherer(strategy):
    """Traced once: asked eagerly, a strategy would build a graph at each call, which takes longer than many steps."""
    return tf.function(lambda numbers: strategy.gather(numbers, axis=0))
