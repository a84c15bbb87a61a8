"""Frameworks, devices and precisions by their names, without loading any: the choices, and what `auto` is on this machine.

auto device       cuda where its driver and PyTorch's build have one, else cpu (mps is chosen by name alone)
auto precision    bfloat16 on a CUDA device of compute capability 8.0 or later, else float32
auto compile      false
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Compile = Literal["auto", "true", "false"]
Framework = Literal["torch", "flax", "tensorflow"]

DEVICES, PRECISIONS = get_args(Device), get_args(Precision)
FRAMEWORKS = {"torch": "PyTorch", "flax": "Flax", "tensorflow": "TensorFlow"}  # and their names for people
# Of each framework the modules that it needs, and the distributions whose versions a result can depend on.
MODULES = {"torch": (), "flax": ("jax", "flax", "optax"), "tensorflow": ("tensorflow",)}
DISTRIBUTIONS = {
    "torch": (),
    "flax": ("jax", "jaxlib", "flax", "optax"),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),  # one of them
}
VARIABLES = {"device": "GLASSFORMER_DEVICE", "precision": "GLASSFORMER_PRECISION"}  # for the process of a model version
_WITH_BFLOAT16 = (8, 0)  # compute capability: Ampere
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of the driver's interface


@dataclass(frozen=True)
class Compute:
    """Framework, device, precision and compilation of a network, with nothing left to `auto`."""

    device: str = "cpu"
    precision: str = "float32"
    compiled: bool = False
    framework: str = "torch"

    @property
    def shares_cores(self) -> bool:
        """Whether threads compute side by side: a GPU does one thing after another, and threads must not compile at once."""
        return self.device == "cpu" and not self.compiled

    def environment(self) -> dict[str, str]:
        """Variables from which `Compute.from_environment` has the same device and precision in another process."""
        return {VARIABLES["device"]: self.device, VARIABLES["precision"]: self.precision}

    @classmethod
    def of(
        cls, device: str = "auto", precision: str = "auto", compiled: str = "false", framework: str = "torch"
    ) -> Compute:
        """These choices, resolved. ValueError for a device that is absent, or a precision that it has not."""
        device = resolve_device(device)
        return cls(device, resolve_precision(precision, device), resolve_compile(compiled) == "true", framework)

    @classmethod
    def from_environment(cls) -> Compute:
        """As the process that started this one asks for it; the CPU in float32 without a word."""
        device = os.environ.get(VARIABLES["device"], "cpu")
        return cls.of(device, os.environ.get(VARIABLES["precision"], "float32"))


CPU = Compute()  # in float32, nothing compiled


def resolve_device(device: str) -> str:
    """cpu, cuda or mps. ValueError, in one line, if this machine has no such device."""
    if device == "auto":
        return "cuda" if cuda_capability() and _has_cuda_build() else "cpu"
    if device == "cuda":
        if not _has_cuda_build():
            raise ValueError(
                "this PyTorch is built without CUDA; run `make setup` without TORCH=cpu, or set device=cpu (or auto)"
            )
        if not cuda_capability():
            raise ValueError(
                "no CUDA device found; check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or set device=cpu (or auto)"
            )
    if device == "mps" and not (sys.platform == "darwin" and platform.machine() == "arm64"):
        raise ValueError("mps is the GPU of an Apple computer, and this is none; set device=cpu (or auto)")
    return device


def resolve_precision(precision: str, device: str) -> str:
    """float32, bfloat16 or float16. ValueError if the device does not have it."""
    if precision == "auto":
        return "bfloat16" if device == "cuda" and (cuda_capability() or (0, 0)) >= _WITH_BFLOAT16 else "float32"
    if precision == "float16" and device == "cpu":
        raise ValueError("float16 is for GPUs; on a CPU set precision=float32, or bfloat16")
    if precision == "bfloat16" and device == "cuda" and (capability := cuda_capability() or (0, 0)) < _WITH_BFLOAT16:
        shown = ".".join(map(str, capability))
        raise ValueError(f"bfloat16 needs compute capability 8.0, this GPU has {shown}; set precision=float16")
    return precision


def check_framework(framework: str) -> str:
    """The framework. ValueError if its packages are not installed."""
    missing = [name for name in MODULES[framework] if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"framework={framework} needs {', '.join(missing)}: `make setup FRAMEWORKS=1` "
            "(or `pip install 'glassformer[frameworks]'`) brings them; or set framework=torch"
        )
    return framework


def resolve_compile(compiled: str) -> str:
    """`true` or `false`. `auto` is false on every device so far: nobody has measured a gain on a GPU."""
    return "false" if compiled == "auto" else compiled


@cache
def cuda_capability() -> tuple[int, int] | None:
    """Compute capability of the first CUDA device that CUDA_VISIBLE_DEVICES leaves; None without one.

    Asked of the driver: loading PyTorch takes seconds, and a plan needs no more than this.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        number, values = ctypes.c_int(), (ctypes.c_int(), ctypes.c_int())
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(number)) or not number.value:
            return None
        for attribute, value in zip((_MAJOR, _MINOR), values, strict=True):
            if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, 0):
                return None
    except (OSError, AttributeError):
        return None
    return values[0].value, values[1].value


@cache
def _has_cuda_build() -> bool:
    """Whether the installed PyTorch has CUDA kernels, by the file that its build wrote; PyTorch is not loaded."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    try:
        text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return bool(re.search(r"^cuda\b[^=]*= *['\"]", text, re.MULTILINE))
