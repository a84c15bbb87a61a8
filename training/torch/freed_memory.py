"""Freed memory that stays with the process.

By default glibc gives large pieces back to the system when an update frees them; the next one then has the same pages anew, each
filled with zeros by the system first.
"""

from __future__ import annotations

import ctypes
from functools import cache

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # parameters of mallopt(3)
_HEAP = 64 << 20  # bytes, of a heap of another thread than the first


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep what is freed. False with another C library, which does as it likes."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    mallopt(_MMAP_THRESHOLD, _HEAP // 2)  # the largest that it takes
    mallopt(_TRIM_THRESHOLD, 1 << 30)
    mallopt(_TOP_PAD, _HEAP)
    return True
