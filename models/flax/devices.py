"""Devices by their names, and JAX's settings for the same bytes in each run."""

from __future__ import annotations

import os

import jax

from models.devices import Compute

_REPEATABLE = {
    "xla_cpu_multi_thread_eigen": "false",  # one thread computes a product: its parts are added in one order on any machine
    "xla_gpu_deterministic_ops": "true",
}


def prepare() -> None:
    """Make XLA repeatable. It reads its flags when the first array is made; a flag that is set already stays."""
    flags = os.environ.get("XLA_FLAGS", "")
    more = [f"--{name}={value}" for name, value in _REPEATABLE.items() if f"--{name}=" not in flags]
    if more:
        os.environ["XLA_FLAGS"] = " ".join([*flags.split(), *more])


def device_of(compute: Compute) -> jax.Device:
    """The device on which a network computes. ValueError for one that JAX does not have here, and for a choice that is PyTorch's."""
    if compute.precision != "float32":
        raise ValueError(
            f"precision={compute.precision} has no twin in Flax: set precision=float32, or framework=torch, which has it"
        )
    if compute.compiled:
        raise ValueError("compile=true is of PyTorch; XLA compiles Flax always: set compile=false")
    prepare()
    try:
        found: list[jax.Device] = jax.devices("cpu" if compute.device == "cpu" else "gpu")
    except RuntimeError:
        found = []
    if not found or compute.device == "mps":
        raise ValueError(f"JAX has no device {compute.device} here; set device=cpu, or framework=torch")
    return found[0]
