"""The checker of docker-compose.yml: nothing to say of ours, and each softened copy is found."""

import copy
import subprocess
import sys

import pytest
import yaml

from artifacts.home import CHECKOUT
from deploy.hardening import ENVIRONMENT, RETENTION, SECRETS, SERVICES, find_unbounded, violations

COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())


def remove(*keys):
    """A softening: this key of the service is not there."""

    def soften(service):
        for key in keys[:-1]:
            service = service[key]
        del service[keys[-1]]

    return soften


def put(value, *keys):
    """A softening: this key of the service has that value."""

    def soften(service):
        for key in keys[:-1]:
            service = service.setdefault(key, {}) if isinstance(service, dict) else service[key]
        service[keys[-1]] = value

    return soften


def drop(word, key):
    """A softening: the list's entry that starts like this is not there."""

    def soften(service):
        kept = [entry for entry in service[key] if not str(entry).startswith(word)]
        assert len(kept) < len(service[key])
        service[key] = kept

    return soften


def softened(name, soften):
    compose = copy.deepcopy(COMPOSE)
    soften(compose["services"][name])
    return violations(compose)


# What can be taken from, or done to, any service; the words are of the violation that it has to give.
ANYWHERE = [
    (put("grafana/grafana", "image"), "not pinned"),
    (put("grafana/grafana:latest", "image"), "not pinned"),
    (put("grafana/grafana:13", "image"), "not pinned"),
    (remove("user"), "user is not"),
    (put("root", "user"), "user is not"),
    (put("0:0", "user"), "user is not"),
    (put("10001:0", "user"), "user is not"),
    (remove("read_only"), "read_only"),
    (put(False, "read_only"), "read_only"),
    (remove("cap_drop"), "cap_drop"),
    (put(["NET_RAW"], "cap_drop"), "cap_drop"),
    (put(["SYS_ADMIN"], "cap_add"), "cap_add opens"),
    (remove("security_opt"), "no-new-privileges"),
    (put(["no-new-privileges:false"], "security_opt"), "no-new-privileges"),
    (put(["no-new-privileges:true", "seccomp:unconfined"], "security_opt"), "turns a protection off"),
    (put(True, "privileged"), "privileged opens"),
    (put("host", "network_mode"), "network_mode opens"),
    (put("host", "pid"), "pid opens"),
    (put(["/dev/kmsg"], "devices"), "devices opens"),
    (remove("mem_limit"), "mem_limit"),
    (remove("pids_limit"), "pids_limit"),
    (remove("restart"), "restart"),
    (put("always", "restart"), "restart"),
    (remove("logging"), "logging"),
    (put(["/tmp"], "tmpfs"), "tmpfs has no size"),
    (put(["9999:9999"], "ports"), "not published on 127.0.0.1"),
    (put(["0.0.0.0:9999:9999"], "ports"), "not published on 127.0.0.1"),
    (put([9999], "ports"), "not published on 127.0.0.1"),
    (put([{"target": 9999, "published": "9999"}], "ports"), "not published on 127.0.0.1"),
    (remove("networks"), "networks"),
    (put(["default"], "networks"), "networks"),
    (put(["/var/run/docker.sock:/var/run/docker.sock"], "volumes"), "not a named one"),
    (put(["./loki:/etc/loki"], "volumes"), "not a named one"),
    (remove("healthcheck"), "healthcheck"),
    (put(["CMD-SHELL", "curl localhost"], "healthcheck", "test"), "healthcheck"),
    (put("curl localhost", "healthcheck", "test"), "healthcheck"),
    (put(["NONE"], "healthcheck", "test"), "healthcheck"),
    (put(True, "healthcheck", "disable"), "healthcheck"),
    (put({"loki": {"condition": "service_started"}}, "depends_on"), "wait until loki"),
    (put(["loki"], "depends_on"), "wait until loki"),
    (put("hunter2", "environment", "SMTP_PASSWORD"), "SMTP_PASSWORD is not a variable"),
    (put("${SMTP_PASSWORD:-hunter2}", "environment", "SMTP_PASSWORD"), "SMTP_PASSWORD is not a variable"),
    (put("${SMTP_PASSWORD}", "environment", "SMTP_PASSWORD"), "SMTP_PASSWORD is not a variable"),
    (put("http://me:hunter2@proxy:1", "environment", "PROXY"), "PROXY has a password written into it"),
]
OF_ONE = [
    ("mlflow", remove("pull_policy"), "pull_policy"),
    ("exporter", remove("pull_policy"), "pull_policy"),
    ("postgres", put(["127.0.0.1:5432:5432"], "ports"), "for MLflow alone"),
    ("postgres", put(["store", "backends"], "networks"), "for MLflow alone"),
    ("postgres", put("trust", "environment", "POSTGRES_HOST_AUTH_METHOD"), "lets everyone in"),
    ("mlflow", remove("environment", "MLFLOW_SERVER_ALLOWED_HOSTS"), "MLFLOW_SERVER_ALLOWED_HOSTS"),
    ("mlflow", put("*", "environment", "MLFLOW_SERVER_ALLOWED_HOSTS"), "MLFLOW_SERVER_ALLOWED_HOSTS"),
    ("mlflow", lambda service: service["command"].append("--gunicorn-opts=-w 4"), "gunicorn"),
    ("prometheus", lambda service: service["command"].append("--web.enable-admin-api"), "admin-api"),
    ("prometheus", drop("--storage.tsdb.retention.time", "command"), "retention"),
    ("prometheus", drop("--storage.tsdb.retention.size", "command"), "retention"),
    ("alertmanager", drop("--data.retention", "command"), "retention"),
    ("alertmanager", drop("--cluster.listen-address", "command"), "cluster"),
    ("loki", put(False, "volumes", 1, "read_only"), "can be written"),
    ("loki", put(True, "volumes", 1, "bind", "create_host_path"), "would be made"),
    ("loki", put("/etc", "volumes", 1, "source"), "not a folder of ours"),
    *((name, remove("environment", key), key) for name, keys in ENVIRONMENT.items() for key in keys),
    *((name, put("secret", "environment", key), key) for name, keys in SECRETS.items() for key in keys),
    *((name, remove("environment", key), key) for name, keys in SECRETS.items() for key in keys),
]


