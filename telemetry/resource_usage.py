"""Resource usage of this process, of its machine, and of its GPU, if it has one: read whenever metrics are written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from telemetry.gpu_usage import Gpu
from telemetry.host import Host

_SAME_READING = 0.5  # seconds: the metrics of one writing are asked for one by one


class Readings:
    """The process's own figures, and its machine's. A platform without I/O counters (macOS) has no I/O metrics."""

    def __init__(self, home: Path) -> None:
        self._process, self._host, self._gpu = psutil.Process(), Host(home), Gpu.find()
        self._at, self._cpu = time.monotonic(), self._cpu_seconds()
        self._values: Mapping[str, float] = {}

    def all(self) -> Mapping[str, float]:
        """Metric name -> value now."""
        now = time.monotonic()
        if not self._values or now - self._at >= _SAME_READING:
            self._values = self._read(now)
        return self._values

    def _read(self, now: float) -> Mapping[str, float]:
        cpu = self._cpu_seconds()
        values: dict[str, float] = {
            "process.resident_bytes": self._process.memory_info().rss,
            "process.cpu_cores": (cpu - self._cpu) / max(1e-3, now - self._at),
        }
        self._at, self._cpu = now, cpu
        if hasattr(self._process, "io_counters"):
            used = self._process.io_counters()
            values |= {"process.read_bytes": used.read_bytes, "process.written_bytes": used.write_bytes}
        return {**values, **self._host.read(), **(self._gpu.read() if self._gpu else {})}

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
