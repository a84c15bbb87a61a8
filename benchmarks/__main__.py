"""Every figure of the README, measured on this machine: `python -m benchmarks`."""

import runpy
import sys

if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    for name in (
        "launch",
        "ranks",
        "train_encoder",
        "parity",
        "prepare",
        "training_memory",
        "exporter",
        "telemetry",
        "telemetry_volume",
        "dashboards",
        "gate",
        "serving",
        "abuse",
        "results",
    ):
        print(f"== benchmarks.{name}", flush=True)
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
