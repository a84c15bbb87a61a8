"""The dashboards against Grafana 13's own types of their JSON, and TraceQL against Grafana's own parser of it.

Both come from npm, at the versions of tests/grafana/javascript/package-lock.json.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from grafana.boards import BOARDS, as_json
from grafana.live import panels

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent / "javascript"
BUILT = {name: json.loads(as_json(build())) for name, build in BOARDS.items()}
TYPES = {  # of each kind of panel: the module, and whether it has a style of its own
    "barchart": ("BarChart", True),
    "heatmap": ("Heatmap", True),
    "logs": ("Logs", False),
    "stat": ("Stat", False),
    "state-timeline": ("StateTimeline", True),
    "table": ("Table", True),
    "timeseries": ("TimeSeries", True),
    "xychart": ("XYChart", True),
}
# Of annotations: read by the data sources of Loki and Prometheus, and not in the types.
OF_SOURCES = ("expr", "target", "titleFormat", "textFormat", "tagKeys")
PLAIN = """
// An enumeration's values stand in JSON as plain strings.
type Plain<T> = T extends string ? `${T}` : T extends number ? T : T extends Array<infer U> ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
"""


@pytest.fixture(scope="module")
def javascript(tmp_path_factory):
    """A folder with the packages of the lock."""
    if not shutil.which("npm"):
        if os.environ.get("CI"):
            pytest.fail("npm is not on PATH: .ci/run installs it")
        pytest.skip("npm is not on PATH")
    folder = tmp_path_factory.mktemp("javascript")
    shutil.copytree(HERE, folder, dirs_exist_ok=True)
    subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=folder, check=True, capture_output=True, timeout=240)
    return folder


def checked(folder: Path, boards: dict) -> list[str]:
    """The type checker's messages about boards, line by line; empty if they are well formed."""
    (folder / "boards.ts").write_text("\n".join(typescript(boards)))
    run = subprocess.run(["npx", "--no-install", "tsc", "-p", "."], cwd=folder, capture_output=True, text=True)
    said = [line for line in run.stdout.splitlines() if "error TS" in line]
    assert run.returncode == 0 or said, run.stdout + run.stderr
    return said


def typescript(boards: dict):
    """A declaration for each board and panel, with the types that Grafana gives them."""
    yield 'import type { Dashboard, Panel } from "@grafana/schema";'
    for kind, (module, _) in TYPES.items():
        path = f"@grafana/schema/dist/esm/raw/composable/{kind.replace('-', '')}/panelcfg/x/{module}PanelCfg_types.gen"
        yield f'import type * as {module} from "{path}";'
    yield PLAIN
    for name, board in boards.items():
        frame = {key: value for key, value in board.items() if key != "panels"}
        known = [{k: v for k, v in one.items() if k not in OF_SOURCES} for one in board["annotations"]["list"]]
        frame["annotations"] = {"list": known}
        yield f'export const {name}: Plain<Omit<Dashboard, "panels">> = {json.dumps(frame)};'
        for panel in panels(board):
            if panel["type"] == "traces":  # has neither options nor types of its own
                assert not panel.get("options")
                continue
            module, styled = TYPES[panel["type"]]
            panel = json.loads(json.dumps(panel))
            options, style = panel.pop("options", {}), panel["fieldConfig"]["defaults"].pop("custom", {})
            at = f"{name}_{panel['id']}"
            yield f'export const {at}: Plain<Omit<Panel, "options">> = {json.dumps(panel)};'
            yield f"export const {at}_options: Partial<Plain<{module}.Options>> = {json.dumps(options)};"
            if styled:
                yield f"export const {at}_style: Partial<Plain<{module}.FieldConfig>> = {json.dumps(style)};"


def test_dashboards_match_grafana_13_types(javascript):
    assert checked(javascript, BUILT) == []


@pytest.mark.parametrize("spoil", ["option", "style", "frame", "value"])
def test_invalid_dashboard_fails_the_type_check(javascript, spoil):
    board = json.loads(json.dumps(BUILT["training"]))
    curves = next(panel for panel in panels(board) if panel["type"] == "timeseries")
    if spoil == "option":
        curves["options"]["legnd"] = {}
    elif spoil == "style":
        curves["fieldConfig"]["defaults"]["custom"]["drawStyle"] = "scribble"
    elif spoil == "value":
        curves["gridPos"]["w"] = "12"
    else:
        board["refreshEvery"] = "30s"
    assert len(checked(javascript, {"training": board})) == 1


def test_every_traceql_query_parses_and_a_wrong_one_does_not(javascript):
    queries = [
        target["query"].replace("$run", "0" * 32)
        for board in BUILT.values()
        for panel in panels(board)
        for target in panel["targets"]
        if target["datasource"]["type"] == "tempo" and target["query"] != "$run"  # a trace by its id
    ]
    assert queries
    wrong = '{ resource.glassformer.run = "x" && name = }'
    run = subprocess.run(["node", "traceql.mjs"], cwd=javascript, input=json.dumps([*queries, wrong]),
                         capture_output=True, text=True, check=True)  # fmt: skip
    assert {found["query"] for found in json.loads(run.stdout)} == {wrong}
