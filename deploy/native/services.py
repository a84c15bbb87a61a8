"""The command of each backend: the repository's own configuration file, addresses and data folders."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from artifacts import atomic
from artifacts.home import CHECKOUT, base
from deploy.native.programs import PROGRAMS
from telemetry.endpoints import variable_of
from telemetry.segments import SIGNALS, Signal

LOOPBACK = "127.0.0.1"
_RUNBOOKS = "http://127.0.0.1:9464/runbooks/"  # what alerts link to, as the rules' files have it
# Settings that a service needs, with Docker or without, as its own default is less strict.
STRICT: dict[str, dict[str, str]] = {
    "mlflow": {
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    },
    "grafana": {
        "GF_AUTH_ANONYMOUS_ENABLED": "false",
        "GF_USERS_ALLOW_SIGN_UP": "false",
        "GF_USERS_ALLOW_ORG_CREATE": "false",
        "GF_PUBLIC_DASHBOARDS_ENABLED": "false",
        "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
        "GF_SECURITY_DISABLE_GRAVATAR": "true",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        "GF_PLUGINS_PREINSTALL_AUTO_UPDATE": "false",
    },
}


@dataclass(frozen=True)
class Ports:
    """Ports of the backends, on 127.0.0.1."""

    loki: int = 3100
    loki_grpc: int = 9095
    prometheus: int = 9090
    tempo: int = 3200
    tempo_otlp: int = 4318
    tempo_grpc: int = 9096
    alertmanager: int = 9093
    mlflow: int = 5000
    exporter: int = 9464
    serving: int = 8000
    grafana: int = 3000


@dataclass(frozen=True)
class Place:
    """Home and ports of a set of backends."""

    home: Path
    ports: Ports
    environment: Mapping[str, str] = field(default_factory=dict)  # of the user: where MLflow's runs are

    @property
    def folder(self) -> Path:
        """Folder of their data, logs and generated configuration."""
        return self.home / "stack"

    def data(self, name: str) -> Path:
        """The folder of one backend's data."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def address(self, name: str) -> str:
        """A service's address."""
        return f"http://{LOOPBACK}:{getattr(self.ports, name)}"

    def takes(self, signal: Signal) -> str:
        """The address to which a signal is sent."""
        port, path = {
            "logs": (self.ports.loki, "/otlp/v1/logs"),
            "metrics": (self.ports.prometheus, "/api/v1/otlp/v1/metrics"),
            "traces": (self.ports.tempo_otlp, "/v1/traces"),
        }[signal]
        return f"http://{LOOPBACK}:{port}{path}"


@dataclass(frozen=True)
class Recipe:
    """Command and environment that start one service."""

    command: Sequence[str]
    ready: str  # the path that answers 200 when it is ready
    environment: Mapping[str, str] = field(default_factory=dict)
    signal: Signal | None = None  # what of our telemetry it takes
    endpoint: str = ""  # and where
    tells: Mapping[str, str] = field(default_factory=dict)  # variables that say to our commands where it is


def alertmanager(program: Path, place: Place) -> Recipe:
    """Alertmanager; receivers of alerts come from a file of the user's."""
    own = place.home / "alertmanager.yml"
    command = [
        str(program),
        f"--config.file={own if own.exists() else CHECKOUT / 'prometheus' / 'alertmanager.yml'}",
        f"--storage.path={place.data('alertmanager')}",
        f"--web.listen-address={LOOPBACK}:{place.ports.alertmanager}",
        f"--web.external-url={place.address('alertmanager')}",
        "--cluster.listen-address=",
        "--data.retention=744h",
        "--log.level=warn",
    ]
    return Recipe(command, "/-/ready")


