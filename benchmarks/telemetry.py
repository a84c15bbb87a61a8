"""The cost of telemetry: the pretraining of `docs` for a fixed number of updates, with and without it.

    python -m benchmarks.telemetry [--updates 300] [--repeats 5] [--kinds off,control,live] [--resume] [--quick]

Kinds: `off` (nothing is recorded); `control`, the same again; `files` (the outbox, no backend); `live` (Loki, Prometheus
and, where it is on PATH, Tempo); `refusing` (all ports closed); `blackhole` (logs and metrics go to a socket that takes
a connection and never answers, spans to one that does not even take it). Interleaved, each run a process of its own that
trains as the step `pretrain` does, the shipper's process as its child. The live backends are up all the time, so that
all kinds have the same company.

The corpus and the tokenizer are made once, by the pipeline, in `var/benchmarks/`. Every run is written down when it has
ended: `--resume` goes on where an earlier call with as many updates stopped. A run takes some 35 s on two free cores and
all of it about twenty minutes; on a busy machine wall times and CPU seconds say little.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artifacts.home import home
from benchmarks import backends
from benchmarks.results import keep
from benchmarks.telemetry_figures import KINDS, figures, line, summary
from steps.process import WAITING
from telemetry.endpoints import variable_of
from telemetry.segments import SIGNALS

ROOT = Path(__file__).resolve().parent.parent
UPDATES, REPEATS = 300, 5


def main() -> None:
    """Measure, tell the spread, and keep the figures of a whole measurement."""
    options = _options()
    work = home() / "benchmarks"
    work.mkdir(parents=True, exist_ok=True)
    written = work / f"telemetry-{options.updates}.jsonl"
    if not options.resume:
        written.unlink(missing_ok=True)
    runs = [json.loads(text) for text in written.read_text().splitlines()] if written.exists() else []
    data = prepare(work / "docs")
    with contextlib.ExitStack() as stack:
        environments = _environments(stack, options.kinds)
        print("one run to warm up", flush=True)
        measure("off", {}, data, 5)
        for number in range(options.repeats):
            turn = number % len(options.kinds)
            for kind in options.kinds[turn:] + options.kinds[:turn]:
                if any((run["kind"], run["round"]) == (kind, number) for run in runs):
                    continue
                runs.append(measure(kind, environments[kind], data, options.updates) | {"round": number})
                with written.open("a") as file:
                    file.write(json.dumps(runs[-1]) + "\n")
                print(line(runs[-1]), flush=True)
    print(summary(runs), flush=True)
    if tuple(options.kinds) == KINDS and (options.updates, options.repeats) == (UPDATES, REPEATS):
        keep("telemetry", "python -m benchmarks.telemetry", figures(runs))
    elif set(options.kinds) == set(KINDS):  # a trial's figures are shown and not kept
        print(json.dumps(figures(runs), indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--updates", type=int, default=UPDATES, help=f"optimizer updates a run (default: {UPDATES})")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"runs of each kind (default: {REPEATS})")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"default: {','.join(KINDS)}")
    parser.add_argument("--resume", action="store_true", help="go on with the runs of an earlier call")
    parser.add_argument("--quick", action="store_true", help="two short runs of each kind, to see that it works")
    options = parser.parse_args()
    options.kinds = options.kinds.split(",")
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    if options.quick:
        options.updates, options.repeats = 20, 2
    return options


def _environments(stack: contextlib.ExitStack, kinds: list[str]) -> dict[str, Mapping[str, str]]:
    """The environment that directs each kind's telemetry."""
    nowhere: Mapping[str, str] = {}
    environments = {"off": nowhere, "control": nowhere, "files": nowhere}
    if "live" in kinds:
        environments["live"] = stack.enter_context(backends.live()).environment
    environments["refusing"] = stack.enter_context(backends.refusing())
    environments["blackholed"] = stack.enter_context(backends.blackhole())
    return environments


def prepare(folder: Path) -> Path:
    """A file with the paths of the corpus and the tokenizer; the pipeline makes them if they are missing."""
    print(f"corpus and tokenizer of docs in {folder}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    environment = _clean() | {
        "GLASSFORMER_HOME": str(folder),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(folder / "mlruns"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    pipelines = [sys.executable, "-m", "pipelines"]
    made = subprocess.run(
        [*pipelines, "run", "docs", "--to", "train_tokenizer"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        sys.exit(f"the corpus and the tokenizer could not be made:\n{made.stderr[-3000:]}")
    plan = subprocess.run(
        [*pipelines, "plan", "docs", "--json"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    digests = {entry["node"]: entry["artifact"] for entry in json.loads(plan.stdout)}
    nodes = {"corpus": "prepare_data", "tokenizer": "train_tokenizer"}
    paths = {
        kind: str(next((folder / "artifacts" / kind).glob(f"{digests[node][:16]}-*"))) for kind, node in nodes.items()
    }
    (folder / "made.json").write_text(json.dumps(paths))
    return folder / "made.json"


def measure(kind: str, endpoints: Mapping[str, str], data: Path, updates: int) -> dict[str, Any]:
    """One training in a process of its own: wall seconds, CPU seconds of its whole tree, seconds until it is gone."""
    folder = Path(tempfile.mkdtemp(prefix="glassformer-telemetry-"))
    command = [sys.executable, "-m", "benchmarks.telemetry_run", "--data", str(data), "--home", str(folder)]
    command += ["--updates", str(updates), *(["--silent"] if kind in ("off", "control") else [])]
    threads = str(len(os.sched_getaffinity(0)))
    environment = WAITING | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    try:
        with (folder / "stderr").open("wb") as log:
            started = time.monotonic()
            child = subprocess.Popen(
                command, cwd=ROOT, env=_clean() | environment | endpoints, stdout=subprocess.PIPE, stderr=log
            )
            assert child.stdout is not None
            answer = child.stdout.read()
            _, status, used = os.wait4(child.pid, 0)  # of the child, and of the children that it waited for
            gone = time.monotonic()
            child.returncode = os.waitstatus_to_exitcode(status)
            child.stdout.close()
        if child.returncode:
            sys.exit(f"{kind}: exit {child.returncode}\n{(folder / 'stderr').read_text()[-3000:]}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = json.loads(answer)
    return {
        "kind": kind, "seconds": result["ended"] - started, "exit": gone - result["ended"],
        "cpu": used.ru_utime + used.ru_stime, "digest": result["digest"], "updates": updates,
        "train_seconds": result["train_seconds"], "train_cpu": result["train_cpu"], "train_own": result["train_own"],
        "own": {name: result[name] for name in ("open", "calls", "threads", "close", "shipper", "profiler")},
    }  # fmt: skip


def _clean() -> dict[str, str]:
    """The environment without endpoints or homes of the user's own."""
    endpoints = {variable_of(signal, part) for signal in SIGNALS for part in ("ENDPOINT", "HEADERS")}
    return {n: v for n, v in os.environ.items() if n not in endpoints and not n.startswith(("MLFLOW_", "GLASSFORMER_"))}


if __name__ == "__main__":
    main()