def test_ours_is_hard():
    assert violations(COMPOSE) == []
    assert find_unbounded(CHECKOUT) == []


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(("soften", "says"), ANYWHERE)
def test_a_service_that_is_softened_anywhere_is_found(name, soften, says):
    found = softened(name, soften)
    assert any(line.startswith(f"{name}: ") and says in line for line in found), found


@pytest.mark.parametrize(("name", "soften", "says"), OF_ONE)
def test_what_one_service_needs_is_missed(name, soften, says):
    found = softened(name, soften)
    assert any(line.startswith(f"{name}: ") and says in line for line in found), found


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_is_not_there_is_missed(name):
    compose = copy.deepcopy(COMPOSE)
    del compose["services"][name]
    assert f"{name}: is not there" in violations(compose)


def test_the_database_has_no_way_out():
    compose = copy.deepcopy(COMPOSE)
    compose["networks"]["store"] = None
    assert any("store is not internal" in line for line in violations(compose))


@pytest.mark.parametrize(("file", "key"), [(file, key) for file, keys in RETENTION.items() for key in keys])
def test_a_configuration_without_retention_is_found(tmp_path, file, key):
    for name in RETENTION:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        configuration = yaml.safe_load((CHECKOUT / name).read_text())
        if name == file:
            part = configuration
            for step in key[:-1]:
                part = part[step]
            del part[key[-1]]
        (tmp_path / name).write_text(yaml.safe_dump(configuration))
    assert find_unbounded(tmp_path) == [f"{file}: {'.'.join(key)} is not set"]


def test_the_command_line_says_what_is_soft(tmp_path):
    soft = (CHECKOUT / "docker-compose.yml").read_text().replace("127.0.0.1:3000:3000", "3000:3000")
    for name in RETENTION:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text((CHECKOUT / name).read_text())
    (tmp_path / "docker-compose.yml").write_text(soft)
    command = [sys.executable, "-m", "deploy.hardening", str(tmp_path / "docker-compose.yml")]
    told = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert (told.returncode, told.stderr) == (1, "")
    assert told.stdout == "grafana: port 3000:3000 is not published on 127.0.0.1 alone\n"
    gone = subprocess.run([*command[:-1], "gone.yml"], capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert gone.returncode == 2
    assert gone.stderr.startswith("gone.yml: cannot be read")
