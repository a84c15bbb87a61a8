"""The page that compares runs: interactive curves, and tables beside them. One file; it asks for nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from steps.pages.charts import anchor, table

_FOLDER = Path(__file__).parent
_COLOURS, _AGAIN = 4, ("", " solid", " dashed", " dotted")  # of page.html, as `charts` draws curves


@dataclass(frozen=True)
class Section:
    """A table of the page; the first cell of a row is its heading. `folded` shows it only on a click."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False


def render(
    *, summary: str, note: str, runs: Sequence[str], axes: Mapping[str, str], titles: Mapping[str, str],
    trainings: Sequence[Mapping[str, Any]], sections: Sequence[Section], footer: str,
) -> str:  # fmt: skip
    """The page's HTML. A training has `node`, places of its `runs`, `curves` by metric and perhaps a `band`."""
    from jinja2 import Environment, FileSystemLoader

    script = (_FOLDER / "curves.js").read_text(encoding="utf-8")
    named = [{"name": name, "style": style(place)} for place, name in enumerate(runs)]
    nodes = [
        {"name": name, "anchor": f"node-{anchor(name)}"} for name in dict.fromkeys(one["node"] for one in trainings)
    ]
    data = {"runs": named, "axes": axes, "titles": titles, "trainings": trainings}
    tables = [section for section in sections if section.rows]
    contents = [("curves", "Curves"), *((node["anchor"], node["name"]) for node in nodes)]
    template = Environment(autoescape=True, loader=FileSystemLoader(_FOLDER)).get_template("comparison.html")
    return template.render(
        title="Compare runs", summary=summary, note=note, axes=axes, runs=named, nodes=nodes, footer=footer,
        contents=[*contents, *((anchor(section.title), section.title) for section in tables)],
        sections=[_draw(section) for section in tables], data=_for_a_script(data), script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )  # fmt: skip


def style(place: int) -> str:
    """The class that gives a run its colour and dash, on the whole page."""
    return f"s{place % _COLOURS}{_AGAIN[place // _COLOURS % len(_AGAIN)]}"


def _draw(section: Section) -> str:
    name = anchor(section.title)
    drawn = table(section.columns, section.rows, section.title)
    if section.folded:
        drawn = f"<details><summary>{len(section.rows)} rows</summary>{drawn}</details>"
    heading = f'<h2 id="{name}">{escape(section.title)}</h2><p>{escape(section.note)}</p>'
    return f'<section aria-labelledby="{name}">{heading}{drawn}</section>'


def _for_a_script(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
