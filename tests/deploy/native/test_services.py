"""Commands of the services; tests/stack starts the real ones."""

import stat
from pathlib import Path

import pytest
import yaml

from artifacts.home import CHECKOUT
from deploy.native.programs import PROGRAMS, Program
from deploy.native.services import SERVICES, Place, Ports

PROGRAM = Path("/opt/x/bin/program")


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, Ports())


def test_every_service_listens_on_loopback_only(place):
    for name, recipe in SERVICES.items():
        made = recipe(PROGRAM, place)
        said = " ".join([*made.command, *made.environment.values()])
        assert "0.0.0.0" not in said, name
        assert name == "exporter" or "127.0.0.1" in said, "the exporter's own default is loopback"


def test_native_services_match_compose_except_the_database():
    """Natively MLflow keeps its runs where `make run` does."""
    composed = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
    assert set(SERVICES) == set(composed) - {"postgres"}
    assert {name for name in SERVICES if name not in PROGRAMS} == {"mlflow", "exporter", "serving"}


def test_serving_gets_telemetry_endpoints_unless_the_user_sets_them(tmp_path):
    """It starts before the file that tells the others."""
    told = SERVICES["serving"](PROGRAM, Place(tmp_path, Ports())).environment
    assert told["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] == "http://127.0.0.1:3100/otlp/v1/logs"
    assert told["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] == "http://127.0.0.1:9090/api/v1/otlp/v1/metrics"
    assert ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in told) == bool(PROGRAMS["tempo"].on_path())
    mine = {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://elsewhere/v1/logs"}
    told = SERVICES["serving"](PROGRAM, Place(tmp_path, Ports(), mine)).environment
    assert told["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] == "http://elsewhere/v1/logs"


def test_ports_are_unique_and_every_service_has_one():
    ports = vars(Ports())
    assert len(set(ports.values())) == len(ports)
    assert set(SERVICES) <= set(ports)


def test_native_grafana_is_configured_as_strictly_as_in_compose(place):
    composed = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]["grafana"]["environment"]
    made = SERVICES["grafana"](PROGRAM, place).environment
    differing = {
        name
        for name, value in composed.items()
        if made.get(name) != value
        and name not in made.keys() & {"GF_SECURITY_ADMIN_PASSWORD", "GF_SECURITY_SECRET_KEY"}
    }
    assert differing == {name for name in composed if name.startswith("GLASSFORMER_")}, "addresses alone"
    assert all(made[name] for name in differing)


def test_grafana_password_is_random_persistent_and_private(place, tmp_path):
    first = SERVICES["grafana"](PROGRAM, place).environment["GF_SECURITY_ADMIN_PASSWORD"]
    assert SERVICES["grafana"](PROGRAM, place).environment["GF_SECURITY_ADMIN_PASSWORD"] == first
    file = tmp_path / "stack" / "grafana.password"
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (first, 0o600)
    other = SERVICES["grafana"](PROGRAM, Place(tmp_path / "other", Ports())).environment
    assert other["GF_SECURITY_ADMIN_PASSWORD"] != first
    assert len(first) >= 24


def test_grafana_home_is_found_next_to_its_program(place, tmp_path):
    (tmp_path / "grafana" / "conf").mkdir(parents=True)
    (tmp_path / "grafana" / "conf" / "defaults.ini").touch()
    beside = SERVICES["grafana"](tmp_path / "grafana" / "bin" / "grafana", place)
    assert beside.command[-1] == f"--homepath={tmp_path / 'grafana'}"
    assert SERVICES["grafana"](PROGRAM, place).command[-1] == "--homepath=/usr/share/grafana"


def test_prometheus_uses_committed_rules_and_local_targets(place, monkeypatch):
    monkeypatch.setattr(Program, "on_path", lambda self: None)
    SERVICES["prometheus"](PROGRAM, place)
    folder = place.folder / "prometheus.d"
    assert (folder / "prometheus.yml").resolve() == CHECKOUT / "prometheus" / "prometheus.yml"
    for file in (CHECKOUT / "prometheus" / "rules").glob("*.yml"):
        assert (folder / "rules" / file.name).read_text() == file.read_text()
    targets = {file.stem: yaml.safe_load(file.read_text())[0]["targets"] for file in (folder / "targets").iterdir()}
    assert targets["loki"] == ["127.0.0.1:3100"]
    assert "tempo" not in targets, "no Tempo here: no target that is always down"
    committed = {file.stem for file in (CHECKOUT / "prometheus" / "targets").iterdir()}
    assert committed == set(targets) | {"tempo"}


def test_alerts_link_to_addresses_of_this_stack(tmp_path):
    place = Place(tmp_path, Ports(exporter=19464, grafana=13000))
    made = {name: SERVICES[name](PROGRAM, place) for name in ("prometheus", "loki", "alertmanager")}
    rules = [
        *(place.folder / "prometheus.d" / "rules").glob("*.yml"),
        *Path(made["loki"].environment["LOKI_RULES"]).glob("fake/*.yml"),
    ]
    linked = [line for file in rules for line in file.read_text().splitlines() if "runbook_url:" in line]
    assert linked
    assert all("runbook_url: http://127.0.0.1:19464/runbooks/" in line for line in linked)
    assert "--web.external-url=http://127.0.0.1:9090" in made["prometheus"].command
    assert "--web.external-url=http://127.0.0.1:9093" in made["alertmanager"].command
    assert made["loki"].environment["LOKI_GRAFANA"] == "http://127.0.0.1:13000"
    elsewhere = Place(tmp_path, Ports(), {"GLASSFORMER_GRAFANA_URL": "https://grafana.example"})
    assert SERVICES["loki"](PROGRAM, elsewhere).environment["LOKI_GRAFANA"] == "https://grafana.example"


def test_user_alertmanager_file_overrides_the_default(place, tmp_path):
    assert (
        f"--config.file={CHECKOUT / 'prometheus' / 'alertmanager.yml'}"
        in SERVICES["alertmanager"](PROGRAM, place).command
    )
    (tmp_path / "alertmanager.yml").write_text("route: {receiver: mine}\n")
    assert f"--config.file={tmp_path / 'alertmanager.yml'}" in SERVICES["alertmanager"](PROGRAM, place).command


def test_mlflow_serves_the_store_used_by_runs(place):
    made = SERVICES["mlflow"](PROGRAM, place)
    assert f"--backend-store-uri=sqlite:///{CHECKOUT / 'mlflow.db'}" in made.command
    assert "--no-serve-artifacts" in made.command, "else runs that write to the store itself could not write artifacts"
    assert made.environment["MLFLOW_SERVER_ALLOWED_HOSTS"] == "localhost:5000,127.0.0.1:5000"
    assert made.environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert made.tells == {"GLASSFORMER_MLFLOW_URL": "http://127.0.0.1:5000"}
    elsewhere = Place(place.home, place.ports, {"MLFLOW_TRACKING_URI": "sqlite:////elsewhere/mlflow.db"})
    assert "--backend-store-uri=sqlite:////elsewhere/mlflow.db" in SERVICES["mlflow"](PROGRAM, elsewhere).command
