"""Addresses of dashboards, traces and runs: what they name is what there is."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from telemetry.links import Links

ROOT = Path(__file__).resolve().parents[2]
BOARDS = {
    board["uid"]: board
    for board in (json.loads(p.read_text()) for p in (ROOT / "grafana" / "dashboards").glob("*.json"))
}


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch):
    for name in (
        "GLASSFORMER_GRAFANA_URL",
        "GLASSFORMER_TEMPO_URL",
        "GLASSFORMER_MLFLOW_URL",
        "MLFLOW_TRACKING_URI",
        *(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT" for signal in ("LOGS", "TRACES", "METRICS")),
    ):
        monkeypatch.delenv(name, raising=False)


def test_dashboard_links_are_empty_without_a_configured_stack(tmp_path):
    links = Links.of(tmp_path / "outbox")
    assert (links.watched, links.served) == (False, False)
    assert (links.tags("a", "b", 0), links.as_markdown("a", "b", 0)) == ({}, "")
    assert links.mlflow_run("0", "abc") == "http://127.0.0.1:5000/#/experiments/0/runs/abc"


def test_stack_addresses_are_read_and_the_environment_overrides_them(tmp_path, monkeypatch):
    (tmp_path / "stack.env").write_text(
        "# note\nGLASSFORMER_GRAFANA_URL=http://127.0.0.1:3001/\nGLASSFORMER_MLFLOW_URL=http://127.0.0.1:5001\n"
    )
    links = Links.of(tmp_path / "outbox")
    assert (links.grafana, links.mlflow) == ("http://127.0.0.1:3001", "http://127.0.0.1:5001")
    assert links.watched
    assert links.served
    monkeypatch.setenv("GLASSFORMER_GRAFANA_URL", "https://grafana.example.org/g")
    assert Links.of(tmp_path / "outbox").grafana == "https://grafana.example.org/g"


def test_run_link_uses_the_tracking_server_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:hunter22@mlflow.example.org")
    links = Links.of(tmp_path / "outbox")
    assert "hunter22" not in links.mlflow_run("1", "r")
    assert links.mlflow_run("1", "r").endswith("mlflow.example.org/#/experiments/1/runs/r")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert not Links.of(tmp_path / "outbox").served


def test_backends_without_grafana_give_no_dashboard_links(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://127.0.0.1:3100/otlp/v1/logs")
    links = Links.of(tmp_path / "outbox")
    assert (links.tags("a", "b", 0), links.as_markdown("a", "b", 0)) == ({}, "")


@pytest.mark.parametrize("name", ["run", "training", "logs"])
def test_dashboard_link_names_an_existing_dashboard_and_variable(name):
    found = urlsplit(Links().board(name, 1_000.0, 1_100.5, run="r1"))
    board = BOARDS[found.path.removeprefix("/d/")]
    asked = parse_qs(found.query)
    assert asked == {"var-run": ["r1"], "from": ["940000"], "to": ["1160500"]}
    assert "run" in {variable["name"] for variable in board["templating"]["list"]}
    assert parse_qs(urlsplit(Links().board(name, 1_000.0, run="r1")).query)["to"] == ["now"]


def test_trace_link_uses_the_provisioned_data_source():
    provisioned = yaml.safe_load((ROOT / "grafana/provisioning/datasources/glassformer.yaml").read_text())[
        "datasources"
    ]
    pane = json.loads(parse_qs(urlsplit(Links().trace("a" * 32, 10.0)).query)["panes"][0])["trace"]
    assert pane["datasource"] in {source["uid"] for source in provisioned if source["type"] == "tempo"}
    assert pane["queries"][0]["query"] == "a" * 32
    assert pane["range"] == {"from": "-50000", "to": "now"}
    assert "panelsState" not in pane
    opened = parse_qs(urlsplit(Links().trace("a" * 32, 10.0, span_id="b" * 16)).query)["panes"][0]
    assert json.loads(opened)["trace"]["panelsState"] == {"trace": {"spanId": "b" * 16}}


def test_note_has_the_same_links_as_the_tags():
    links = Links(watched=True)
    tags = links.tags("r1", "t1", 1_000.0)
    assert set(tags) == {"dashboard", "logs", "trace"}
    assert dict(re.findall(r"\[(\w+)\]\(([^)]+)\)", links.as_markdown("r1", "t1", 1_000.0))) == tags
