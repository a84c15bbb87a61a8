"""docker-compose.yml is as strict as it can be: each rule holds, and a copy that breaks it is found."""

import copy
import re

import pytest
import yaml

from artifacts.home import CHECKOUT
from deploy.native.services import STRICT

COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
ALL = ("alertmanager", "exporter", "grafana", "loki", "mlflow", "postgres", "prometheus", "serving", "tempo")
OURS = ("exporter", "mlflow", "serving")  # images built here
SECRETS = {  # each has a default that everybody knows, or none at all
    "postgres": ("POSTGRES_PASSWORD",),
    "mlflow": ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_CRYPTO_KEK_PASSPHRASE"),
    "grafana": ("GF_SECURITY_ADMIN_PASSWORD", "GF_SECURITY_SECRET_KEY"),
    "serving": ("GLASSFORMER_API_KEY",),
}
COMMAND = {  # retention, where the command line sets it, and what keeps strangers out
    "prometheus": (r"--storage\.tsdb\.retention\.time=\d", r"--storage\.tsdb\.retention\.size=\d"),
    "alertmanager": (r"--data\.retention=\d", r"--cluster\.listen-address=$"),
    "mlflow": (r"--serve-artifacts$",),
}
RETENTION = {  # and where a configuration file does
    "loki/loki.yaml": (("limits_config", "retention_period"), ("compactor", "retention_enabled")),
    "tempo/tempo.yaml": (("backend_worker", "compaction", "block_retention"),),
}
IMAGE = r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?[a-z0-9.-]*(@sha256:[0-9a-f]{64})?"
NUMBERS = r"[1-9]\d*:[1-9]\d*"
REQUIRED = r"\$\{[A-Z_]+:\?[^}]*make secrets[^}]*\}"
SECRET_NAME = r"PASSWORD|PASSPHRASE|SECRET|TOKEN|API_?KEY|_KEY$|PRIVATE|CREDENTIAL"
SHARED_WITH_HOST = (
    "privileged", "cap_add", "devices", "device_cgroup_rules", "network_mode", "pid", "ipc", "userns_mode", "cgroup_parent",
    "volumes_from", "env_file", "extra_hosts", "uts",
)  # fmt: skip
NOT_IN_COMMAND = r"gunicorn|waitress|--web\.enable-admin-api|--web\.enable-lifecycle|--no-serve-artifacts"


def put(*keys_and_value):
    """A softening: this key of the service has that value."""
    *keys, last, value = keys_and_value

    def soften(service):
        for key in keys:
            service = service.setdefault(key, {}) if isinstance(service, dict) else service[key]
        service[last] = value

    return soften


def remove(*keys):
    """A softening: this key of the service is not there."""

    def soften(service):
        for key in keys[:-1]:
            service = service[key]
        del service[keys[-1]]

    return soften


def add(word):
    return lambda service: service["command"].append(word)


def drop(pattern):
    """A softening: the command's word that matches is not there."""

    def soften(service):
        kept = [word for word in service["command"] if not re.match(pattern, str(word))]
        assert len(kept) < len(service["command"])
        service["command"] = kept

    return soften


def environment(service):
    found = service.get("environment") or {}
    return found if isinstance(found, dict) else dict(entry.partition("=")[::2] for entry in found)


def host_of(port):
    return port.get("host_ip", "") if isinstance(port, dict) else str(port).rpartition(":")[0].rpartition(":")[0]


def binds(service):
    return [mount for mount in service.get("volumes", []) if not isinstance(mount, str) and mount["type"] == "bind"]


def is_unhealthy(service):
    check = service.get("healthcheck") or {}  # by a program (CMD): the image may have no shell
    return check.get("disable") or not isinstance(check.get("test"), list) or check["test"][:1] != ["CMD"]


def does_not_wait(service):
    awaited = service.get("depends_on") or {}
    return isinstance(awaited, list) or any(how.get("condition") != "service_healthy" for how in awaited.values())


