"""docker-compose.yml fits the files it mounts, the images it builds and the programs that ask for health."""

import http.server
import os
import re
import subprocess
import threading
from contextlib import contextmanager

import pytest
import yaml

from artifacts.home import CHECKOUT
from deploy import secrets
from deploy.native.programs import PROGRAMS
from deploy.native.services import Ports
from telemetry.endpoints import DISABLED
from telemetry.sampling import ARGUMENT, SAMPLER

pytestmark = pytest.mark.timeout(3000)  # the first start builds the programs
COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]


def binds(service):
    return [mount for mount in service["volumes"] if isinstance(mount, dict)]


def test_backend_images_have_the_expected_versions():
    assert {name: SERVICES[name]["image"] for name in ("grafana", "prometheus", "tempo", "loki")} == {
        "grafana": "grafana/grafana:13.2.0",
        "prometheus": "prom/prometheus:v3.14.0",
        "tempo": "grafana/tempo:3.0.3",
        "loki": "grafana/loki:3.7.6",
    }


@pytest.mark.parametrize(("name", "mount"), [(name, mount) for name in SERVICES for mount in binds(SERVICES[name])])
def test_mounted_files_exist_in_the_checkout(name, mount):
    source = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", mount["source"])
    if source != "./var":  # `make secrets` makes it
        assert (CHECKOUT / source).exists(), f"{name} mounts {source}"


def test_prometheus_targets_match_service_ports():
    ports = vars(Ports())
    for file in sorted((CHECKOUT / "prometheus" / "targets").glob("*.yml")):
        ((address,),) = ([*group["targets"]] for group in yaml.safe_load(file.read_text()))
        name, _, port = address.partition(":")
        assert name == file.stem
        assert "backends" in SERVICES[name]["networks"]
        assert int(port) == ports.get(name, int(port)), "the native stack listens there as well"
        assert port in str(SERVICES[name]["healthcheck"]["test"])


def test_alerts_link_to_published_addresses():
    published = {port.rpartition(":")[0] for service in SERVICES.values() for port in service.get("ports", [])}
    commands = {name: " ".join(service.get("command", [])) for name, service in SERVICES.items()}
    outside = {
        name: re.findall(r"--web\.external-url=http://(\S+)", commands[name]) for name in ("prometheus", "alertmanager")
    }
    assert outside == {"prometheus": ["127.0.0.1:9090"], "alertmanager": ["127.0.0.1:9093"]}
    assert {"127.0.0.1:9090", "127.0.0.1:9093", f"127.0.0.1:{Ports.exporter}"} <= published
    assert SERVICES["loki"]["environment"]["LOKI_GRAFANA"] == "${GLASSFORMER_GRAFANA_URL:-http://127.0.0.1:3000}"
    ruler = yaml.safe_load((CHECKOUT / "loki" / "loki.yaml").read_text())["ruler"]
    assert ruler["external_url"] == "${LOKI_GRAFANA:-http://127.0.0.1:3000}"


def test_each_named_volume_is_declared_and_used_once():
    used = [
        mount.partition(":")[0] for s in SERVICES.values() for mount in s.get("volumes", []) if isinstance(mount, str)
    ]
    assert sorted(used) == sorted(COMPOSE["volumes"])


def test_grafana_gets_the_variables_used_by_its_provisioning():
    asked = set()
    for file in (CHECKOUT / "grafana" / "provisioning").rglob("*.yaml"):
        asked |= set(re.findall(r"(?<!\$)\$(GLASSFORMER_[A-Z_]+)", file.read_text()))
    assert asked, "the provisioning names its addresses by variables"
    environment = SERVICES["grafana"]["environment"]
    assert asked <= set(environment)
    assert environment["GLASSFORMER_DASHBOARDS"] in [mount["target"] for mount in binds(SERVICES["grafana"])]


