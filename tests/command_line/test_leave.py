"""The quick end of a program."""

import subprocess
import sys

from tests.pipeline_home import ROOT

PROGRAM = """
import atexit, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from command_line import leave

class Told:
    def __del__(self):
        print("taken apart")

told = Told()
atexit.register(print, "registered", end="")
pool = ThreadPoolExecutor(1)
pool.submit(lambda: (time.sleep(0.3), print("worked")))
threading.Thread(target=lambda: (time.sleep(0.2), print("waited for"))).start()
sys.stderr.write("said")
leave(3)
"""


def test_leave_ends_with_code_after_threads_and_exit_functions_and_takes_nothing_apart():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (3, "waited for\nworked\nregistered", "said")
