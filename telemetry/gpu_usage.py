"""Usage of the NVIDIA GPU that this process sees first: memory, utilization, power, read from the driver's library NVML.

NVML comes with the driver, so it is called as it is: no package is needed, and nothing is read where there is no such GPU. The figures
are the whole device's, as `nvidia-smi` shows them, whoever uses it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Any


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))  # percent


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))  # bytes


class Gpu:
    """A GPU's figures. `find` opens it."""

    def __init__(self, library: Any, handle: ctypes.c_void_p) -> None:
        self._library, self._handle = library, handle

    @classmethod
    def find(cls) -> Gpu | None:
        """The first GPU that CUDA_VISIBLE_DEVICES leaves; None without a driver or a GPU."""
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
        try:
            library = ctypes.CDLL("libnvidia-ml.so.1")
            if library.nvmlInit_v2():
                return None
            handle = ctypes.c_void_p()
            if first.isdecimal():
                failed = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(first)), ctypes.byref(handle))
            else:
                failed = library.nvmlDeviceGetHandleByUUID(first.encode(), ctypes.byref(handle))
        except (OSError, AttributeError):
            return None
        return None if failed else cls(library, handle)

    def read(self) -> Mapping[str, float]:
        """Metric name -> value now, of those that this GPU has."""
        memory, used, milliwatts = _Memory(), _Utilization(), ctypes.c_uint()
        values: dict[str, float] = {}
        if not self._library.nvmlDeviceGetMemoryInfo(self._handle, ctypes.byref(memory)):
            values["gpu.used_bytes"], values["gpu.total_bytes"] = float(memory.used), float(memory.total)
        if not self._library.nvmlDeviceGetUtilizationRates(self._handle, ctypes.byref(used)):
            values["gpu.utilization"] = used.gpu / 100
        if not self._library.nvmlDeviceGetPowerUsage(self._handle, ctypes.byref(milliwatts)):
            values["gpu.power"] = milliwatts.value / 1000
        return values
