"""One home with the whole window beside it: a pipeline ran twice, the second time from the cache, and all of it was sent."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from grafana.live import Backends
from telemetry import records
from telemetry.links import GRAFANA
from tests.pipeline_home import Home
from tests.stack.live import BACKENDS, LONG_ENOUGH, Live, eventually
from tests.telemetry.receiver import Receiver

SERVED = (*BACKENDS, "alertmanager", "mlflow", "exporter")


@dataclass
class Window:
    """The services started and the runs made."""

    home: Home
    live: Live
    receiver: Receiver  # takes the spans where there is no Tempo
    started: float

    @property
    def backends(self) -> Backends:
        """Where a panel's queries go, over the time since it began."""
        addresses = {name: self.live.services[name].address for name in BACKENDS if name in self.live.services}
        return Backends(addresses, self.started - 60, time.time())

    @property
    def runs(self) -> list[str]:
        """The pipeline's runs, oldest first."""
        folders = [folder for folder in (self.home.state / "runs").iterdir() if (folder / "run.json").exists()]
        return [folder.name for folder in sorted(folders, key=lambda folder: (folder / "run.json").stat().st_mtime)]

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace, by the backend's own API: name, id, parent, attributes and the resource's."""
        if self.live.has_tempo:
            found = self.live.trace(trace_id)
            return [
                {
                    "name": s["name"],
                    "id": hex_id(s["spanId"]),
                    **{k: s[k] for k in ("attributes", "resource")},
                    "links": [hex_id(link["traceId"]) for link in s.get("links", [])],
                }
                for s in found
            ]
        return [span for span in map(plain_span, self.receiver.units("traces")) if span["trace"] == trace_id]


@contextmanager
def opened(folder: Path) -> Iterator[Window]:
    """Start the window, run `tiny` with promotion and once more from the cache, and deliver what was said."""
    with Receiver() as receiver:
        home = Home(folder, {"GLASSFORMER_GRAFANA_URL": GRAFANA})
        live = Live(home.state, SERVED, home.environment)
        started = time.time()
        try:
            live.up()
            if not live.has_tempo:
                home.extra["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{receiver.address}/v1/traces"
            home.run("run", "tiny", "--promote", *LONG_ENOUGH)
            home.run("run", "tiny", *LONG_ENOUGH)
            home.run("replay", module="telemetry")
            eventually(lambda: live.samples('glassformer_alias_version{alias="champion"}'), bool, 90)
            with _serving(home, live):
                yield Window(home, live, receiver, started)
        finally:
            live.down()


@contextmanager
def _serving(home: Home, live: Live) -> Iterator[None]:
    """The champion of `tiny` serves where Prometheus looks, and has been asked for long enough to have rates and drift."""
    port = live.ports.serving
    process = home.start("glassformer-tiny", "--port", str(port), module="deploy.serving")
    try:
        pool = urllib3.HTTPConnectionPool("127.0.0.1", port, timeout=30, retries=False)
        eventually(lambda: _answers(pool), bool, 60)
        ending = threading.Event()

        def ask() -> None:
            for number in itertools.count():
                body = json.dumps({"inputs": f"Return the sum of {number} elements \u2603 over a given axis."}).encode()
                pool.request("POST", "/v1/classify", body=body)
                if ending.wait(0.05 if number > 250 else 0):
                    return

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        try:
            eventually(lambda: live.samples("sum(rate(glassformer_serving_requests_total[1m])) > 0"), bool, 90)
            eventually(lambda: live.samples('glassformer_serving_drift_psi{of="length"}'), bool, 90)
            yield
        finally:
            ending.set()
            asking.join()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _answers(pool: urllib3.HTTPConnectionPool) -> bool:
    try:
        return pool.request("GET", "/readyz").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def links_of(panel: Mapping[str, Any]) -> list[dict[str, str]]:
    """The links of a panel's curves or columns."""
    overrides = panel["fieldConfig"].get("overrides", [])
    return [link for one in overrides for p in one["properties"] if p["id"] == "links" for link in p["value"]]


def plain_span(unit: bytes) -> dict[str, Any]:
    """A span that the receiver took, with what `Window.spans` tells of it."""
    [part] = records.request_class("traces").FromString(unit).resource_spans
    [span] = part.scope_spans[0].spans
    return {
        "name": span.name,
        "id": span.span_id.hex(),
        "trace": span.trace_id.hex(),
        "attributes": {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes},
        "resource": {pair.key: pair.value.string_value for pair in part.resource.attributes},
        "links": [link.trace_id.hex() for link in span.links],
    }


def hex_id(one: str) -> str:
    """Tempo's JSON has ids in base64, or in hex."""
    import base64

    return one if len(one) in (16, 32) else base64.b64decode(one).hex()
