"""Set-up of the whole suite: what one test sets in this process must not reach the next."""

import os
import re
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
    """Start the longest first, so that no worker begins one when the others are through."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """For `--dist loadfile`: a file stays with one worker, and files that share the backends of `away` stay together.

    (xdist's loadgroup does not see its marks with pytest 9.)
    """
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByBackends(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "away" if re.search(r"\baway\b", (config.rootpath / file).read_text()) else file

    return ByBackends(config, log)


@pytest.fixture(autouse=True)
def _no_processor_state_is_left():
    """Training flushes denormal numbers to zero, a setting of the whole process; hypothesis then cannot draw floats."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="module")
def one_thread():
    """PyTorch with one thread, as trainings have it: tensors of a few numbers are quickest so."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