@pytest.fixture(scope="module")
def compose_config():
    """Runs the real compose program's `config` on a file, with nothing of our own environment."""
    program = PROGRAMS["docker-compose"].path(print)

    def run(environment_file, *options, file=CHECKOUT / "docker-compose.yml"):
        command = [program, "--file", file, "--project-directory", CHECKOUT, "--env-file", environment_file, "config"]
        environment = {"PATH": os.defpath, "HOME": str(environment_file.parent)}
        return subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def environment_file(tmp_path):
    secrets.write_missing(tmp_path / ".env")
    return tmp_path / ".env"


@pytest.mark.stack
def test_compose_accepts_the_file_with_secrets(compose_config, environment_file):
    told = compose_config(environment_file, "--format", "json")
    assert (told.returncode, told.stderr) == (0, "")
    resolved = yaml.safe_load(told.stdout)
    assert set(resolved["services"]) == set(SERVICES)
    written = dict(line.split("=", 1) for line in environment_file.read_text().splitlines()[1:])
    environment = {name: service.get("environment", {}) for name, service in resolved["services"].items()}
    assert environment["grafana"]["GF_SECURITY_ADMIN_PASSWORD"] == written["GRAFANA_ADMIN_PASSWORD"]
    store = f"postgresql+psycopg2://mlflow:{written['POSTGRES_PASSWORD']}@postgres:5432/mlflow"
    assert environment["mlflow"]["MLFLOW_BACKEND_STORE_URI"] == store


PASSED_ON = {DISABLED, SAMPLER, ARGUMENT, "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"}


def test_server_takes_the_variables_of_its_own_telemetry_from_the_environment():
    """The server alone records telemetry. Where it is sent, and how, is the file's: these backends have no credentials."""
    assert {name for name, value in SERVICES["serving"]["environment"].items() if value is None} == PASSED_ON


@pytest.mark.stack
def test_compose_passes_sampler_variables_on_only_if_they_are_set(compose_config, environment_file):
    def telemetry():
        told = yaml.safe_load(compose_config(environment_file, "--format", "json").stdout)
        return {k: v for k, v in told["services"]["serving"]["environment"].items() if k in PASSED_ON and v is not None}

    assert telemetry() == {}
    given = {SAMPLER: "parentbased_traceidratio", ARGUMENT: "0.1"}
    with environment_file.open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in given.items())
    assert telemetry() == given


@pytest.mark.stack
@pytest.mark.parametrize("name", secrets.NAMES)
@pytest.mark.parametrize("empty", [False, True])
def test_compose_refuses_a_missing_secret_by_name(compose_config, environment_file, name, empty):
    lines = [line for line in environment_file.read_text().splitlines() if not line.startswith(f"{name}=")]
    environment_file.write_text("\n".join([*lines, f"{name}=" if empty else ""]) + "\n")
    told = compose_config(environment_file, "--quiet")
    assert told.returncode != 0
    assert name in told.stderr
    assert "make secrets" in told.stderr


@pytest.mark.stack
def test_compose_refuses_unknown_keys(compose_config, environment_file, tmp_path):
    odd = tmp_path / "odd.yml"
    odd.write_text((CHECKOUT / "docker-compose.yml").read_text().replace("    pids_limit", "    pids_limits"))
    odd.write_text(odd.read_text().replace("    mem_limit: 128m", "    memory_limit: 128m"))
    told = compose_config(environment_file, "--quiet", file=odd)
    assert told.returncode != 0
    assert "memory_limit" in told.stderr


@contextmanager
def answering(status):
    """A server on a port of its own that answers everything with this status."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.stack
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
@pytest.mark.parametrize(("service", "program"), [("loki", "loki"), ("tempo", "tempo"), ("prometheus", "promtool")])
def test_health_check_command_follows_the_service_status(service, program, status, healthy):
    if not PROGRAMS[program].module and not PROGRAMS[program].on_path():
        pytest.skip(f"{program} is not on PATH")
    command = SERVICES[service]["healthcheck"]["test"][1:]
    with answering(status) as port:
        mine = [
            str(PROGRAMS[program].path(print)),
            *(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", w) for w in command[1:]),
        ]
        told = subprocess.run(mine, capture_output=True, text=True, timeout=30, check=False)
    assert (told.returncode == 0) is healthy, told.stdout + told.stderr
