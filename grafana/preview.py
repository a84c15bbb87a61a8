"""Draw dashboards with what the backends hold now, without Grafana: every query of every panel is run.

examples:
  python -m grafana.preview                       all boards of the last six hours into var/preview/*.png
  python -m grafana.preview training --hours 1    one board
  python -m grafana.preview run --set run=1f0c...  with a variable chosen; without, it is the newest run

The addresses are those of `make stack`, or --prometheus, --loki and --tempo.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from command_line import Parser, fail
from grafana.live import Backends, QueryError, last, panels

FOLDER = Path(__file__).resolve().parent / "dashboards"
_PORTS = {"prometheus": 9090, "loki": 3100, "tempo": 3200}
_UNIT = 0.34  # inches of one unit of a dashboard's grid, up
_WIDTH = 15.0  # inches of the 24 columns


def main() -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = Parser("python -m grafana.preview", __doc__)
    boards = sorted(path.stem for path in FOLDER.glob("*.json"))
    parser.add_argument("board", nargs="*", metavar="BOARD", help=f"default: all of {', '.join(boards)}")
    parser.add_argument("--hours", type=float, default=6, help="how far back to look; default: 6")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="choose a variable")
    parser.add_argument("--to", type=Path, default=Path("var/preview"), metavar="FOLDER", help="default: var/preview")
    for source, port in _PORTS.items():
        parser.add_argument(f"--{source}", metavar="URL", help=f"default: http://127.0.0.1:{port}")
    options = parser.parse_args()
    if unknown := set(options.board) - set(boards):
        parser.error(f"no board {', '.join(sorted(unknown))}; there are {', '.join(boards)}")
    if wrong := [text for text in options.set if "=" not in text]:
        parser.error(f"--set {wrong[0]}: write NAME=VALUE")
    addresses = {source: getattr(options, source) or f"http://127.0.0.1:{port}" for source, port in _PORTS.items()}
    options.to.mkdir(parents=True, exist_ok=True)
    for name in options.board or boards:
        board = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        backends = Backends(addresses, *last(options.hours), dict(text.split("=", 1) for text in options.set))
        path = options.to / f"{name}.png"
        try:
            draw(board, backends, path)
        except QueryError as error:
            return fail(f"{name}: {error}", 1)
        print(path)
    return 0


def draw(board: Mapping[str, Any], backends: Backends, path: Path) -> None:
    """One board into a PNG, written whole. QueryError when a backend does not answer or refuses a query."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    from grafana.drawing import draw as draw_panel
    from grafana.drawing import draw_events

    backends.fill_variables(board)
    events = backends.events(board)
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    figure = Figure(figsize=(_WIDTH, height * _UNIT + 0.6), dpi=110, facecolor="white")
    total = figure.get_figheight()
    selected = ", ".join(f"{name} {value}" for name, value in backends.variables.items() if value not in ("", ".*"))
    figure.text(0.01, 1 - 0.3 / total, f"{board['title']}  -  {board['description']}", fontsize=11, fontweight="bold")
    figure.text(
        0.99, 1 - 0.3 / total, f"preview, not Grafana{'; ' + selected if selected else ''}", fontsize=7, ha="right"
    )
    for row in (panel for panel in board["panels"] if panel["type"] == "row"):
        figure.text(
            0.01, 1 - (0.6 + (row["gridPos"]["y"] + 0.7) * _UNIT) / total, row["title"], fontsize=9, color="#555555"
        )
    for panel in panels(board):
        place, repeats = panel["gridPos"], backends.repeats(board, panel) or [backends]
        width = (
            place["w"] / 24 * 0.97 / len(repeats)
        )  # Grafana begins a new line after `maxPerRow`; here they get narrower
        bottom = 1 - (0.6 + (place["y"] + place["h"]) * _UNIT) / total
        inner = 0.12 if panel["type"] == "state-timeline" else 0.075 if panel["type"] == "barchart" else 0.035
        for number, chosen in enumerate(repeats):
            left = 0.015 + place["x"] / 24 * 0.97 + number * width
            frame = (left + 0.002, bottom + 0.03 / total), width - 0.004, (place["h"] * _UNIT - 0.06) / total
            figure.add_artist(Rectangle(*frame, fill=False, edgecolor="#dddddd", linewidth=0.8))
            axes = figure.add_axes(
                (left + inner, bottom + 0.3 / total, width - inner - 0.012, (place["h"] * _UNIT - 0.65) / total)
            )
            answers = [(target, chosen.ask(panel, target)) for target in panel["targets"]]
            shown = {**panel, "title": chosen.fill(panel["title"])}
            draw_panel(axes, shown, answers, chosen.start, chosen.end)
            if panel["type"] in ("timeseries", "heatmap") and axes.axison:
                draw_events(axes, events)
    new = path.with_name(f".{path.name}.new")
    figure.savefig(new, format="png")
    os.replace(new, path)  # noqa: PTH105


if __name__ == "__main__":
    sys.exit(main())
