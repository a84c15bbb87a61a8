"""What one test sets in this process must not reach the next."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# Tests are deterministic, and a machine that is busy is no fault of what they test.
settings.register_profile("ours", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")

if "PYTEST_XDIST_WORKER" in os.environ:  # others work beside us: threads that wait must not spin as long as by default
    from steps import process

    process.wait_so()


@pytest.fixture(autouse=True)
def _no_processor_state_is_left():
    """Training flushes denormal numbers to zero, a setting of the whole process; hypothesis then cannot draw floats."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