def has_open_secret(service):
    strict = {key for keys in STRICT.values() for key in keys}
    secrets = {key: value for key, value in environment(service).items() if re.search(SECRET_NAME, key)}
    return any(not re.fullmatch(REQUIRED, str(value)) for key, value in secrets.items() if key not in strict)


def has_open_password(service):
    found = (re.search(r"://[^/@:\s]*:(.+)@", str(value)) for value in environment(service).values())
    return any(password and not re.fullmatch(REQUIRED, password[1]) for password in found)


def of_key(name, key, breaks):
    """The rule of one variable of one service: it is broken without the variable, and with another value."""
    softenings = [remove("environment", key), put("environment", key, "secret")]
    return (name,), f"{key} is set", lambda service: breaks(str(environment(service).get(key, ""))), softenings


# Services it is tried on, the rule, when a service breaks it, ways to break it.
RULES = [
    (ALL, "image has a version", lambda s: not re.fullmatch(IMAGE, s.get("image", "")),
     [put("image", image) for image in ("grafana/grafana", "grafana/grafana:latest", "grafana/grafana:13")]),
    (OURS, "image comes from no registry", lambda s: "build" in s and s.get("pull_policy") != "build",
     [remove("pull_policy")]),
    (ALL, "user and group are numbers, not root's", lambda s: not re.fullmatch(NUMBERS, str(s.get("user", ""))),
     [remove("user"), *(put("user", user) for user in ("root", "0:0", "10001:0"))]),
    (ALL, "read_only", lambda s: s.get("read_only") is not True, [remove("read_only"), put("read_only", False)]),
    (ALL, "no capability", lambda s: s.get("cap_drop") != ["ALL"], [remove("cap_drop"), put("cap_drop", ["NET_RAW"])]),
    (ALL, "no new privileges", lambda s: "no-new-privileges:true" not in s.get("security_opt", []),
     [remove("security_opt"), put("security_opt", ["no-new-privileges:false"])]),
    (ALL, "protections stay", lambda s: any(re.search("unconfined|disable", one) for one in s.get("security_opt", [])),
     [put("security_opt", ["no-new-privileges:true", "seccomp:unconfined"])]),
    (ALL, "nothing shared with the host", lambda s: any(s.get(key) for key in SHARED_WITH_HOST),
     [put(key, ["host"]) for key in SHARED_WITH_HOST]),
    (ALL, "bounded memory", lambda s: not s.get("mem_limit"), [remove("mem_limit")]),
    (ALL, "bounded processes", lambda s: not s.get("pids_limit"), [remove("pids_limit")]),
    (ALL, "restart", lambda s: s.get("restart") != "unless-stopped", [remove("restart"), put("restart", "always")]),
    (ALL, "bounded log", lambda s: "max-size" not in (s.get("logging") or {}).get("options", {}), [remove("logging")]),
    (ALL, "bounded tmpfs", lambda s: any(":size=" not in mount for mount in s.get("tmpfs", [])),
     [put("tmpfs", ["/tmp"])]),
    (ALL, "ports on 127.0.0.1 alone", lambda s: any(host_of(port) != "127.0.0.1" for port in s.get("ports", [])),
     [put("ports", [port]) for port in ("9999:9999", "0.0.0.0:9999:9999", 9999, {"target": 9999, "published": "9999"})]),
    (ALL, "networks of ours", lambda s: not s.get("networks") or not set(s["networks"]) <= {"backends", "store"},
     [remove("networks"), put("networks", ["default"])]),
    (("postgres",), "for MLflow alone", lambda s: bool(s.get("ports")) or s.get("networks") != ["store"],
     [put("ports", ["127.0.0.1:5432:5432"]), put("networks", ["store", "backends"])]),
    (ALL, "volumes have names",
     lambda s: any(not re.fullmatch(r"[a-z]+:/[^:]*", one) for one in s.get("volumes", []) if isinstance(one, str)),
     [put("volumes", ["/var/run/docker.sock:/var/run/docker.sock"]), put("volumes", ["./loki:/etc/loki"])]),
    (("loki",), "files are not written", lambda s: any(one.get("read_only") is not True for one in binds(s)),
     [put("volumes", 1, "read_only", False)]),
    (("loki",), "missing files are an error, not made as root",
     lambda s: any(one.get("bind", {}).get("create_host_path") is not False for one in binds(s)),
     [put("volumes", 1, "bind", "create_host_path", True), remove("volumes", 1, "bind")]),
    (("loki",), "files are ours",
     lambda s: any(not one["source"].startswith(("./", "${GLASSFORMER_")) for one in binds(s)),
     [put("volumes", 1, "source", "/etc")]),
    (ALL, "health is asked of a program", is_unhealthy,
     [remove("healthcheck"), put("healthcheck", "disable", True),
      *(put("healthcheck", "test", test) for test in (["CMD-SHELL", "curl localhost"], "curl localhost", ["NONE"]))]),
    (ALL, "waits until others are healthy", does_not_wait,
     [put("depends_on", {"loki": {"condition": "service_started"}}), put("depends_on", ["loki"])]),
    (ALL, "secrets are variables that have to be set", has_open_secret,
     [put("environment", "SMTP_PASSWORD", value) for value in ("hunter2", "${SMTP_PASSWORD:-hunter2}", "${SMTP_PASSWORD}")]),
    (ALL, "no password in an address", has_open_password, [put("environment", "PROXY", "http://me:hunter2@proxy:1")]),
    (("postgres",), "asks for a password", lambda s: environment(s).get("POSTGRES_HOST_AUTH_METHOD") == "trust",
     [put("environment", "POSTGRES_HOST_AUTH_METHOD", "trust")]),
    (("mlflow",), "answers to named hosts",
     lambda s: not re.fullmatch(r"[\w.:,-]+", environment(s).get("MLFLOW_SERVER_ALLOWED_HOSTS", "")),
     [remove("environment", "MLFLOW_SERVER_ALLOWED_HOSTS"), put("environment", "MLFLOW_SERVER_ALLOWED_HOSTS", "*")]),
    (("mlflow", "prometheus"), "command turns nothing off",
     lambda s: any(re.search(NOT_IN_COMMAND, str(word)) for word in s.get("command", [])),
     [add("--gunicorn-opts=-w 4"), add("--web.enable-admin-api")]),
    *(((name,), f"command has {wanted}", lambda s, wanted=wanted: not any(re.match(wanted, str(one)) for one in s["command"]),
       [drop(wanted)]) for name, words in COMMAND.items() for wanted in words),
    *(of_key(name, key, lambda found, value=value: found != value)
      for name, keys in STRICT.items() for key, value in keys.items()),
    *(of_key(name, key, lambda found: not re.search(REQUIRED, found)) for name, keys in SECRETS.items() for key in keys),
]  # fmt: skip


def test_compose_has_the_expected_services_and_an_internal_database():
    assert sorted(COMPOSE["services"]) == list(ALL)
    assert COMPOSE["networks"]["store"]["internal"], "the database has no way out"


@pytest.mark.parametrize(("names", "rule", "breaks", "softenings"), RULES, ids=[f"{row[1]}" for row in RULES])
def test_rule_holds_and_each_violation_is_detected(names, rule, breaks, softenings):
    for name in names if len(names) == 1 else ALL:
        assert not breaks(COMPOSE["services"][name]), name
    for name in names:
        for number, soften in enumerate(softenings):
            service = copy.deepcopy(COMPOSE["services"][name])
            soften(service)
            assert breaks(service), f"{name}, softening {number}"


@pytest.mark.parametrize(("file", "key"), [(file, key) for file, keys in RETENTION.items() for key in keys])
def test_retention_is_configured(file, key):
    value = yaml.safe_load((CHECKOUT / file).read_text())
    for part in key:
        value = value[part]
    assert value not in (False, "", 0, "0", "0s")
