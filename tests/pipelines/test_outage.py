"""The tracking server down, refusing, failing or hanging: a clear error at the start, no harm in mid-training."""

import http.server
import socket
import threading
import time

import pytest

from tests.finished import finished_run
from tests.mlflow_home import Server
from tests.pipeline_home import Home


@pytest.fixture
def hanging():
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def failing():
    """A server that answers 500 to everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(500)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def refusing():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("how", ["refusing", "failing", "hanging"])
def test_unavailable_server_at_start_gives_error_within_15_seconds(tmp_path, request, how):
    uri = request.getfixturevalue(how)
    home = Home(tmp_path, {"MLFLOW_TRACKING_URI": uri})
    started = time.monotonic()
    output = home.run("run", "tiny", expect=75)
    assert time.monotonic() - started < 15
    assert uri in output
    assert "check MLFLOW_TRACKING_URI" in output
    assert "Traceback" not in output
    assert not (home.state / "artifacts").exists(), "nothing ran"


@pytest.mark.slow
def test_metrics_arrive_later_after_outage_during_training(tmp_path):
    server = Server(tmp_path)
    home = finished_run("tiny").cache(tmp_path, ("prepare_data", "train_tokenizer"))
    home.extra["MLFLOW_TRACKING_URI"] = server.uri
    server.start()
    process = home.start("run", "tiny", "--to", "pretrain", "--set", "pretrain.max_updates=240")
    home.wait_for("runs/*/pretrain.metrics.jsonl")
    server.stop()
    output, _ = process.communicate(timeout=240)
    assert process.returncode in (0, 75), output[-3000:]
    assert "metrics wait in" in output, "said to be on disk"
    assert {path.name for path in (home.state / "artifacts").iterdir()} >= {"checkpoint"}, (
        "the training went on to its end"
    )
    server.start()
    home.run("run", "tiny", "--to", "train_tokenizer")
    client = home.client()
    run = next(run for run in home.mlflow_runs() if run.info.run_name == "pretrain")
    history = client.get_metric_history(run.info.run_id, "training.loss")
    assert max(point.step for point in history) >= 230
    assert len({point.step for point in history}) == len(history), "nothing came twice"
    server.stop()
