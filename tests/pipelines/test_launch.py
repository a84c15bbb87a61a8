"""How a driver ends what it has started."""

import subprocess
import sys

from tests.pipeline_home import ROOT

# In a process of its own: `end_children` ends all children of the process that calls it.
PROGRAM = """
import subprocess, sys, threading, time
from pipelines import launch

launch._GRACE = {grace}
codes = []
over = threading.Event()

def starter():
    time.sleep({delay})
    code = "import signal; {prelude}print('up', flush=True); import time; time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    if {waits_for_up}:
        child.stdout.readline()
        up.set()
    codes.append(child.wait())
    over.set()

up = threading.Event()
threading.Thread(target=starter).start()
if {waits_for_up}:
    up.wait()
launch.end_children(over.is_set)
over.wait()
print(codes)
"""


def codes(**how: object) -> str:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(**how)], cwd=ROOT, capture_output=True, text=True, timeout=50, check=True
    )
    return process.stdout.strip()


def test_running_child_receives_sigterm() -> None:
    assert codes(grace=30, delay=0, prelude="", waits_for_up=True) == "[-15]"


def test_child_started_during_shutdown_receives_sigterm() -> None:
    assert codes(grace=30, delay=0.5, prelude="", waits_for_up=False) == "[-15]"


def test_child_ignoring_sigterm_is_killed() -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    assert codes(grace=0.5, delay=0, prelude=deaf, waits_for_up=True) == "[-9]"
