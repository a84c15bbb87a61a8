"""Synthetic runs of a pipeline in an outbox, to see dashboards and backends under the load of months.

    python -m benchmarks.synthetic_runs --runs 200 --outbox var/outbox [--hours 20]
    python -m telemetry replay

A run that ends well, one that takes half its nodes from the cache and one that fails are recorded once
(`benchmarks/synthetic_recording.py`), then replayed with run, trace, span and instance ids of their own, begun evenly over the
last hours, the newest ended just now. Loki takes lines up to a day old into streams that are alive, Prometheus samples
up to 36 hours old.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.synthetic_recording import RUN, Said, change_times, record
from benchmarks.synthetic_script import Outcome
from telemetry.outbox import Outbox

OUTCOMES: tuple[Outcome, ...] = ("done", "done", "cached", "done", "failed")
_NEVER_DROP = 64 << 30  # bytes: a generator's outbox has no bound


@dataclass(frozen=True)
class Replayed:
    """One run of many: where it begins, its ids."""

    begin_ns: int
    said: Sequence[Said]
    run: str
    trace_id: bytes
    span_mask: bytes

    def at(self, number: int) -> Any:
        """A request of the recording, with this run's ids and times."""
        said = self.said[number]
        request = type(said.request)()
        request.CopyFrom(said.request)
        change_times(request, lambda time_ns: time_ns + self.begin_ns)
        _change_ids(request, self)
        for field, parts in request.ListFields():
            assert field.name.startswith("resource_")
            for part in parts:
                for pair in part.resource.attributes:
                    self._change_about(pair, said.process)
        return request

    def _change_about(self, pair: Any, process: int) -> None:
        if pair.key == "glassformer.run":
            pair.value.string_value = self.run
        elif pair.key == "service.instance.id":  # run, node, process id: two processes of a node differ
            node = pair.value.string_value.removeprefix(f"{RUN}-").rpartition("-")[0]
            pair.value.string_value = f"{self.run}-{node}-{1000 + process}"


def _change_ids(message: Any, to: Replayed) -> None:
    """Put the run's own trace id, and span ids that still name one another."""
    for field, value in message.ListFields():
        if field.name == "trace_id":
            message.trace_id = to.trace_id
        elif field.name in ("span_id", "parent_span_id"):
            setattr(message, field.name, bytes(a ^ b for a, b in zip(value, to.span_mask, strict=True)))
        elif field.message_type is not None and field.name not in ("resource", "scope", "attributes", "body"):
            for inner in value if field.is_repeated else [value]:
                _change_ids(inner, to)


def runs(count: int, hours: float, *, updates: int = 5000, seed: int = 1) -> list[Replayed]:
    """The given number of runs, begun over the last hours; the newest has just ended."""
    recordings = {outcome: record(outcome, updates=updates) for outcome in sorted(set(OUTCOMES[:count]))}
    draw, now = random.Random(seed), time.time_ns()
    replayed = []
    for number in range(count):
        said = recordings[OUTCOMES[number % len(OUTCOMES)]]
        earlier = hours * 3600 * (count - 1 - number) / max(1, count - 1)
        begin_ns = now - said[-1].time_ns - 1_000_000_000 - round(earlier * 1e9)
        ids = (f"{draw.getrandbits(128):032x}", draw.randbytes(16), draw.randbytes(8))
        replayed.append(Replayed(begin_ns, said, *ids))
    return replayed


def in_order(played: Sequence[Replayed]) -> Iterator[tuple[Said, Any]]:
    """The records of all runs, oldest first, interleaved as if they had run at the same time."""
    moments = sorted(
        (run.begin_ns + said.time_ns, place, number)
        for place, run in enumerate(played)
        for number, said in enumerate(run.said)
    )
    for _, place, number in moments:
        yield played[place].said[number], played[place].at(number)


def write(outbox: Path, played: Sequence[Replayed]) -> int:
    """Write what these runs say into an outbox. Returns how many requests that were."""
    into, count = Outbox(outbox, bound=_NEVER_DROP), 0
    for said, request in in_order(played):
        into.append(said.signal, request.SerializeToString())
        count += 1
    into.close()
    return count


def main() -> None:
    """Write synthetic runs into an outbox."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--hours", type=float, default=20.0, help="begun over so many last hours (default: 20)")
    parser.add_argument("--outbox", type=Path, required=True, help="where to")
    options = parser.parse_args()
    count = write(options.outbox, runs(options.runs, options.hours))
    print(
        f"{options.runs} runs, {count} requests; `python -m telemetry replay --outbox {options.outbox}` delivers them"
    )


if __name__ == "__main__":
    main()
