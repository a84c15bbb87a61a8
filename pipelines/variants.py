"""`each`: the same pipeline once for each value of a parameter, one run after another or several at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from artifacts.home import CALLED_IN, CHECKOUT
from pipelines.graph import Pipeline
from pipelines.launch import as_text, end_children
from pipelines.session import RunOptions
from telemetry import Interrupted, Observe
from telemetry.progress import SIDE_BY_SIDE


def run_variants(name: str, variants: list[Pipeline], options: RunOptions, jobs: int) -> int:
    """Run every variant as a process of its own, its nodes one after another. Shared nodes run only once, thanks to the lock of
    each node.

    Returns 0 when all went well, else the first bad exit code; the other variants run all the same.
    """
    waiting = list(enumerate(variants, 1))
    running: dict[int, subprocess.Popen[bytes]] = {}
    codes: dict[int, int] = {}
    environment = os.environ | {CALLED_IN: str(Path.cwd())} | ({SIDE_BY_SIDE: "1"} if jobs > 1 else {})
    observe = Observe.silent()
    observe.install_signal_handlers()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, variant = waiting.pop(0)
                shown = " ".join(f"{key}={value}" for key, value in variant.variant.items())
                print(f"{name}: {number} of {len(variants)}: {shown}", file=sys.stderr, flush=True)
                running[number] = subprocess.Popen(_command(name, number, options), cwd=CHECKOUT, env=environment)
            for number, process in list(running.items()):
                if process.poll() is not None:
                    codes[number] = running.pop(number).returncode
            time.sleep(0.1)
    except Interrupted as error:
        end_children(lambda: all(process.poll() is not None for process in running.values()))
        observe.signal_heard()
        return 128 + error.signal_number
    return next((code for _, code in sorted(codes.items()) if code), 0)


def _command(name: str, number: int, options: RunOptions) -> list[str]:
    flags = [
        ("--variant", str(number)),
        ("--from", options.start),
        ("--to", options.stop),
        ("--force", ",".join(options.force)),
    ]
    command = [sys.executable, "-m", "pipelines", "run", name, "--jobs", "1"]
    command += ["--promote", as_text(options.promote)]
    command += [part for flag, value in flags if value for part in (flag, value)]
    return command + [part for setting in options.settings for part in ("--set", setting)]
