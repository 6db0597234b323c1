"""Where a model is trained: on one device, or on all local ones."""

import functools
import os

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


STRATEGIES = {"one": _one, "mirrored": _mirrored}


def make_strategy(name="one"):
    """A `tf.distribute` strategy by name.

    Args:
        name: "one" or "mirrored" (all local GPUs, or one replica a core). "mirrored" without a GPU must be asked for
            before TensorFlow has touched its devices.
    Raises:
        ValueError: If the name is another one.
    """
    if name not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}. Received: strategy={name!r}")
    return STRATEGIES[name]()
