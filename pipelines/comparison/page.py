"""A comparison as one HTML page: curves, and the tables beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from artifacts.store import Store
from pipelines.comparison import tables
from pipelines.comparison.curves import AXES, TITLES, Training
from pipelines.comparison.runs import ComparedRun
from redaction import redact
from steps.pages.comparison import Section
from steps.pages.comparison import render as render_page

_NOTE = (
    "Lines are the readings that MLflow holds. The band around a training loss is the loss of each single update; where "
    "points share a column of pixels, it reaches from the lowest to the highest, at every zoom and smoothing."
)


def render(store: Store, runs: Sequence[ComparedRun], trainings: Sequence[Training]) -> str:
    """The page's HTML, without credentials."""
    names = [run.name for run in runs]
    reasons = [[title, line] for title, lines in tables.reasons(store, runs).items() for line in lines]
    no_updates = [names[place] for one in trainings if one.band is None for place in one.runs]
    note = (
        f"{_NOTE} Single updates are not on this machine for {', '.join(dict.fromkeys(no_updates))}."
        if no_updates
        else _NOTE
    )
    sections = [
        Section("Scores", "On the same split, with 95 % intervals where the report has them.", ["score", *names], tables.scores(runs)),
        Section("Parameters that differ", "As MLflow holds them; a dash where the run has no such node.",
                ["parameter", *names], tables.parameters(runs, every=False) or [["none", *("" for _ in runs)]]),
        Section("Nodes", "Outcome, time and artifact of each node; a cached one took no time in this run.", ["node", *names],
                [*tables.heads(runs), *tables.nodes(runs)]),
        Section("Reasons", "Differences of each run from the oldest one.", ["runs", "difference"], reasons),
        Section("All parameters", "Of every node.", ["parameter", *names], tables.parameters(runs, every=True), folded=True),
    ]  # fmt: skip
    page: str = redact(render_page(
        summary=f"{len(runs)} runs, the newest first: {', '.join(names)}.", note=note, runs=names, axes=AXES, titles=TITLES,
        trainings=[asdict(training) for training in trainings], sections=sections,
        footer="Written by python -m pipelines compare; read from MLflow and from the artifacts on this machine.",
    ))  # fmt: skip
    return page
