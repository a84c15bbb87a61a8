"""Tests of what happens by itself, a moment later."""

import time
from typing import Any


def until(met: Any, seconds: float = 20.0) -> Any:
    """Wait until something is so, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := met():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come to pass")
