"""Devices by their names, and JAX's settings for the same bytes in each run."""

from __future__ import annotations

import os
import platform
import zlib
from pathlib import Path

import jax

from models.devices import Compute
from models.twins import check_compute

_MOST_KEPT, _WORTH_KEEPING_S = 1 << 30, 0.1
_REPEATABLE = {
    "xla_cpu_multi_thread_eigen": "false",
    "xla_gpu_deterministic_ops": "true",
}


def prepare(folder: Path | None = None) -> None:
    """Make XLA repeatable, whatever the number of cores. It reads its flags when the first array is made; a flag that is set already
    stays.

    A program is computed by the one thread that calls it, and several threads side by side: with a pool of its own XLA would cut loops
    and products into as many parts as there are cores, and round each sum accordingly.

    What it compiles is kept in `folder`, if given, for the next process on a machine of the same kind; at most 1 GiB of it.
    """
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder / _kind_of_machine()))
        jax.config.update("jax_compilation_cache_max_size", _MOST_KEPT)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING_S)
    os.environ["NPROC"] = "1"  # threads of that pool
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    flags = os.environ.get("XLA_FLAGS", "")
    more = [f"--{name}={value}" for name, value in _REPEATABLE.items() if f"--{name}=" not in flags]
    if more:
        os.environ["XLA_FLAGS"] = " ".join([*flags.split(), *more])


def _kind_of_machine() -> str:
    """The processor, with what it can do: programs for one are not for another."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        about = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        about = platform.processor()
    return f"{platform.machine()}-{zlib.crc32(about.encode()):08x}"


def device_of(compute: Compute) -> jax.Device:
    """The device on which a network computes. ValueError for one that JAX does not have here, and for a choice that is PyTorch's."""
    check_compute("flax", compute)
    prepare()
    try:
        found: list[jax.Device] = jax.devices("cpu" if compute.device == "cpu" else "gpu")
    except RuntimeError:
        found = []
    if not found or compute.device == "mps":
        raise ValueError(f"JAX has no device {compute.device} here; set device=cpu, or framework=torch")
    return found[0]
