"""A comparison as tables of text."""

from __future__ import annotations

from collections.abc import Sequence

from artifacts.store import Store
from pipelines.comparison import tables
from pipelines.comparison.curves import AXES, Training
from pipelines.comparison.runs import ComparedRun

_GAP = "  "
_WIDEST = 44  # characters of a cell


def show(store: Store, runs: Sequence[ComparedRun], trainings: Sequence[Training], *, every: bool, over: str) -> None:
    """Print the runs side by side, the newest first."""
    differing = tables.parameters(runs, every=every)
    sections = {
        "nodes": tables.nodes(runs),
        "parameters" if every else "parameters that differ (--all for all)": differing or [["no parameter differs"]],
        "scores": tables.scores(runs),
    }
    for node, rows in tables.losses(runs, trainings, over).items():
        sections[f"{node}: training / validation loss at the same {AXES[over]}"] = rows
    heads = tables.heads(runs)
    widths = _widths([row for rows in (heads, *sections.values()) for row in rows if len(row) > 1])
    _print(heads, widths)
    for title, rows in sections.items():
        if rows:
            print(f"\n{title}")
            _print([[f"{_GAP}{row[0]}", *row[1:]] for row in rows], widths)
    if not trainings:
        print("\nno training in these runs")
    elif not any(over in curve.x for training in trainings for curve in training.curves.values()):
        print(f"\nlosses over {over}: not known of these trainings; choose --over updates")
    for title, lines in tables.reasons(store, runs).items():
        print(f"\n{title}")
        print("\n".join(f"{_GAP}{line}" for line in lines))


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    columns = list(zip(*rows, strict=True))
    first = max(map(len, columns[0])) + len(_GAP)
    return [first, *(min(_WIDEST, max(map(len, column))) for column in columns[1:])]


def _print(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    for row in rows:
        cells = [row[0], *(cell if len(cell) <= _WIDEST else f"{cell[: _WIDEST - 1]}…" for cell in row[1:])]
        print(_GAP.join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=False)).rstrip())
