"""TensorFlow's devices and its settings for results that repeat themselves."""

from __future__ import annotations

from contextlib import suppress

import tensorflow as tf

from models.devices import Compute
from models.twins import check_compute

_DEVICES = {"cpu": "/CPU:0", "cuda": "/GPU:0"}


def device_of(compute: Compute) -> str:
    """TensorFlow's name of a device. ValueError, in one line, for a choice that only PyTorch has."""
    check_compute("tensorflow", compute)
    if compute.device not in _DEVICES:
        raise ValueError(
            f"framework=tensorflow has no {compute.device}: set device=cpu, or framework=torch, which has it"
        )
    if compute.device == "cuda" and not tf.config.list_physical_devices("GPU"):
        raise ValueError("this TensorFlow sees no GPU: set device=cpu, or install a build of TensorFlow with CUDA")
    return _DEVICES[compute.device]


def prepare() -> None:
    """Make TensorFlow repeatable: deterministic kernels, and one thread for each of them, since sums depend on how they are cut among
    threads. Shards and independent operations are computed side by side. Once TensorFlow has computed anything its threads are as they are.
    """
    tf.config.experimental.enable_op_determinism()
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)  # PyTorch may need some, too
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        with suppress(RuntimeError):  # it has computed something
            tf.config.threading.set_intra_op_parallelism_threads(1)