def loki(program: Path, place: Place) -> Recipe:
    """Loki, for logs."""
    environment = {
        "LOKI_ADDRESS": LOOPBACK,
        "LOKI_PORT": str(place.ports.loki),
        "LOKI_GRPC_PORT": str(place.ports.loki_grpc),
        "LOKI_DATA": str(place.data("loki")),
        "LOKI_RULES": str(_rules(place, CHECKOUT / "loki" / "rules", place.folder / "loki.d")),
        "LOKI_ALERTMANAGER": place.address("alertmanager"),
        "LOKI_GRAFANA": place.environment.get("GLASSFORMER_GRAFANA_URL", place.address("grafana")),
    }
    command = [str(program), f"-config.file={CHECKOUT / 'loki' / 'loki.yaml'}", "-config.expand-env=true"]
    return Recipe(command, "/ready", environment, "logs", place.takes("logs"))


def prometheus(program: Path, place: Place) -> Recipe:
    """Prometheus, for metrics."""
    command = [
        str(program),
        f"--config.file={_prometheus_files(place) / 'prometheus.yml'}",
        f"--web.listen-address={LOOPBACK}:{place.ports.prometheus}",
        f"--web.external-url={place.address('prometheus')}",
        f"--storage.tsdb.path={place.data('prometheus')}",
        "--storage.tsdb.retention.time=31d",
        "--web.enable-otlp-receiver",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    return Recipe(command, "/-/ready", {}, "metrics", place.takes("metrics"))


def _prometheus_files(place: Place) -> Path:
    """The repository's own files, plus targets of this machine."""
    folder = place.folder / "prometheus.d"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "targets").mkdir(parents=True)
    (folder / "prometheus.yml").symlink_to(CHECKOUT / "prometheus" / "prometheus.yml")
    _rules(place, CHECKOUT / "prometheus" / "rules", folder / "rules")
    for name in ("prometheus", "loki", "tempo", "alertmanager", "exporter", "serving"):
        if name != "tempo" or PROGRAMS[name].on_path():
            target = f'- targets: ["{LOOPBACK}:{getattr(place.ports, name)}"]\n'
            atomic.write_text(folder / "targets" / f"{name}.yml", target)
    return folder


def _rules(place: Place, source: Path, folder: Path) -> Path:
    """A copy of alerting rules whose links to runbooks lead to our exporter, on whichever port it listens."""
    shutil.rmtree(folder, ignore_errors=True)
    for file in source.rglob("*.yml"):
        copy = folder / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(copy, file.read_text().replace(_RUNBOOKS, f"{place.address('exporter')}/runbooks/"))
    return folder


def tempo(program: Path, place: Place) -> Recipe:
    """Tempo, for traces."""
    environment = {
        "TEMPO_ADDRESS": LOOPBACK,
        "TEMPO_PORT": str(place.ports.tempo),
        "TEMPO_OTLP_PORT": str(place.ports.tempo_otlp),
        "TEMPO_GRPC_PORT": str(place.ports.tempo_grpc),
        "TEMPO_DATA": str(place.data("tempo")),
    }
    command = [str(program), f"-config.file={CHECKOUT / 'tempo' / 'tempo.yaml'}", "-config.expand-env=true"]
    return Recipe(
        command,
        "/ready",
        environment,
        "traces",
        place.takes("traces"),
        {"GLASSFORMER_TEMPO_URL": place.address("tempo")},
    )


def mlflow(program: Path, place: Place) -> Recipe:
    """MLflow's page on the store that runs write: what links from Grafana lead to.

    Artifacts are read from where they lie. A server that passes them through would, on a fresh store, give the first
    experiment an address that only its own clients can write to, and our runs write to the store itself.
    """
    store = place.environment.get("MLFLOW_TRACKING_URI") or f"sqlite:///{base() / 'mlflow.db'}"
    root = place.environment.get("_MLFLOW_SERVER_ARTIFACT_ROOT") or str(base() / "mlruns")
    command = [
        str(program), "-m", "mlflow", "server", f"--host={LOOPBACK}", f"--port={place.ports.mlflow}", "--workers=1",
        f"--backend-store-uri={store}", "--no-serve-artifacts", f"--default-artifact-root={root}",
        "--x-frame-options=DENY",
    ]  # fmt: skip
    hosts = f"localhost:{place.ports.mlflow},{LOOPBACK}:{place.ports.mlflow}"
    environment = {"MLFLOW_SERVER_ALLOWED_HOSTS": hosts, **STRICT["mlflow"]}
    return Recipe(command, "/health", environment, tells={"GLASSFORMER_MLFLOW_URL": place.address("mlflow")})


