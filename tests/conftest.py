"""Set-up of the whole suite: what one test sets in this process must not reach the next."""

import os
import shutil
import sys
import tempfile

import pytest
from hypothesis import HealthCheck, settings

from tests.shared import FOLDER

# Files with tests of a minute or more.
LONG = ("test_kill.py", "test_history.py", "test_install.py", "test_mining.py")
# Tests are deterministic, and a machine that is busy is no fault of what they test.
settings.register_profile("ours", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")

if "PYTEST_XDIST_WORKER" in os.environ:  # others work beside us: threads that wait must not spin as long as by default
    from steps import process

    process.wait_so()


def pytest_configure(config):
    """Make the folder of finished runs, unless several sessions share one (as .ci/run's do)."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="glassformer-tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(FOLDER), ignore_errors=True))


def pytest_collection_modifyitems(items):
    """Start the longest first, so that no worker begins one when the others are through; keep what shares backends together."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
    for item in items:  # for --dist loadgroup, which the stack tests run with
        if item.get_closest_marker("stack"):
            item.add_marker(pytest.mark.xdist_group("away" if "away" in item.fixturenames else item.path.stem))


@pytest.fixture(autouse=True)
def _no_processor_state_is_left():
    """Training flushes denormal numbers to zero, a setting of the whole process; hypothesis then cannot draw floats."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
