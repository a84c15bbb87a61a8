"""`compare`: runs side by side: parameters, scores, nodes, reasons for differences, losses; as tables or as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from artifacts import atomic
from artifacts.errors import UserError
from artifacts.store import Store


def compare(words: Sequence[str], *, every: bool, over: str, html: str) -> int:
    """Print the runs that `words` name side by side, the newest first; without words, the newest two.

    `every` shows all parameters, `over` is the axis of the losses; `html` is a file for the page, or empty.
    """
    from pipelines.comparison import terminal
    from pipelines.comparison.choice import choose
    from pipelines.comparison.curves import read_trainings
    from pipelines.comparison.runs import Reader
    from steps import tracking

    if len(words) == 1:
        raise UserError(f"{words[0]}: give a second run to compare it with; `runs` lists them", 2)
    if html and not (folder := Path(html).resolve().parent).is_dir():
        raise UserError(f"--html {html}: there is no folder {folder}; make it first", 2)
    store = Store.default()
    client = tracking.connect()
    with tracking.outages_explained():
        reader = Reader(client, store)
        runs = sorted((reader.read(run) for run in choose(client, words)), key=lambda run: run.started_at, reverse=True)
        trainings = read_trainings(client, runs)
    if not html:
        terminal.show(store, runs, trainings, every=every, over=over)
        return 0
    if not trainings:
        names = ", ".join(run.name for run in runs)
        raise UserError(
            f"--html: no training in {names}; choose runs that reached pretrain or finetune, or leave out --html", 2
        )
    from pipelines.comparison.page import render

    atomic.write_text(Path(html), render(store, runs, trainings))
    print(html)
    return 0
