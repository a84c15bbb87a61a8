"""MLflow's webhooks tell of what the gate decides: signed, once for each move of the alias, through a real server."""

import base64
import hashlib
import hmac
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.fernet import Fernet

from steps.promote.history import PROMOTE, ROLLBACK, Decision, History
from tests.mlflow_home import Server

SECRET = "shared-with-the-receiver"


@pytest.fixture(scope="module")
def received():
    """Headers and body that a receiver on this machine was sent."""
    told = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            told.put((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, told
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of a real MLflow server that may send to this machine."""
    from mlflow import MlflowClient

    server = Server(
        tmp_path_factory.mktemp("server"),
        MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY=Fernet.generate_key().decode(),
        MLFLOW_WEBHOOK_ALLOWED_SCHEMES="http",
        MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS="true",
    )
    server.start()
    yield MlflowClient(server.uri, server.uri)
    server.stop()


def test_each_alias_move_sends_a_signed_webhook(client, received):
    port, told = received
    client.create_webhook("moves", f"http://127.0.0.1:{port}/", events=["model_version_alias.created"], secret=SECRET)
    client.create_registered_model("hooked")
    run = client.create_run("0")
    for _ in range(2):
        client.create_model_version("hooked", run.info.artifact_uri, run.info.run_id)
    history = History(client, "hooked")
    history.decide(Decision(PROMOTE, "champion", "", "1", "first", "ann"))
    history.decide(Decision(PROMOTE, "champion", "1", "2", "better", "ann"))
    history.decide(Decision(ROLLBACK, "champion", "2", "1", "worse in use", "ann"))
    moves = []
    for _ in range(3):
        headers, body = told.get(timeout=30)
        signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
        assert headers["X-MLflow-Signature"] == f"v1,{wanted}"
        moves.append(json.loads(body)["data"])
    assert sorted(move["version"] for move in moves) == ["1", "1", "2"], "they may overtake one another"
    assert {(move["name"], move["alias"]) for move in moves} == {("hooked", "champion")}
    assert told.empty()
    assert [one.to for one in history.decisions()] == ["1", "2", "1"], "over the network as in a file"
