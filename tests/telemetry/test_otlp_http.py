"""Each answer of a backend is read for what it means."""

import gzip
import socket
import threading
import time
from contextlib import closing
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from telemetry import records
from telemetry.endpoints import Endpoint
from telemetry.otlp_client import Answer, Kind
from telemetry.otlp_http import HttpBackend
from tests.telemetry.receiver import Receiver, Reply, log_request
from tests.tracking_server import certificate, server, tls


def send(endpoint: Endpoint) -> Answer:
    with closing(HttpBackend("logs", endpoint)) as backend:
        return backend.send(log_request("hello"))


def answer_to(reply: Reply, **options: float) -> Answer:
    with Receiver(lambda signal, request: reply) as receiver:
        endpoint = Endpoint(f"{receiver.address}/otlp/v1/logs", {"x-scope-orgid": "team"}, **options)
        answer = send(endpoint)
        assert receiver.headers[0]["x-scope-orgid"] == "team"
        return answer


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Kind.DELIVERED), (202, Kind.DELIVERED), (204, Kind.DELIVERED), (301, Kind.WRONG), (307, Kind.WRONG),
        (400, Kind.REFUSED), (401, Kind.WRONG), (403, Kind.WRONG), (404, Kind.WRONG), (405, Kind.WRONG),
        (408, Kind.LATER), (413, Kind.TOO_LARGE), (422, Kind.REFUSED), (429, Kind.LATER), (500, Kind.FAILED),
        (502, Kind.LATER), (503, Kind.LATER), (504, Kind.LATER),
    ],
)  # fmt: skip
def test_http_status_determines_the_kind_of_answer(status: int, kind: Kind) -> None:
    answer = answer_to(Reply(status, b"" if status < 300 else b"why", {"location": "http://elsewhere/"}))
    assert (answer.kind, answer.status) == (kind, status)
    assert answer.taken is (kind is Kind.DELIVERED)
    if 300 <= status < 400:
        assert "redirects to http://elsewhere/" in answer.reason
    elif status >= 400:
        assert answer.reason == f"HTTP {status}: why"


def test_partial_success_response_is_parsed() -> None:
    response = records.response_class("logs")()
    response.partial_success.rejected_log_records = 3
    response.partial_success.error_message = "too old"
    answer = answer_to(Reply(200, response.SerializeToString()))
    assert (answer.kind, answer.rejected, answer.reason) == (Kind.DELIVERED, 3, "too old")
    in_json = b'{"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "too old"}, "more": 1}'
    answer = answer_to(Reply(200, in_json, {"content-type": "application/json; charset=utf-8"}))
    assert (answer.kind, answer.rejected, answer.reason) == (Kind.DELIVERED, 2, "too old")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html>Sign in</html>", "text/html; charset=utf-8"),
        (b"<html>Sign in</html>", ""),
        (b"welcome", "text/plain"),
        (b"welcome", "application/json"),
        (b"\xff\xff\xff", "application/x-protobuf"),
    ],
)
def test_success_without_an_otlp_body_is_not_delivered(body: bytes, content_type: str) -> None:
    answer = answer_to(Reply(200, body, {"content-type": content_type} if content_type else {}))
    assert (answer.kind, answer.taken) == (Kind.WRONG, False)
    assert "HTTP 200, but no OTLP answer" in answer.reason


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-3", 0.0), ("1e9", 300.0), ("soon", None), ("", None), ("nan", None)],
)
def test_retry_after_is_read_as_seconds(given: str, seconds: float | None) -> None:
    assert answer_to(Reply(429, headers={"retry-after": given})).wait == seconds


def test_retry_after_may_be_a_date() -> None:
    wait = answer_to(Reply(503, headers={"retry-after": formatdate(time.time() + 60, usegmt=True)})).wait
    assert wait is not None
    assert 50 < wait <= 60


