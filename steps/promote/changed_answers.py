"""Parts of a decision's page besides the checks: the bootstrap samples, and rows that were won and lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from steps.promote.check_context import Case
from tasks.evaluation import Bars, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS, _TEXT, _ANSWER = 10, 160, 80  # rows shown, and characters of each


def changed_answers(case: Case) -> list[Table]:
    """Rows that one has right and the other wrong."""
    if case.champion is None or not case.word_for_word:
        return []
    mine, other = (side.right(case.questions) for side in case.sides)
    tables = []
    for title, who, which in (("Won", "candidate", mine & ~other), ("Lost", "champion", other & ~mine)):
        places = np.flatnonzero(which).tolist()
        rows = [
            [
                str(case.questions["id"].iloc[place]),
                " ".join(str(case.questions[case.task.input].iloc[place]).split())[:_TEXT] if case.on_text else "",
                str(case.questions["expected"].iloc[place])[:_ANSWER],
                *(str(side.answers["prediction"].iloc[place])[:_ANSWER] for side in case.sides),
            ]
            for place in places[:_ROWS]
        ]
        first = f", the first {_ROWS}" if len(places) > _ROWS else ""
        note = f"Rows that the {who} alone has right: {len(places):,}{first}."
        tables.append(Table(title, note, ["row", "text", "expected", "candidate", "champion"], rows))
    return tables


def drawn_differences(values: NDArray[np.float64], bar: float) -> Bars:
    """The bootstrap as a histogram."""
    counts, edges = np.histogram(values, bins=24)
    labels = [f"{edge:+.3f}" if number % 4 == 0 else "" for number, edge in enumerate(edges[:-1])]
    above = float((values > bar).mean())
    note = (
        f"How much better the candidate is than the champion, in {len(values):,} drawings of the same rows for both: above "
        f"{bar:+g} in {above:.1%} of them."
    )
    return Bars("Bootstrap", note, "difference", "drawings", labels, counts.tolist())
