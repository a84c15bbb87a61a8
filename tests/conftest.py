"""What one test sets in this process must not reach the next."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _no_processor_state_is_left():
    """Training flushes denormal numbers to zero, a setting of the whole process; hypothesis then cannot draw floats."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