def exporter(program: Path, place: Place) -> Recipe:
    """Our exporter: MLflow's runs and registry, the outbox, the disk."""
    environment = {"GLASSFORMER_HOME": str(place.home), "PYTHONPATH": str(CHECKOUT)}
    command = [str(program), "-m", "deploy.exporter", f"--port={place.ports.exporter}"]
    return Recipe(command, "/readyz", environment, tells={"GLASSFORMER_EXPORTER_URL": place.address("exporter")})


def serving(program: Path, place: Place) -> Recipe:
    """Our server, of what `make run` registers; until that has a champion it waits."""
    environment = {"GLASSFORMER_HOME": str(place.home), "PYTHONPATH": str(CHECKOUT)}
    # It starts before the file that tells commands of ours where telemetry goes.
    for signal in SIGNALS:
        if signal != "traces" or PROGRAMS["tempo"].on_path():
            name = variable_of(signal)
            environment[name] = place.environment.get(name, place.takes(signal))
    command = [str(program), "-m", "deploy.serving", f"--host={LOOPBACK}", f"--port={place.ports.serving}", "--wait"]
    return Recipe(command, "/healthz", environment)


def grafana(program: Path, place: Place) -> Recipe:
    """Grafana with our data sources and dashboards, as closed as docker-compose.yml has it."""
    provisioning = CHECKOUT / "grafana" / "provisioning"
    environment = STRICT["grafana"] | {
        "GF_SERVER_HTTP_ADDR": LOOPBACK,
        "GF_SERVER_HTTP_PORT": str(place.ports.grafana),
        "GF_PATHS_DATA": str(place.data("grafana")),
        "GF_PATHS_PROVISIONING": str(provisioning),
        "GF_LOG_MODE": "console",
        "GF_SECURITY_ADMIN_USER": "admin",
        "GF_SECURITY_ADMIN_PASSWORD": _secret(place, "grafana.password"),
        "GF_SECURITY_SECRET_KEY": _secret(place, "grafana.key"),
        "GLASSFORMER_DASHBOARDS": str(CHECKOUT / "grafana" / "dashboards"),
        **{f"GLASSFORMER_{name.upper()}_URL": place.address(name) for name in ("loki", "tempo", "prometheus")},
    }
    command = [str(program), "server", f"--homepath={_grafana_files(program)}"]
    return Recipe(command, "/api/health", environment, tells={"GLASSFORMER_GRAFANA_URL": place.address("grafana")})


def _grafana_files(program: Path) -> Path:
    """Folder of Grafana's own files: next to its program in an archive, under /usr/share in a package."""
    parent = program.resolve().parent.parent
    return parent if (parent / "conf" / "defaults.ini").exists() else Path("/usr/share/grafana")


def _secret(place: Place, name: str) -> str:
    """A random secret, made once, that its owner alone can read."""
    file = place.folder / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(secrets.token_urlsafe(24))
    return file.read_text()


# In the order in which they are started.
SERVICES: dict[str, Callable[[Path, Place], Recipe]] = {
    "alertmanager": alertmanager, "loki": loki, "prometheus": prometheus, "tempo": tempo, "mlflow": mlflow,
    "exporter": exporter, "serving": serving, "grafana": grafana,
}  # fmt: skip
OURS = dict.fromkeys(("mlflow", "exporter", "serving"), Path(sys.executable))  # run by the interpreter that runs us
