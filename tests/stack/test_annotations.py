"""Annotations of the dashboards, asked of live backends after what they tell of has happened."""

import json

import pytest

from grafana.boards import BOARDS, as_json
from grafana.live import Backends, last
from telemetry import Observe
from telemetry.endpoints import endpoints
from telemetry.names import STATES
from telemetry.shipper import Shipper
from tests.stack.live import eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]  # the first start builds the programs


@pytest.fixture(scope="module")
def happened(live, tmp_path_factory):
    """A promotion, a candidate that was refused, a roll-back, a switch of the server and a step that failed; all delivered."""
    folder = tmp_path_factory.mktemp("happened")
    with_gate = _process(folder, "docs", "promote", "promote")
    with_gate.log("model.promoted", "docs version 2 is now champion", promoted=True, model="docs")
    with_gate.log("model.promoted", "champion of docs stays version 2", promoted=False, model="docs")
    with_gate.close()
    by_hand = _process(folder, "", "promote", "")
    by_hand.log("model.rolled_back", "docs version 1 is champion again", level="warning", model="docs")
    by_hand.close()
    server = _process(folder, "", "serving", "")
    server.log("serving.switched", "version 1 answers now")
    server.log("serving.refused", "version 2 must not answer")
    server.close()
    driver = _process(folder, "docs", "pipeline", "")
    driver.metric("node.state", STATES["failed"], node="finetune")
    driver.close()
    working = Shipper(folder / "outbox", {k: v for k, v in endpoints(live.environment).items() if k != "traces"}, print)
    working.start()
    working.drain(20, patient=True)


def _process(folder, pipeline, step, node):
    about = {"pipeline": pipeline, "run": f"{step}1", "step": step, "node": node}
    return Observe.open("glassformer", **about, outbox=folder / "outbox", terminal=False)


@pytest.mark.parametrize("name", BOARDS)
def test_annotations_of_a_board_show_what_happened(live, happened, name):
    board = json.loads(as_json(BOARDS[name]()))

    def events():
        backends = Backends({name: service.address for name, service in live.services.items()}, *last(0.2))
        return sorted((event.name, event.text) for event in backends.events(board))

    expected = [
        ("Alerts", "StepFailed docs critical"),
        ("Deployments", "version 1 answers now"),
        ("Promotions", "docs version 2 is now champion"),
        ("Roll-backs", "docs version 1 is champion again"),
    ]
    assert eventually(events, lambda found: found == expected, 60)
