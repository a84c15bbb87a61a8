"""Every dashboard, by the name of its file. Their order is the way from overview to detail."""

from __future__ import annotations

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
    for number, panel in enumerate(made["panels"], 1):
        panel["id"] = number  # the builders leave ids to Grafana; a link to one panel needs one that stays
        panel.get("options", {}).pop("footer", None)  # of older tables: the builders are of 11.6, Grafana is 13
    for variable in made["templating"]["list"]:
        for option in ("auto", "auto_count", "auto_min"):  # of time intervals; the builders give them to all
            variable.pop(option, None)
    _lay_out(made["panels"])
    return json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _lay_out(panels: list[dict[str, Any]]) -> None:
    """Place panels side by side while they fit into the 24 columns."""
    x = y = height = 0
    for panel in panels:
        place = panel["gridPos"]
        if panel["type"] == "row" or x + place["w"] > 24:
            x, y, height = 0, y + height, 0
        place |= {"x": x, "y": y}
        x, height = x + place["w"], max(height, place["h"])
