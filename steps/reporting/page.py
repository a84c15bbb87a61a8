"""The report's page: one file that needs nothing else, readable on a phone, in the dark and by a screen reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steps.reporting.charts import draw, table
from tasks.evaluation import Block, Lines, Table

_TEMPLATE = Path(__file__).with_name("page.html")


def render(
    *, title: str, summary: str, scores: Mapping[str, Any], blocks: Sequence[Block], footer: str
) -> str:  # fmt: skip
    """The page's HTML. All text is escaped by the template or by the drawers."""
    from jinja2 import Environment

    compared = {"this model": scores["metrics"], **scores["baselines"]}
    metric = scores["primary_metric"]
    entries = [_entry(name, found[metric]) for name, found in compared.items()]
    rows = [
        [name, *(f"{value['value']:.3f}  [{value['low']:.3f}, {value['high']:.3f}]" if "low" in value else f"{value['value']:.3f}"
                 for value in found.values())]
        for name, found in compared.items()
    ]  # fmt: skip
    columns = ["", *(written(name) for name in scores["metrics"])]
    template = Environment(autoescape=True).from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        title=title, summary=summary, metric=written(metric), rows=f"{scores['rows']:,}",
        split=scores["split"], entries=entries, scores=table(columns, rows, "All metrics"),
        sections=[draw(block) for block in blocks], footer=footer,
    )  # fmt: skip


def written(metric: str) -> str:
    """`macro_f1` as people write it: `macro F1`."""
    return metric.replace("_", " ").replace("f1", "F1")


def _entry(name: str, score: Mapping[str, Any]) -> dict[str, str]:
    interval = f"{score['low']:.3f} to {score['high']:.3f}" if "low" in score else ""
    ahead = score.get("ahead")
    told = ""
    if ahead and "low" in ahead:
        sure = "" if ahead["low"] > 0 or ahead["high"] < 0 else ", which may be chance"
        told = f"this model is {abs(ahead['value']):.3f} {'ahead' if ahead['value'] >= 0 else 'behind'}{sure}"
    return {"name": name, "value": f"{score['value']:.3f}", "interval": interval, "ahead": told}


def curves(title: str, histories: Mapping[str, Mapping[str, Any]]) -> Lines:
    """Training and validation loss of one or more trainings."""
    series = {}
    for name, history in histories.items():
        for part in ("training", "validation"):
            points = history[part]
            if points:
                series[f"{name}, {part}"] = ([p["update"] for p in points], [p["loss"] for p in points])
    return Lines(
        title,
        "Mean loss in nats; lower is better. The weights with the lowest validation loss are kept.",
        "update",
        "loss",
        series,
    )


def lineage(entries: Sequence[Mapping[str, Any]]) -> Table:
    """What was made from what."""
    rows = []
    for entry in entries:
        parents = ", ".join(f"{name} {digest[:12]}" for name, digest in entry["parents"].items())
        rows.append([entry["kind"], entry["step"], entry["digest"][:12], parents or "source"])
    note = "Each artifact, the step that made it, the digest of its content, and what it was made from. The same digest is the same bytes."
    return Table("Lineage", note, ["artifact", "step", "digest", "made from"], rows)


def data(info: Mapping[str, Any]) -> list[Block]:
    """What the model was trained on, and that nothing of the test was in it."""
    check, removed = info["leak_check"], info["duplicates"]
    rows: list[list[Any]] = [
        [split, count, sum(info["rows_by_label"][split].values())] for split, count in info["rows"].items()
    ]
    note = (
        f"Source: {info['source']}. Licence: {info['license']}. {info['read']:,} rows were read; {info['too_short']:,} were too short, "
        f"{sum(info['quarantined'].values()):,} quarantined, {removed['exact']:,} exact and {removed['near']:,} near duplicates removed."
    )
    leak = (
        f"After writing, all {check['rows']:,} rows were compared across the splits: {check['duplicates_across_splits']} exact or near "
        f"duplicates (Jaccard of word 5-grams at least {removed['threshold']}), and {check['rows_that_name_a_library']} rows that "
        "still name what is to be guessed."
    )
    return [
        Table("Data", note, ["split", "rows", "with a label"], rows),
        Table("Leak check", leak, ["check", "found"], [["duplicates across splits", check["duplicates_across_splits"]],
              ["names left in the text", check["rows_that_name_a_library"]]]),
    ]  # fmt: skip


def cost(costs: Mapping[str, Mapping[str, float]]) -> Table:
    """What each artifact cost to make."""
    rows = [
        [name, f"{c['seconds']:,.1f}", f"{c['cpu_seconds']:,.1f}", f"{c['peak_bytes'] / 1e6:,.0f}"]
        for name, c in costs.items()
    ]
    return Table(
        "Cost",
        "Wall and CPU seconds, and the largest resident memory of one process.",
        ["made", "seconds", "CPU seconds", "peak MB"],
        rows,
    )
