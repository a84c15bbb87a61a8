"""The exporter as a process: its pages, MLflow away, SIGTERM, a port that is taken."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from deploy.exporter.collector import Exporter
from tests.pipeline_home import ROOT


@pytest.fixture
def started(tmp_path):
    """Start an exporter on a free port with an environment of its own."""
    running = []

    def start(**environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.exporter", "--port", "0", "--every", "0.3"],
            cwd=ROOT,
            text=True,
            env=os.environ | {"GLASSFORMER_HOME": str(tmp_path / "home")} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        running.append(process)
        return process, process.stdout.readline().strip().removesuffix("/metrics")

    yield start
    for process in running:
        process.kill()
        process.communicate()


def get(address):
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_until_ready(address):
    until = time.monotonic() + 60
    while get(f"{address}/readyz")[0] != 200:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_missing_store_is_reported_as_down_and_not_created(started, tmp_path):
    process, address = started(MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/none.db")
    wait_until_ready(address)
    code, text = get(f"{address}/metrics")
    assert code == 200
    assert "\nglassformer_mlflow_up 0.0\n" in text
    assert "\nglassformer_runs{" not in text, "what is not known is not said"
    assert '\nglassformer_outbox_bytes{signal="logs"} 0.0\n' in text
    assert "\nglassformer_disk_free_bytes " in text
    assert not (tmp_path / "none.db").exists()
    assert not (tmp_path / "home").exists()
    assert get(f"{address}/healthz") == (200, "ok\n")
    assert get(f"{address}/other")[0] == 404
    assert get(f"{address}/runbooks/StepFailed") == (200, (ROOT / "docs" / "runbooks" / "StepFailed.md").read_text())
    assert get(f"{address}/runbooks/../alerts")[0] == 404
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert errors.count("is not there yet; the first run makes it") == 1, "told once"


def test_flame_graphs_are_served_and_nothing_beside_them(started, tmp_path):
    folder = tmp_path / "home" / "runs" / "r1" / "profiles" / "pretrain"
    folder.mkdir(parents=True)
    (folder / "step.svg").write_text("<svg/>")
    (folder / "step.folded").write_text("a;b 3\n")
    (folder / ".step.svg").write_text("half of it")
    (tmp_path / "home" / "runs" / "r1" / "run.svg").write_text("secret")
    _, address = started(MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/none.db")
    with urllib.request.urlopen(f"{address}/profiles/r1/pretrain/step.svg", timeout=20) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (b"<svg/>", "image/svg+xml")
    assert get(f"{address}/profiles/r1/pretrain/step.folded") == (200, "a;b 3\n")
    code, text = get(f"{address}/profiles/r1/pretrain/interval-1-5.svg")
    assert (code, text.startswith("no such flame graph: it is drawn when")) == (404, True)
    for path in (
        "r1/pretrain/.step.svg", "r1/../run.svg", "r1/%2e%2e/run.svg", "r1/..%2Frun.svg/x.svg", "../r1/pretrain/step.svg",
        "r1/pretrain/..%2F..%2F..%2Frun.svg", "r1/pretrain/", "r1", "r1/pretrain/step.json",
    ):  # fmt: skip
        assert get(f"{address}/profiles/{path}")[0] == 404, path


def test_unreachable_server_is_reported_as_down_without_its_password(started):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    process, address = started(MLFLOW_TRACKING_URI=f"http://user:canary-secret@127.0.0.1:{port}")
    wait_until_ready(address)
    assert "\nglassformer_mlflow_up 0.0\n" in get(f"{address}/metrics")[1]
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "MLflow does not answer" in errors
    assert "canary-secret" not in out + errors


def test_exporter_recovers_when_mlflow_answers_again(tmp_path, capsys):
    from mlflow import MlflowClient

    answers = [OSError("away"), MlflowClient(uri := f"sqlite:///{tmp_path}/mlflow.db", uri)]

    def connect():
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    exporter = Exporter(tmp_path, connect)
    assert not exporter.ready
    exporter.update()
    values = {family.name: [sample.value for sample in family.samples] for family in exporter.collect()}
    assert (exporter.ready, values["glassformer_mlflow_up"]) == (True, [0.0])
    assert "glassformer_runs" not in values
    exporter.update()
    values = {family.name: [sample.value for sample in family.samples] for family in exporter.collect()}
    assert values["glassformer_mlflow_up"] == [1.0]
    assert values["glassformer_running_older_than"] == [0.0] * 4
    assert values["glassformer_runs"] == [0.0] * 5
    assert "MLflow answers again" in capsys.readouterr().err


def test_occupied_port_fails_with_one_line(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "deploy.exporter", "--port", port],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("give another --port")
    assert len(done.stderr.splitlines()) == 1
