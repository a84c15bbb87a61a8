"""Backends for a file of tests, and one pipeline that ran with its backends down, for what became of its records."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.native.programs import PROGRAMS
from telemetry.segments import SIGNALS, Signal
from tests.pipeline_home import Home
from tests.stack.canaries import ENVIRONMENT, SAID, SOURCES
from tests.stack.live import LONG_ENOUGH, Live
from tests.step_process import StepProcess, units
from tests.telemetry.receiver import Receiver, Reply


@dataclass
class Away:
    """A home whose pipelines ran while nobody was there, and whose outbox was replayed when the backends had come up."""

    home: Home
    live: Live
    receiver: Receiver  # for spans, where there is no Tempo
    began: int
    written: dict[Signal, list[bytes]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)  # what the commands printed
    replayed: str = ""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Loki, Prometheus and, where it is on PATH, Tempo, with nothing in them yet."""
    live = Live(tmp_path_factory.mktemp("stack"))
    live.up()
    yield live
    live.down()


@pytest.fixture(scope="package")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Away]:
    """`tiny`, run whole with secrets of all kinds around it, then runs that fail with secrets in their errors."""
    live = Live(tmp_path_factory.mktemp("stack"))
    up: list[bool] = []
    with Receiver(lambda signal, request: Reply(200 if up else 503)) as receiver:
        home = Home(tmp_path_factory.mktemp("away"), ENVIRONMENT | _endpoints(live, receiver))
        away = Away(home, live, receiver, time.time_ns())
        away.said.append(home.run("run", "tiny", "--promote", *LONG_ENOUGH))
        for source in SOURCES:
            away.said.append(home.run("run", "tiny", "--set", f"prepare_data.source={source}", expect=None))
        away.said.append(_fails(home.folder, tmp_path_factory.mktemp("said") / "said.txt"))
        assert home.wait_gone(10) == []
        away.written = {signal: units(home.state / "outbox", signal) for signal in SIGNALS}
        live.up()
        up.append(True)
        away.replayed = home.run("replay", module="telemetry")
        away.said += [away.replayed, home.run("status", module="telemetry")]
        yield away
        live.down()
        shutil.rmtree(live.home, ignore_errors=True)


def _endpoints(live: Live, receiver: Receiver) -> dict[str, str]:
    """Where the backends will listen; spans go to a strict receiver where there is no Tempo."""
    ports, host = live.ports, "http://127.0.0.1"
    tempo = f"{host}:{ports.tempo_otlp}/v1/traces"
    return {
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{host}:{ports.loki}/otlp/v1/logs",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{host}:{ports.prometheus}/api/v1/otlp/v1/metrics",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": tempo if PROGRAMS["tempo"].on_path() else f"{receiver.address}/v1/traces",
    }


def _fails(folder: Path, file: Path) -> str:
    """A step that ends with an error of ours, whose text is full of secrets; what it printed."""
    file.write_text(SAID)
    body = """
said = open(os.environ["SAID_FILE"]).read()
observe.log("corpus.left_out", said, field=said, deep={"password": said.split()[-1], said: [said]})
observe.count("corpus.quarantined", 1, reason=said)
with observe.phase("read", about=said):
    raise RuntimeError(said)
"""
    code, errors = StepProcess(folder, body, SAID_FILE=str(file), **ENVIRONMENT).ended()
    assert code == 1
    assert "RuntimeError: refused: Authorization: ***" in errors
    return errors
