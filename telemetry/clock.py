"""The time of records: the wall clock as it stood when this process first asked, carried on by one that nobody can set.

A wall clock that is stepped (by NTP, by a person, by a virtual machine that wakes) would put what came later before what
came earlier, and end a span before it began. So within a process it is read once. What carries it on counts the time that
a machine slept where the system has such a clock (Linux), so that a laptop closed over night is right in the morning.
A child that was forked keeps its parent's time; one that was started anew takes the wall clock as it stands then.
"""

from __future__ import annotations

import time
from functools import lru_cache

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ns() -> int:
    """Nanoseconds since 1970. In one process never less than before."""
    return _offset() + time.clock_gettime_ns(_STEADY)


@lru_cache(maxsize=1)
def _offset() -> int:
    return time.time_ns() - time.clock_gettime_ns(_STEADY)