def test_refused_connection_means_not_delivered() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answer = send(Endpoint(f"http://127.0.0.1:{port}/x", {}))
    assert (answer.kind, answer.taken) == (Kind.LATER, False)
    assert "refused" in answer.reason.lower()
    assert "object at" not in answer.reason


def test_response_timeout_leaves_delivery_unknown() -> None:
    answer = answer_to(Reply(after=1.0), seconds=0.1)
    assert (answer.kind, answer.taken) == (Kind.LATER, None)
    assert "timed out" in answer.reason


def test_truncated_response_counts_by_its_status() -> None:
    assert answer_to(Reply(200, b"\x0a", cut=True)).kind is Kind.DELIVERED
    assert answer_to(Reply(503, b"bus", cut=True)).kind is Kind.LATER


def test_backend_error_text_is_shortened_cleaned_and_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "canary-5521")
    reason = answer_to(Reply(400, b"line\nof \x1b[31mcanary-5521 " + b"x" * 5000)).reason
    assert reason.startswith("HTTP 400: line of [31m*** xxx")
    assert len(reason) < 500
    status = b"\x08\x03\x12\x07too old"  # a google.rpc.Status
    assert answer_to(Reply(400, status, {"content-type": "application/x-protobuf"})).reason.endswith("too old")


def taken(*_: object) -> tuple[int, dict[str, str], str]:
    return 200, {"Content-Type": "application/x-protobuf"}, ""


def test_body_is_sent_as_it_is_without_compression() -> None:
    with server(taken) as asked:
        for compressed in (True, False):
            answer = send(Endpoint(f"{asked.uri}/v1/logs", {}, compressed))
            assert answer.kind is Kind.DELIVERED
    assert gzip.decompress(asked.bodies[0]) == asked.bodies[1] == log_request("hello")


def test_connection_is_kept_and_replaced_after_the_backend_hung_up() -> None:
    asked: list[tuple[str, int]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.path, self.client_address[1]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()
            self.close_connection = len(asked) == 2  # without a word of it

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{listening.server_port}/ä b%20c?x=1 2"
        with closing(HttpBackend("logs", Endpoint(url, {}))) as backend:
            kinds = [backend.send(log_request("hello")).kind for _ in range(2)]
            time.sleep(0.1)
            kinds.append(backend.send(log_request("hello")).kind)
        listening.shutdown()
    assert kinds == [Kind.DELIVERED] * 3
    assert {path for path, _ in asked} == {"/%C3%A4%20b%20c?x=1%202"}
    first, second, third = (port for _, port in asked)
    assert first == second != third


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "x" * 64 + ".invalid"])
def test_unknown_host_name_means_not_delivered(host: str) -> None:
    answer = send(Endpoint(f"http://{host}/v1/logs", {}))
    assert (answer.kind, answer.taken) == (Kind.LATER, False)
    assert answer.reason


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000])
def test_answer_that_is_no_http_leaves_delivery_unknown(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer_once() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(said)

        threading.Thread(target=answer_once, daemon=True).start()
        answer = send(Endpoint(f"http://127.0.0.1:{listening.getsockname()[1]}/", {}))
    assert (answer.kind, answer.taken) == (Kind.LATER, None)
    assert answer.reason


def test_private_authority_is_trusted_and_a_client_shows_its_certificate(tmp_path: Path) -> None:
    ours, theirs = certificate(tmp_path, "client"), certificate(tmp_path)
    with server(taken, tls(theirs, clients=ours)) as asked:
        url = f"{asked.uri}/v1/logs"
        known = Endpoint(url, {}, certificate=str(theirs), client_certificate=str(ours), client_key=str(ours))
        assert send(known).kind is Kind.DELIVERED
    with server(taken, tls(theirs)) as asked:
        answer = send(Endpoint(f"{asked.uri}/v1/logs", {}))
    assert (answer.kind, answer.taken) == (Kind.WRONG, False)
    assert "give its authority in OTEL_EXPORTER_OTLP_CERTIFICATE" in answer.reason
    assert asked.paths == []
