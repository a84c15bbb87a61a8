"""Time threads should spin before they sleep: an update alone, and of two trainings at once on the same cores.

    python -m benchmarks.waiting [history] [--training pretrain_bert] [--updates 30] [--counts 0 1000 20000]

Prints milliseconds an update for each value of GOMP_SPINCOUNT. What steps take is in `steps/process.py`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Measure; with `--child`, one training."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "pipeline", nargs="?", default="history", help="a pipeline, whose corpus and tokenizer are made first"
    )
    parser.add_argument("--training", default="pretrain_bert", help="the node whose update is timed")
    parser.add_argument("--updates", type=int, default=30, help="updates of each")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 1000, 20_000], help="values of GOMP_SPINCOUNT")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(1000 * seconds_per_update(options.pipeline, options.training, options.updates))
        return
    command = [sys.executable, "-m", "benchmarks.waiting", options.pipeline, "--training", options.training]
    command += ["--updates", str(options.updates), "--child"]
    print(f"{'GOMP_SPINCOUNT':>14} {'alone':>10} {'two at once':>12}")
    for count in options.counts:
        environment = os.environ | {"GOMP_SPINCOUNT": str(count)}
        alone, both = (
            max(
                float(child.communicate()[0].split()[-1])
                for child in [
                    subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
                    for _ in range(number)
                ]
            )
            for number in (1, 2)
        )
        print(f"{count:>14,} {alone:>7.0f} ms {both:>9.0f} ms", flush=True)


def seconds_per_update(pipeline: str, training: str, updates: int) -> float:
    """Seconds of an update of a pipeline's training."""
    from benchmarks.calibrate import Data
    from pipelines import graph

    made = Data(graph.load(pipeline)[0]).training(training, updates, busy=False)
    for _ in range(updates + 3):
        made.update()
    return made.summary().seconds


if __name__ == "__main__":
    main()
