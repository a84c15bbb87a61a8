"""The exporter's cost at 10,000 runs: time of an answer while it collects, time of a collection, memory.

    python -m benchmarks.exporter [--runs 10000] [--seconds 60]

A sqlite store is filled with runs of 20 parameters, 20 metrics and 10 tags, and 20 models of 100 versions. The exporter
runs as a process of its own, as Prometheus sees it: asked for /metrics ten times a second from its start, through the
first reading of all runs, and for a while after, with a run that begins and ends each second.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results import keep

ROOT = Path(__file__).resolve().parent.parent
MODELS, VERSIONS = 20, 100
STATES = ("FINISHED", "FINISHED", "FINISHED", "FAILED", "KILLED")


def fill(uri: str, runs: int) -> None:
    """Rows written as MLflow writes them, by SQL: through its API this would take an hour."""
    import sqlite3

    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    client.create_run("0")
    for model in range(MODELS):
        client.create_registered_model(f"model-{model}")
    draw, now = random.Random(1), int(time.time() * 1000)
    connection = sqlite3.connect(uri.removeprefix("sqlite:///"), timeout=60)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
    first = dict(zip(columns, connection.execute("SELECT * FROM runs").fetchone(), strict=True))
    with connection:
        for number in range(runs - 1):
            run, started = uuid.UUID(int=draw.getrandbits(128)).hex, now - (runs - number) * 60_000
            state = "RUNNING" if number % 1000 == 0 else draw.choice(STATES)
            row = first | {"run_uuid": run, "status": state, "start_time": started, "end_time": started + 50_000}
            insert(connection, "runs", row)
            for key in range(20):
                insert(connection, "params", {"run_uuid": run, "key": f"parameter_{key}", "value": f"value {key}"})
                row = {
                    "run_uuid": run,
                    "key": f"metric_{key}",
                    "value": draw.random(),
                    "timestamp": started,
                    "step": 1,
                    "is_nan": 0,
                }
                insert(connection, "latest_metrics", row)
            for key in range(10):
                insert(connection, "tags", {"run_uuid": run, "key": f"tag_{key}", "value": f"value {key}"})
    connection.close()
    tags = {"glassformer.metric": "macro_f1", "glassformer.score": "0.5", "glassformer.baselines": '{"majority": 0.1}'}
    for model in range(MODELS):
        for _ in range(VERSIONS):
            client.create_model_version(f"model-{model}", "x", tags=tags)
        client.set_registered_model_alias(f"model-{model}", "champion", "3")


def insert(connection: Any, table: str, row: dict[str, Any]) -> None:
    """One row."""
    names = ", ".join(row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))


def measure(uri: str, home: Path, runs: int, seconds: float) -> dict[str, float]:
    """Query a new exporter, for the given time after it knows all runs."""
    from mlflow import MlflowClient

    client, times, known_at = MlflowClient(uri, uri), [], 0.0
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "GLASSFORMER_HOME": str(home)}
    command = [sys.executable, "-m", "deploy.exporter", "--port", "0", "--every", "5"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        started, collections, peak, began = time.monotonic(), [], 0, 0.0
        until = started + 600
        while time.monotonic() < until:
            asked = time.perf_counter()
            with urllib.request.urlopen(address, timeout=60) as answer:
                text = answer.read().decode()
            times.append(time.perf_counter() - asked)
            if not known_at and value(text, "glassformer_runs{") >= runs:
                known_at, until = time.monotonic() - started, time.monotonic() + seconds
            if known_at:
                collections.append(value(text, "glassformer_exporter_collect_seconds "))
                if time.monotonic() - began > 1:
                    client.set_terminated(client.create_run("0").info.run_id)
                    began = time.monotonic()
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
            time.sleep(0.1)
        cpu = sum(psutil.Process(process.pid).cpu_times()[:2]) / (time.monotonic() - started)
        process.terminate()
        code = process.wait(timeout=30)
    if code or not known_at:
        sys.exit(f"the exporter ended with {code}, all runs known after {known_at:.0f} s")
    return {
        "scrapes": len(times), "median": statistics.median(times), "slowest": max(times), "known": known_at,
        "collection": max(collections), "peak": peak / 1e6, "cpu": cpu, "bytes": len(text), "series": text.count("\nglassformer_"),
    }  # fmt: skip


def value(text: str, start: str) -> float:
    """The sum of the samples whose line starts so."""
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start))


def main() -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=10_000, help="runs in the store (default: 10000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="to go on once all are known (default: 60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="glassformer-") as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        fill(uri, options.runs)
        found = measure(uri, Path(folder) / "var", options.runs, options.seconds)
    print(json.dumps({name: round(one, 3) for name, one in found.items()}))
    at = f"at {options.runs:,} runs and {MODELS * VERSIONS:,} model versions"
    figures = [
        {"what": f"exporter, slowest of {found['scrapes']:,} answers {at}", "value": round(found["slowest"], 2),
         "unit": "s", "bar": "at most 1 s", "ok": found["slowest"] <= 1},
        {"what": f"exporter, median answer {at}", "value": round(found["median"], 3),
         "unit": "s", "bar": "informational", "ok": True},
        {"what": "exporter, longest collection once all runs are known", "value": round(found["collection"], 2),
         "unit": "s", "bar": "at most 5 s", "ok": found["collection"] <= 5},
        {"what": "exporter, peak memory", "value": round(found["peak"]),
         "unit": "MB", "bar": "at most 512 MB", "ok": found["peak"] <= 512},
    ]  # fmt: skip
    if (options.runs, options.seconds) == (10_000, 60.0):
        keep("exporter", "python -m benchmarks.exporter", figures)
    else:  # a trial's figures are shown and not kept
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
