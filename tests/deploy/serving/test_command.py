"""The server as users start it, with versions that were really trained and registered, in a store of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
import urllib3

import tests.small_corpus as small
from artifacts.home import CHECKOUT
from deploy.serving.registry import AwayError, Registry
from deploy.store import connect
from tasks import lengths
from tests.deploy.serving.stub import asked_all_the_time
from tests.registered import home, registered
from tests.waiting import until


class Started:
    """`python -m deploy.serving`, and a client of it."""

    def __init__(self, home, *arguments, **environment):
        command = [
            sys.executable,
            "-m",
            "deploy.serving",
            "served",
            "--port",
            "0",
            "--poll",
            "0.2",
            "--drain",
            "0.3",
            *arguments,
        ]
        self.process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "GLASSFORMER_HOME": str(home), **environment},
        )
        self.line = self.process.stdout.readline()
        self.pool = None
        if self.line:
            self.pool = urllib3.connection_from_url(self.line.split()[0], maxsize=16, retries=False, timeout=30)

    def asks(self, text="Return the sum.", **options):
        body = json.dumps({"inputs": text, **options}).encode()
        answer = self.pool.request("POST", "/v1/classify", body=body, headers={"content-type": "application/json"})
        return answer.status, answer.headers.get("x-model-version", "")

    def models(self):
        return self.pool.request("GET", "/models").json()

    def ended(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=40)
        if self.pool:
            self.pool.close()
        return self.process.returncode, errors


def workers(started, number):
    """The worker processes of a version."""
    found = psutil.Process(started.process.pid).children()
    return [
        one
        for one in found
        if "worker.py" in " ".join(one.cmdline()) and f"/served/{number}" in " ".join(one.cmdline())
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A registry with two versions of `served`, the first of which is champion."""
    with home(tmp_path_factory, rows=300) as (client, root, patch, made):
        for seed in (1, 2):
            checkpoint = small.train(root, "finetune", made, from_scratch=True, max_updates=12, seed=seed)
            registered(client, root, patch, {**made, "checkpoint": checkpoint}, "served")
        client.set_registered_model_alias("served", "champion", "1")
        yield client, root


@pytest.fixture(scope="module")
def server(world):
    started = Started(world[1], "--canary", "0")
    assert started.line, started.process.stderr.read()
    yield started
    assert started.ended()[0] == 0


def test_registered_version_passes_its_self_check_and_serves(world, server):
    assert server.line.split()[1:] == ["served", "version", "1"]
    (one,) = server.models()["versions"]
    assert one["self_check"] == "gives 16 of the 16 answers that were recorded when it was registered"
    assert one["labels"]
    assert server.asks() == (200, "1")
    assert server.asks(options={"loud": 1})[0] == 422
    told = server.pool.request("POST", "/v1/attention", body=b'{"input": "Return the sum."}').json()
    assert all(abs(sum(row) - 1) < 0.02 for rows in told["maps"].values() for row in rows)
    assert told["pieces"][0] == "[CLS]"
    form = {"dataframe_split": {"columns": ["text"], "data": [["Return"], [None], [""]]}}
    answer = server.pool.request("POST", "/invocations", body=json.dumps(form).encode())
    assert [set(row) for row in answer.json()["predictions"]] == [{"prediction", "probability", *lengths.COLUMNS}] * 3


def test_served_answers_match_mlflow_pyfunc(world, server):
    import mlflow
    import pandas as pd

    texts = ["Return the sum.", "Open a file.", "x" * 400, ""]
    expected = mlflow.pyfunc.load_model("models:/served/1").predict(pd.DataFrame({"text": texts}))
    body = json.dumps({"inputs": texts}).encode()
    answers = server.pool.request("POST", "/v1/classify", body=body).json()["answers"]
    assert [one["prediction"] for one in answers] == expected["prediction"].tolist()
    assert [one["probability"] for one in answers] == pytest.approx(expected["probability"].tolist(), abs=1e-4)


def test_moved_alias_is_followed_under_load_and_rolled_back_quickly(world, server):
    client, _ = world
    with asked_all_the_time(server.asks, 3) as answers:
        client.set_registered_model_alias("served", "champion", "2")
        until(lambda: answers[-1:] == [(200, "2")], 60)
        client.set_registered_model_alias("served", "champion", "1")
        began = time.monotonic()
        until(lambda: answers[-1:] == [(200, "1")])
        assert time.monotonic() - began < 3
    assert {code for code, _ in answers} == {200}


def test_sigterm_under_load_answers_all_accepted_requests(world):
    started = Started(world[1], "--drain", "2")  # a thread of this test may not get to ask for longer than 0.3 s
    answers, ending = [], threading.Event()

    def ask():
        pool = urllib3.connection_from_url(started.line.split()[0], retries=False, timeout=30)
        while not ending.is_set():
            try:
                answers.append(pool.request("POST", "/v1/classify", body=b'{"inputs": "Return the sum."}').status)
            except urllib3.exceptions.NewConnectionError:
                return  # nobody listens any more: it was not accepted
            except urllib3.exceptions.HTTPError as error:
                answers.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) > 50)
    code, errors = started.ended()
    ending.set()
    for thread in threads:
        thread.join()
    assert code == 0, errors
    assert set(answers) == {200}
    assert errors.endswith(": ended\n")


def test_killed_worker_is_restarted(world, server):
    first, _ = workers(server, "1")
    first.kill()
    assert server.asks()[0] == 200
    assert until(lambda: server.models()["versions"][0]["restarts"]) == 1


def test_workers_end_when_the_server_is_killed(world):
    started = Started(world[1])
    found = workers(started, "1")
    assert len(found) == 2
    assert started.ended(signal.SIGKILL)[0] == -signal.SIGKILL
    until(lambda: all(not one.is_running() or one.status() == psutil.STATUS_ZOMBIE for one in found))


def test_server_without_registry_serves_from_disk(world, server, tmp_path):
    """`server` has served before, so its files are here."""
    started = Started(world[1], MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert started.line.split()[1:] == ["served", "version", "1"]
    assert started.models()["from_disk"] is True
    assert started.asks() == (200, "1")
    code, errors = started.ended()
    assert code == 0
    assert "is served from disk" in errors


def test_server_without_registry_and_disk_exits_with_75(tmp_path):
    started = Started(tmp_path, MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    _, errors = started.process.communicate(timeout=60)
    assert started.process.returncode == 75
    assert "the registry does not answer" in errors
    assert "Traceback" not in errors


def test_registry_fetches_verifies_and_remembers_versions(world, tmp_path):
    registry = Registry("served", tmp_path / "serving", connect)
    assert registry.aliases(["champion", "nobody"]) == {"champion": "1"}
    assert registry.last() is None
    known = registry.fetch("2")
    assert known.tag("task") == "classification"
    # A damaged copy is fetched again, a whole one is not.
    weights = next((known.folder / "artifacts/checkpoint").glob("*.safetensors"))
    stamp, content = weights.stat().st_mtime_ns, weights.read_bytes()
    assert registry.fetch("2").folder == known.folder
    assert weights.stat().st_mtime_ns == stamp
    weights.write_bytes(b"x" + content[1:])
    registry.fetch("2")
    assert weights.read_bytes() == content
    registry.remember(known, {"2"})
    again = Registry("served", tmp_path / "serving", lambda: 1 / 0)
    assert again.last() == known
    with pytest.raises(AwayError):
        again.aliases(["champion"])
    with pytest.raises(AwayError):
        again.fetch("2")
