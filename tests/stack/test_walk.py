"""The walk of docs/dashboards.md, link by link: an alert, its runbook, the board, the run, the trace, the flame graph, the rows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from grafana.boards import BOARDS, as_json
from grafana.live import Backends, panels
from tests.pipeline_home import ROOT, Home
from tests.stack.live import BACKENDS, Live, eventually
from tests.stack.window import hex_id, links_of, plain_span
from tests.telemetry.receiver import Receiver

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]
BUILT = {board["uid"]: board for board in (json.loads(as_json(build())) for build in BOARDS.values())}
ROWS = [
    "a page of zeros",
    "a table of numbers",
]  # of the batch that is slow, and that the network has never seen the like of
# A loss is a spike where two minutes of readings, one every five seconds, came before it.
LOOP = f"""
import time
import glassformer

def read_slowly(until):
    while time.monotonic() < until:
        sum(range(1000))

with glassformer.watch("my-loop", {{"rate": 0.1}}, every=10) as training:
    print(training.run, flush=True)
    began = time.monotonic()
    spiked = False
    while time.monotonic() < began + 150:
        spikes = not spiked and time.monotonic() > began + 135
        spiked = spiked or spikes
        if spikes:
            read_slowly(time.monotonic() + 4)
        time.sleep(0.1)
        training.update(
            99.0 if spikes else 2.0, tokens=10, gradient_norm=1.0, learning_rate=0.1, rows={ROWS!r} if spikes else ["a row"]
        )
"""


@dataclass
class World:
    """The backends, and a loop that runs with them."""

    live: Live
    home: Home
    receiver: Receiver
    run: str
    began: float

    @property
    def backends(self) -> Backends:
        addresses = {name: one.address for name, one in self.live.services.items()}
        return Backends(addresses, self.began - 60, time.time(), {"run": self.run})

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace: name, id, attributes."""
        if self.live.has_tempo:
            return [one | {"id": hex_id(one["spanId"])} for one in self.live.trace(trace_id)]
        return [one for one in map(plain_span, self.receiver.units("traces")) if one["trace"] == trace_id]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        home = Home(tmp_path_factory.mktemp("walk"))
        live = Live(home.state, (*BACKENDS, "alertmanager", "exporter"), home.environment)
        stack.callback(live.down)
        live.up()
        if not live.has_tempo:
            home.extra["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{receiver.address}/v1/traces"
        began = time.time()
        loop = subprocess.Popen(
            [sys.executable, "-c", LOOP], cwd=ROOT, env=home.environment, stdout=subprocess.PIPE, text=True
        )
        stack.callback(loop.communicate)
        stack.callback(loop.kill)
        assert loop.stdout is not None
        yield World(live, home, receiver, loop.stdout.readline().strip(), began)


def test_walk_leads_from_an_alert_to_the_rows(world: World) -> None:
    alert = eventually(lambda: firing(world), bool, 240)[0]
    notes = alert["annotations"]

    assert "# LossSpike" in read(notes["runbook_url"])

    link = urllib.parse.urlsplit(notes["dashboard"])
    board = BUILT[link.path.removeprefix("/d/")]
    chosen = {name.removeprefix("var-"): value for name, [value] in urllib.parse.parse_qs(link.query).items()}
    assert chosen == {"run": world.run, "node": "pretrain"}
    assert notes["__dashboardUid__"] == board["uid"]

    [cause] = [one for one in panels(board) if str(one["id"]) == notes["__panelId__"]]
    backends = world.backends
    backends.variables |= chosen
    backends.fill_variables(board)
    [curve] = backends.ask(cause, cause["targets"][0])
    assert max(value for _, value in curve.points) > 1.5 * 2, (
        "the spike lasted a second, a fifteenth of the panel's step"
    )

    [to_run] = [link["url"] for link in links_of(cause) if link["url"].startswith("/d/glassformer-run?")]
    assert "${__field.labels.glassformer_run}" in to_run
    assert curve.labels["glassformer_run"] == world.run

    dot = eventually(lambda: highest_dot(world, board), bool, 60)
    assert (dot["glassformer_run"], dot["trace_id"]) == (world.run, world.run)

    [interval] = eventually(
        lambda: [one for one in world.trace(dot["trace_id"]) if one["id"] == dot["span_id"]], bool, 60
    )
    about = interval["attributes"]
    assert interval["name"] == "interval"
    assert int(about["first_update"]) <= int(dot["update"]) <= int(about["last_update"])

    graph = eventually(lambda: read(about["flame_graph"]), bool, 120)
    assert "read_slowly" in graph

    said = world.home.run("--run", dot["glassformer_run"], "--at", dot["update"], module="tasks.why")
    assert all(row in said for row in ROWS)
    assert about["flame_graph"].rpartition("/")[2] in said


def firing(world: World) -> list[dict[str, Any]]:
    """The alerts on the loop that Alertmanager has."""
    found = json.loads(read(f"{world.live.services['alertmanager'].address}/api/v2/alerts"))
    return [
        one
        for one in found
        if one["labels"].get("glassformer_run") == world.run and one["labels"]["alertname"] == "LossSpike"
    ]


def highest_dot(world: World, board: dict[str, Any]) -> dict[str, str]:
    """The exemplar with the highest value of *Loss of each update*."""
    [panel] = [one for one in panels(board) if one["title"] == "Loss of each update"]
    [metric] = re.findall(r"\w+_bucket", panel["targets"][0]["expr"])
    asked = {"query": f'{metric}{{glassformer_run="{world.run}"}}', "start": world.began, "end": time.time()}
    found = world.backends.get("prometheus", "/api/v1/query_exemplars", **asked)["data"]
    dots = [
        (float(dot["value"]), series["seriesLabels"] | dot["labels"]) for series in found for dot in series["exemplars"]
    ]
    value, labels = max(dots, key=lambda one: one[0], default=(0.0, {}))
    return labels if value > 50 else {}


def read(address: str) -> str:
    """A page; empty if there is none yet."""
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError:
        return ""
