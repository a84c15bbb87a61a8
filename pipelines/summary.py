"""The summary of a run for people: at the end of `make run`, and as the note of the MLflow run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from artifacts import atomic
from artifacts.home import INSTALLED
from command_line.durations import duration
from pipelines.scores import score_lines, score_metrics

if TYPE_CHECKING:
    from artifacts import Artifact
    from pipelines.run import Driver


def report_path(driver: Driver) -> str:
    """The report's page, or the empty string if the pipeline made none."""
    report = _newest(driver, "report")
    return str(report.sidecar("report.html")) if report else ""


def show(driver: Driver, results: dict[str, Any]) -> None:
    """Print the summary of a run: nodes and their times, scores and baselines, version, links."""
    totals = results["totals"]
    print(f"\n{driver.pipeline.name}: done in {duration(totals['pipeline.seconds'])}", end="")
    saved = totals["pipeline.cache_saved_seconds"]
    print(f", the cache saved {duration(saved)}" if saved else "")
    width = max(len(node) for node in driver.costs)
    for node, cost in driver.costs.items():
        made, state = driver.artifacts[node], "cached" if cost["cached"] else "made"
        print(f"  {node:{width}}  {state:6}  {duration(cost['seconds']):>12}  {made.kind} {made.digest[:12]}")
    for line in _score_lines(driver):
        print(line)
    version = model_version(driver)
    if version:
        aliases = ", ".join(current_aliases(driver, version)) or "no alias"
        print(f"model     {version['name']} version {version['version']} ({aliases})")
        if decision := gate_line(driver, version):
            print(f"gate      {decision}")
        if "champion" in aliases:
            command = "glassformer serve " if INSTALLED else "make serve MODEL="
            print(f"serve     {command}'{version['name']}'")
        driver.run.version = f"{version['name']}/{version['version']}"
        driver.run.save()
    if results["report"]:
        print(f"report    {results['report']}")
    print(f"trace     {driver.run.trace_id}")
    if driver.mlflow_run.links.watched:
        print(
            f"dashboard {driver.mlflow_run.links.board('run', driver.run.started_at, time.time(), run=driver.run.id)}"
        )
    served_by = "" if driver.mlflow_run.links.served else f" (`{'mlflow' if INSTALLED else 'make'} ui` serves it)"
    print(f"MLflow    {driver.mlflow_run.address()}{served_by}")


def as_markdown(driver: Driver) -> str:
    """The note on the MLflow run."""
    rows = []
    for node, cost in driver.costs.items():
        state, digest = "cached" if cost["cached"] else "made", driver.artifacts[node].digest
        rows.append(f"| {node} | {state} | {duration(cost['seconds'])} | `{digest[:12]}` |")
    lines = [f"**{driver.pipeline.name}** {driver.pipeline.description.strip()}", "",
             "| node | state | took | digest |", "|---|---|---|---|", *rows, "",
             *_score_lines(driver), "", f"Trace `{driver.run.trace_id}`. "
             "The report is this run's artifact `report.html`; plan, lineage and cost are artifacts too."]  # fmt: skip
    return "\n".join(lines)


def model_version(driver: Driver) -> dict[str, Any] | None:
    """Name and number of the version that this pipeline registered."""
    made = _newest(driver, "model_version")
    return dict(atomic.read_json(made.sidecar("registered.json"))) if made else None


def current_aliases(driver: Driver, version: dict[str, Any]) -> list[str]:
    """The aliases that the registry gives the version now."""
    known = driver.mlflow_run.client.get_registered_model(version["name"]).aliases
    return sorted(alias for alias, number in known.items() if str(number) == str(version["version"]))


def gate_line(driver: Driver, version: dict[str, Any]) -> str:
    """The gate's decision on the version; empty if it made none."""
    tags = driver.mlflow_run.client.get_model_version(version["name"], str(version["version"])).tags
    outcomes = {
        "promote": "promoted",
        "refuse": "refused",
        "undecided": "undecided",
        "override": "promoted against the gate",
    }
    if tags.get("glassformer.gate") not in outcomes:
        return ""
    where = tags.get("glassformer.gate_evidence", "")
    return f"{outcomes[tags['glassformer.gate']]}: {tags.get('glassformer.gate_reason', '')}" + (
        f" ({where}/gate.html)" if where else ""
    )


def scores(driver: Driver) -> dict[str, float]:
    """The scores of the report by name; none if the pipeline made no report."""
    read = _read_scores(driver)
    return score_metrics(read) if read else {}


def _score_lines(driver: Driver) -> list[str]:
    read = _read_scores(driver)
    return score_lines(read) if read else []


def _read_scores(driver: Driver) -> dict[str, Any] | None:
    report = _newest(driver, "report")
    return dict(atomic.read_json(report.file("scores.json"))) if report else None


def _newest(driver: Driver, kind: str) -> Artifact | None:
    """The artifact of this kind that the pipeline made last."""
    return next((made for made in reversed(driver.artifacts.values()) if made.kind == kind), None)
