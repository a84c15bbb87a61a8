"""100,000 records through the outbox and to live backends: records a second, bytes a record, peak memory.

    python -m benchmarks.telemetry_volume [--few 10000] [--many 100000]

Of ten records four are log lines, two are spans and four are data points, all recorded through an `Observe`, as a step does
them. One process writes them, another then delivers them to Loki, Prometheus and, where it is on PATH, Tempo; its batches
are what a run's shipper sends. The peak memory of each at ten times the records shows whether it is bounded.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks import backends
from benchmarks.results import keep
from benchmarks.synthetic_recording import Speaking
from telemetry import delivery_state
from telemetry.endpoints import endpoints_of
from telemetry.segments import SIGNALS
from telemetry.shipper import Shipper

ROOT = Path(__file__).resolve().parent.parent
FEW, MANY = 10_000, 100_000
MOST_MEMORY = 1.5  # times that of a tenth: a batch is at most 1 MB, and few records fill none
_GAUGES = (
    "training.loss",
    "training.learning_rate",
    "training.gradient_norm",
    "training.tokens_per_second",
    "training.updates_per_second",
    "training.padding_share",
    "training.not_finite",
)
_ON_ITS_OWN = 5  # data points that every process writes of itself: memory, CPU, disk, progress


def write(outbox: Path, records: int) -> dict[str, float]:
    """Say so many records, and what that took. In a process of its own."""
    observe = Speaking.open(
        "glassformer", pipeline="volume", run=f"volume-{records}", step="pretrain", node="pretrain", outbox=outbox,
        log_file=outbox.parent / "log.jsonl", terminal=True,
    )  # fmt: skip
    assert isinstance(observe, Speaking)
    points = len(_GAUGES) + 2 + _ON_ITS_OWN  # of one writing
    rounds = records // (points * 10 // 4)
    started, draw = time.perf_counter(), random.Random(1)
    for number in range(rounds):
        for line in range(points):  # digests are what does not compress
            message = f"pretrain made checkpoint {draw.getrandbits(48):012x} in {draw.random() * 100:.1f} s"
            observe.log(
                "step.finished", message, level="debug", state="made", cost={"seconds": line, "cpu_seconds": number}
            )
        for _ in range(points // 2):
            with observe.span("validate", node="pretrain"):
                observe.measure("training.update_loss", 10 * draw.random(), update=number)
        observe.measure("training.update_seconds", draw.random(), update=number)
        for gauge in _GAUGES:
            observe.metric(gauge, draw.random(), update=number)
        observe.flush()
    observe.close()
    return {"seconds": time.perf_counter() - started, "cpu": time.process_time(), "peak": _peak()}


def deliver(outbox: Path) -> dict[str, float]:
    """Deliver an outbox, and what that took. In a process of its own."""
    sent: list[int] = []
    compress = gzip.compress

    def count_bytes(data: bytes, *given: Any, **named: Any) -> bytes:
        body = compress(data, *given, **named)
        sent.append(len(body))
        return body

    started = time.perf_counter()
    with patch.object(gzip, "compress", count_bytes):
        shipper = Shipper(outbox, endpoints_of(outbox), lambda text: print(text, file=sys.stderr, flush=True))
        shipper.start()
        shipper.drain(60, patient=True)
    found = delivery_state.Delivered.read(outbox).signals.values()
    return {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time(),
        "peak": _peak(),
        "sent": sum(sent),
        "requests": len(sent),
        "delivered": sum(one.delivered for one in found),
        "refused": sum(one.set_aside for one in found),
    }


def measure(records: int, environment: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Write and deliver so many records."""
    folder = Path(tempfile.mkdtemp(prefix="glassformer-volume-"))
    try:
        written = _child("write", folder / "outbox", records, {})
        waiting = [delivery_state.waiting(folder / "outbox", signal) for signal in SIGNALS]
        written |= {
            "records": sum(one.records for one in waiting),
            "bytes": sum(path.stat().st_size for path in (folder / "outbox").glob("*/*.seg")),
        }
        summary = f"{written['records']:,} records written, {written['bytes']:,} bytes"
        print(f"{summary}, {_cost(written)}", flush=True)
        delivered = _child("deliver", folder / "outbox", records, environment)
        summary = (
            f"{delivered['delivered']:,} delivered by {delivered['requests']} requests of {delivered['sent']:,} bytes"
        )
        print(f"{summary}, {delivered['refused']} refused, {_cost(delivered)}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if delivered["delivered"] != written["records"]:
        sys.exit(f"{written['records']} records were written and {delivered['delivered']} delivered")
    return {"written": written, "delivered": delivered}


def _cost(of: Mapping[str, float]) -> str:
    return f"{of['seconds']:.1f} s, {of['cpu']:.1f} of CPU, peak {of['peak'] / 1e6:.0f} MB"


def _child(what: str, outbox: Path, records: int, environment: Mapping[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.telemetry_volume", "--child", what, str(outbox), str(records)]
    answer = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    if answer.returncode:
        sys.exit(f"{what}: exit {answer.returncode}\n{answer.stderr[-3000:]}")
    print(answer.stderr, end="", file=sys.stderr)
    figures: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return figures


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def figures(few: dict[str, dict[str, float]], many: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """The figures of the larger size, and the memory of both."""
    written, delivered = many["written"], many["delivered"]
    count = written["records"]
    summary = [
        ("records a second into the outbox", round(count / written["seconds"]), "records/s"),
        ("records a second from the outbox to live backends", round(count / delivered["seconds"]), "records/s"),
        ("bytes a record in the outbox", round(written["bytes"] / count), "bytes"),
        ("bytes a record on the wire", round(delivered["sent"] / count), "bytes"),
    ]
    found = [
        {"what": what, "value": value, "unit": unit, "bar": "informational", "ok": True}
        for what, value, unit in summary
    ]
    for name, who in (("written", "the process that writes"), ("delivered", "the shipper")):
        ratio = many[name]["peak"] / few[name]["peak"]
        found.append(
            {
                "what": f"peak memory of {who} ({many[name]['peak'] / 1e6:.0f} MB), {MANY:,} records against {FEW:,}",
                "value": round(ratio, 2),
                "unit": "x",
                "bar": f"at most {MOST_MEMORY} x",
                "ok": ratio <= MOST_MEMORY,
            }
        )
    return found


def main() -> None:
    """Measure both sizes and keep the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--few", type=int, default=FEW, help=f"records of the small run (default: {FEW})")
    parser.add_argument("--many", type=int, default=MANY, help=f"records of the large run (default: {MANY})")
    parser.add_argument("--child", nargs=3, metavar=("WHAT", "OUTBOX", "RECORDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, outbox, records = options.child
        print(json.dumps(write(Path(outbox), int(records)) if what == "write" else deliver(Path(outbox))))
        return
    with backends.live() as live:
        few, many = measure(options.few, live.environment), measure(options.many, live.environment)
    found = figures(few, many)
    if (options.few, options.many) == (FEW, MANY):
        keep("telemetry_volume", "python -m benchmarks.telemetry_volume", found)
    else:  # a trial's figures are shown and not kept
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
