"""Every dashboard, by the name of its file. Their order is the way from overview to detail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.boards import data, evaluation, logs, machines, pipelines, run, serving, training

FOLDER = Path(__file__).resolve().parents[1] / "dashboards"
BOARDS: dict[str, Callable[[], Dashboard]] = {
    "pipelines": pipelines.board,
    "run": run.board,
    "training": training.board,
    "data": data.board,
    "evaluation": evaluation.board,
    "serving": serving.board,
    "machines": machines.board,
    "logs": logs.board,
}


def as_json(board: Dashboard) -> str:
    """A dashboard as the file that Grafana is provisioned with: the same bytes for the same code."""
    made = json.loads(JSONEncoder(sort_keys=True).encode(board.build()))
    for panel in made["panels"]:
        panel["id"] = panel_id(made["uid"], panel["type"], panel["title"])
        panel.get("options", {}).pop("footer", None)  # of older tables: the builders are of 11.6, Grafana is 13
    for variable in made["templating"]["list"]:
        for option in ("auto", "auto_count", "auto_min"):  # of time intervals; the builders give them to all
            variable.pop(option, None)
    _lay_out(made["panels"])
    return json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def panel_id(board: str, kind: str, title: str) -> int:
    """The id of a panel, which alerts name: the same wherever it stands on its board, from 1 to 2**31 - 1, as Grafana's are."""
    digest = hashlib.sha256("\n".join((board, kind, title)).encode()).digest()
    return int.from_bytes(digest[:8], "big") % (2**31 - 1) + 1


def _lay_out(panels: list[dict[str, Any]]) -> None:
    """Place panels side by side while they fit into the 24 columns."""
    x = y = height = 0
    for panel in panels:
        place = panel["gridPos"]
        if panel["type"] == "row" or x + place["w"] > 24:
            x, y, height = 0, y + height, 0
        place |= {"x": x, "y": y}
        x, height = x + place["w"], max(height, place["h"])
