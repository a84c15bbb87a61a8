"""The time of records: the wall clock at its first reading in this process, continued by a monotonic clock.

A wall clock that is stepped (by NTP, by a person, by a virtual machine that wakes) would put later records before earlier
ones, and end a span before it began. So within a process it is read once. On Linux the monotonic clock includes the time
that the machine slept, so a laptop closed overnight is right in the morning. A forked child keeps its parent's time; a
newly started process reads the wall clock again.
"""

from __future__ import annotations

import sys
import time
from functools import lru_cache

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ns() -> int:
    """Nanoseconds since 1970. In one process never less than before."""
    return _offset() + time.clock_gettime_ns(_STEADY)


def process_began_ns() -> int:
    """When the system started this process, in the same terms, to a hundredth of a second."""
    import psutil

    created = psutil.Process().create_time()
    if sys.platform != "linux":
        return round(created * 1e9)
    # Since the system's start, as Linux has it: psutil adds when that was, in whole seconds.
    return _offset() + round((created - psutil.boot_time()) * 1e9)


@lru_cache(maxsize=1)
def _offset() -> int:
    return time.time_ns() - time.clock_gettime_ns(_STEADY)
