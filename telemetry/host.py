"""The machine that a process runs on: its resource attributes, and how busy it is, by whomever.

The names are those of OpenTelemetry's conventions for resources and for system metrics. Those have none for the load, which is
named as their Collector names it. Every process of a machine reports the same figures, so they are taken as a maximum by
host, never added. A container reports those of the machine beneath it, as /proc has them, and not its own limits.
"""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # machine -> its name in the conventions


def attributes() -> dict[str, str]:
    """Resource attributes. In a container its name is the container's: OTEL_RESOURCE_ATTRIBUTES gives another."""
    machine = platform.machine().lower()
    return {
        "host.name": socket.gethostname(),
        "host.arch": _ARCHITECTURES.get(machine, machine),
        "os.type": platform.system().lower(),
    }


class Host:
    """The machine's figures, with those of the disk that holds `home`."""

    def __init__(self, home: Path) -> None:
        self._home, self._cpu = home, _cpu_seconds()

    def read(self) -> Mapping[str, float]:
        """Metric name -> value now; the CPU's since the last reading, 0 at first."""
        (busy_before, all_before), (busy, everything) = self._cpu, _cpu_seconds()
        self._cpu = busy, everything
        memory = psutil.virtual_memory()
        values: dict[str, float] = {
            "system.cpu.utilization": (busy - busy_before) / max(everything - all_before, 0.01),
            "system.cpu.logical.count": psutil.cpu_count() or 1,
            "system.cpu.load_average.1m": psutil.getloadavg()[0],
            "system.memory.usage": memory.total - memory.available,
            "system.memory.limit": memory.total,
        }
        with suppress(OSError):  # the home was moved away
            disk = psutil.disk_usage(str(self._home))
            values |= {"system.filesystem.usage": disk.free, "system.filesystem.limit": disk.total}
        return values


def _cpu_seconds() -> tuple[float, float]:
    """CPU seconds in which the machine was busy, and all of them, since it was started."""
    times = psutil.cpu_times()._asdict()
    everything = sum(seconds for name, seconds in times.items() if not name.startswith("guest"))  # they are in `user`
    return everything - times["idle"] - times.get("iowait", 0.0), everything
