"""Report where docker-compose.yml is less strict than it could be. `docker compose config` checks that it is well formed.

examples:
  python -m deploy.hardening                 docker-compose.yml of the checkout
  python -m deploy.hardening mine.yml        exit code 1 and one line for each violation
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from artifacts.home import CHECKOUT
from command_line import Parser, fail

Service = Mapping[str, Any]

SERVICES = ("postgres", "mlflow", "loki", "tempo", "prometheus", "alertmanager", "grafana", "exporter", "serving")

# Settings that a service needs, as its own default is less strict.
ENVIRONMENT: dict[str, dict[str, str]] = {
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
# Secrets that have a default everybody knows, or none at all.
SECRETS = {
    "postgres": ("POSTGRES_PASSWORD",),
    "mlflow": ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_CRYPTO_KEK_PASSPHRASE"),
    "grafana": ("GF_SECURITY_ADMIN_PASSWORD", "GF_SECURITY_SECRET_KEY"),
    "serving": ("GLASSFORMER_API_KEY",),
}
COMMAND = {  # retention, where the command line sets it
    "prometheus": (r"--storage\.tsdb\.retention\.time=\d", r"--storage\.tsdb\.retention\.size=\d"),
    "alertmanager": (r"--data\.retention=\d", r"--cluster\.listen-address=$"),
    "mlflow": (r"--serve-artifacts$",),
}
NOT_IN_COMMAND = r"gunicorn|waitress|--web\.enable-admin-api|--web\.enable-lifecycle|--no-serve-artifacts"
RETENTION = {  # and where a configuration file does
    "loki/loki.yaml": (("limits_config", "retention_period"), ("compactor", "retention_enabled")),
    "tempo/tempo.yaml": (("backend_worker", "compaction", "block_retention"),),
}
_SECRET_NAME = re.compile(r"PASSWORD|PASSPHRASE|SECRET|TOKEN|API_?KEY|_KEY$|PRIVATE|CREDENTIAL")
_REQUIRED = re.compile(r"\$\{[A-Z_]+:\?[^}]*make secrets[^}]*\}")
_IMAGE = re.compile(r"^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?[a-z0-9.-]*(@sha256:[0-9a-f]{64})?$")
_SHARED_WITH_HOST = ("privileged", "cap_add", "devices", "device_cgroup_rules", "network_mode", "pid", "ipc",
                     "userns_mode", "cgroup_parent", "volumes_from", "env_file", "extra_hosts", "uts")  # fmt: skip


def violations(compose: Mapping[str, Any]) -> list[str]:
    """One line for each rule that the parsed file breaks; empty when it is hard."""
    services = compose.get("services") or {}
    found = [f"{name}: is not there" for name in SERVICES if name not in services]
    for name, service in services.items():
        found += [f"{name}: {text}" for rule in _RULES for text in rule(name, service or {})]
    if not ((compose.get("networks") or {}).get("store") or {}).get("internal"):
        found.append("networks: store is not internal: the database could reach out")
    return found


def find_unbounded(root: Path) -> list[str]:
    """Find mounted configurations that keep their data for ever."""
    found = []
    for file, keys in RETENTION.items():
        for key in keys:
            value: Any = yaml.safe_load((root / file).read_text(encoding="utf-8"))
            for part in key:
                value = value.get(part) if isinstance(value, dict) else None
            if not value or str(value) == "0s":
                found.append(f"{file}: {'.'.join(key)} is not set")
    return found


def _image(_: str, service: Service) -> Iterator[str]:
    if not _IMAGE.match(service.get("image", "")):
        yield f"image {service.get('image')} is not pinned to a version"
    if "build" in service and service.get("pull_policy") != "build":
        yield "pull_policy is not build: an image of this name could come from a registry"


def _check_confinement(_: str, service: Service) -> Iterator[str]:
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", str(service.get("user", ""))):
        yield "user is not a number other than root's, with a group"
    if service.get("read_only") is not True:
        yield "read_only is not set"
    if service.get("cap_drop") != ["ALL"]:
        yield "cap_drop is not [ALL]"
    options = service.get("security_opt") or []
    if "no-new-privileges:true" not in options:
        yield "security_opt lacks no-new-privileges:true"
    if any("unconfined" in option or "disable" in option for option in options):
        yield "security_opt turns a protection off"
    for key in _SHARED_WITH_HOST:
        if service.get(key):
            yield f"{key} opens the container"


def _check_bounds(_: str, service: Service) -> Iterator[str]:
    for key in ("mem_limit", "pids_limit"):
        if not service.get(key):
            yield f"{key} is not set"
    if service.get("restart") != "unless-stopped":
        yield "restart is not unless-stopped"
    if "max-size" not in (service.get("logging") or {}).get("options", {}):
        yield "logging keeps for ever what it says"
    if any(":size=" not in mount for mount in service.get("tmpfs", [])):
        yield "tmpfs has no size"


def _reachable(name: str, service: Service) -> Iterator[str]:
    for port in service.get("ports", []):
        address = port.get("host_ip", "") if isinstance(port, dict) else str(port).rpartition(":")[0].rpartition(":")[0]
        if address != "127.0.0.1":
            yield f"port {port} is not published on 127.0.0.1 alone"
    if not service.get("networks") or not set(service["networks"]) <= {"backends", "store"}:
        yield "networks are not backends or store"
    if name == "postgres" and (service.get("ports") or list(service.get("networks", [])) != ["store"]):
        yield "is for MLflow alone: no port, and the network store"


def _mounts(_: str, service: Service) -> Iterator[str]:
    for mount in service.get("volumes", []):
        if isinstance(mount, str):
            if not re.match(r"^[a-z]+:/[^:]*$", mount):
                yield f"volume {mount} is not a named one"
        elif mount.get("type") == "bind":
            if mount.get("read_only") is not True:
                yield f"{mount['source']} can be written by the container"
            if (mount.get("bind") or {}).get("create_host_path") is not False:
                yield f"{mount['source']} would be made, as root, where it is missing"
            if not str(mount["source"]).startswith(("./", "${GLASSFORMER_")):
                yield f"{mount['source']} is not a folder of ours"


def _healthy(_: str, service: Service) -> Iterator[str]:
    check = service.get("healthcheck") or {}
    test = check.get("test")
    if check.get("disable") or not isinstance(test, list) or test[:1] != ["CMD"]:
        yield "healthcheck does not start a program (CMD): the image may have no shell"
    for other, how in _waits(service):
        if how != "service_healthy":
            yield f"does not wait until {other} is healthy"


def _waits(service: Service) -> Iterator[tuple[str, str]]:
    awaited = service.get("depends_on") or {}
    for other in awaited:
        yield other, awaited[other].get("condition", "") if isinstance(awaited, dict) else ""


def _secrets(name: str, service: Service) -> Iterator[str]:
    environment = service.get("environment") or {}
    if isinstance(environment, list):
        environment = dict(entry.partition("=")[::2] for entry in environment)
    for key, value in environment.items():
        credentials = re.search(r"://[^/@:\s]*:(.+)@", str(value))
        if _SECRET_NAME.search(key) and key not in ENVIRONMENT.get(name, {}) and not _REQUIRED.fullmatch(str(value)):
            yield f"{key} is not a variable that has to be set (${{NAME:?`make secrets` …}})"
        if credentials and not _REQUIRED.fullmatch(credentials[1]):
            yield f"{key} has a password written into it"
    for key in SECRETS.get(name, ()):
        if not _REQUIRED.search(str(environment.get(key, ""))):
            yield f"{key} does not come from the secrets"
    for key, value in ENVIRONMENT.get(name, {}).items():
        if str(environment.get(key, "")) != value:
            yield f"{key} is not {value}"
    if str(environment.get("POSTGRES_HOST_AUTH_METHOD", "")) == "trust":
        yield "POSTGRES_HOST_AUTH_METHOD lets everyone in"
    if name == "mlflow" and not re.fullmatch(r"[\w.:,-]+", str(environment.get("MLFLOW_SERVER_ALLOWED_HOSTS", ""))):
        yield "MLFLOW_SERVER_ALLOWED_HOSTS does not name its hosts"


def _command(name: str, service: Service) -> Iterator[str]:
    words = [str(word) for word in service.get("command") or []]
    for wanted in COMMAND.get(name, ()):
        if not any(re.match(wanted, word) for word in words):
            yield f"command lacks {wanted}"
    for word in words:
        if re.search(NOT_IN_COMMAND, word):
            yield f"command has {word}"


_RULES: tuple[Callable[[str, Service], Iterator[str]], ...] = (
    _image, _check_confinement, _check_bounds, _reachable, _mounts, _healthy, _secrets, _command,
)  # fmt: skip


def main() -> int:
    """Parse the command line and check. Returns the exit code."""
    parser = Parser("python -m deploy.hardening", __doc__)
    parser.add_argument("file", nargs="?", type=Path, default=CHECKOUT / "docker-compose.yml")
    file = parser.parse_args().file
    try:
        found = violations(yaml.safe_load(file.read_text(encoding="utf-8"))) + find_unbounded(file.parent)
    except (OSError, yaml.YAMLError, AttributeError) as error:
        return fail(f"{file}: cannot be read as a compose file: {' '.join(str(error).split())}", 2)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
