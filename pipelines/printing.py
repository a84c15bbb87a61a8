"""Output of `plan`, `show`, `list` and `runs`. Nothing heavy is loaded: each answers at once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from artifacts.runs import all_runs
from artifacts.store import Store
from command_line.durations import duration
from pipelines import graph
from pipelines.graph import Pipeline
from pipelines.plan import HIT, Planned
from pipelines.plan import plan as plan_of


def plan_as_json(pipeline: Pipeline, force: Iterable[str]) -> list[dict[str, Any]]:
    """The plan as JSON objects; with `each`, the variant is named in them."""
    extra = {"variant": dict(pipeline.variant)} if pipeline.variant else {}
    return [{**entry.as_json(), **extra} for entry in plan_of(pipeline, Store.default(), force)]


def plan(pipeline: Pipeline, force: Iterable[str]) -> int:
    """Print the plan for people."""
    entries = plan_of(pipeline, Store.default(), force)
    if pipeline.variant:
        print(", ".join(f"{key}={value}" for key, value in pipeline.variant.items()))
    width = max(len(entry.node.id) for entry in entries)
    for entry in entries:
        took = "never run" if entry.seconds_last is None else f"took {duration(entry.seconds_last)}"
        print(f"{entry.state:4}  {entry.node.id:{width}}  {(entry.digest or '-')[:12]:12}  {took}")
        if entry.node.step == "register":
            print(f"      {'':{width}}  as a version of {entry.node.checked_config()['name']}")
        for reason in entry.reasons:
            print(f"      {'':{width}}  {reason}")
    misses = [entry for entry in entries if entry.state != HIT]
    print(f"{len(entries) - len(misses)} from the cache, {len(misses)} to run{_expected_time(misses)}")
    return 0


def _expected_time(misses: list[Planned]) -> str:
    """The time that the nodes took when they last ran; of nodes that never ran it is not known."""
    known = [entry.seconds_last for entry in misses if entry.seconds_last is not None]
    if not known:
        return ""
    rest = f" for {len(known)} of them (the others never ran)" if len(known) < len(misses) else ""
    return f", about {duration(sum(known))}{rest}"


def show(pipeline: Pipeline) -> int:
    """Print the graph as text and as Mermaid."""
    print(f"{pipeline.name}: {pipeline.description.strip()}\n")
    for node in pipeline.nodes.values():
        step = "" if node.step == node.id else f" ({node.step})"
        feeders = ", ".join(f"{name}={feeder}" for name, feeder in node.inputs.items())
        print(f"  {node.id}{step}" + (f"  <-  {feeders}" if feeders else ""))
        for key, value in node.config.items():
            print(f"      {key}: {value}")
    print("\n```mermaid\nflowchart LR")
    for node in pipeline.nodes.values():
        label = node.id if node.step == node.id else f"{node.id}<br/>{node.step}"
        print(f'  {node.id}["{label}"]')
        for name, feeder in node.inputs.items():
            print(f"  {feeder} -->|{name}| {node.id}")
    print("```")
    return 0


def pipelines() -> int:
    """Print the pipelines that come with us."""
    for name in graph.available():
        variants = graph.load(name)
        each = f" (x {len(variants)})" if len(variants) > 1 else ""
        print(f"{name:12} {len(variants[0].nodes)} nodes{each}  {' '.join(variants[0].description.split())}")
    return 0


def runs(last: int) -> int:
    """Print what ran, newest last."""
    found = list(all_runs(Store.default().root))[-last:]
    if not found:
        print("nothing has run yet: try `make run`")
    for run in found:
        state = run.state if run.ended_at or run.is_alive() else "KILLED"
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_at))
        took = duration(max(0.0, (run.ended_at or time.time()) - run.started_at))
        cached = sum(node.get("state") == "cached" for node in run.nodes.values())
        nodes = f"{len(run.nodes)} nodes, {cached} cached"
        print(f"{run.id[:8]}  {when}  {run.pipeline:14} {state:8} {took:>14}  {nodes:22} {run.version}")
    return 0
