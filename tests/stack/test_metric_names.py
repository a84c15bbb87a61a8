"""The names that a real Prometheus gives to the metrics that are pushed to it."""

import json
import time
import urllib.parse
import urllib.request

import pytest

from telemetry import Observe
from telemetry.endpoints import endpoints
from telemetry.names import METRICS, sent_as
from telemetry.shipper import Shipper
from tests.metric_names import pushed, series
from tests.stack.live import Live, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]  # the first start builds the programs
WATCHED = ("gpu.", "process.", "step.progress", "system.")  # those are read from the machine
EXTREMES = {"training.lowest_update_loss", "training.highest_update_loss"}  # follow from a histogram


def test_pushed_metrics_get_the_expected_names(tmp_path):
    observe = Observe.open(
        "glassformer", pipeline="p", run="named", step="s", node="", outbox=tmp_path / "outbox", usage=False
    )
    said = {name: entry for name, entry in METRICS.items() if not name.startswith(WATCHED) and name not in EXTREMES}
    for name, entry in said.items():
        {"gauge": observe.metric, "counter": observe.count, "histogram": observe.measure}[entry.kind](name, 1)
    observe.close()
    live = Live(tmp_path, ("prometheus",))
    try:
        live.up()
        shipper = Shipper(tmp_path / "outbox", endpoints(live.environment), print)
        shipper.start()
        shipper.drain(20, patient=True)
        asked = {"match[]": '{glassformer_run="named"}', "start": time.time() - 3600}
        url = f"{live.services['prometheus'].address}/api/v1/label/__name__/values?{urllib.parse.urlencode(asked)}"

        def names():
            with urllib.request.urlopen(url, timeout=30) as answer:
                found = json.load(answer)["data"]
            return {name for name in found if name.startswith("glassformer_") and ":" not in name}

        watched = tuple(sent_as(start).replace(".", "_") for start in WATCHED)
        assert eventually(names, bool) == {name for name in series(pushed()) if not name.startswith(watched)}
    finally:
        live.down()
