"""Each answer of a backend over gRPC is read for what it means, against a real gRPC server."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from telemetry import delivery, delivery_state, otlp_grpc, records
from telemetry.delivery import Delivery
from telemetry.endpoints import Endpoint, endpoints
from telemetry.otlp_client import Answer, Kind
from telemetry.otlp_grpc import GrpcBackend
from telemetry.otlp_http import HttpBackend
from telemetry.outbox import Outbox
from telemetry.segments import SIGNALS
from telemetry.shipper import backend_of
from tests.telemetry.grpc_receiver import GrpcReceiver, Reply, Wire
from tests.telemetry.outbox_records import open_observe
from tests.telemetry.receiver import Receiver, body_of, log_request
from tests.telemetry.test_observe import ROOT
from tests.tracking_server import certificate
from tests.waiting import until


def endpoint(port: int, **options: Any) -> Endpoint:
    return Endpoint(f"http://127.0.0.1:{port}", options.pop("headers", {}), protocol="grpc", **options)


def send(to: Endpoint, payload: bytes = b"") -> Answer:
    backend = GrpcBackend("logs", to)
    try:
        return backend.send(payload or log_request("hello"))
    finally:
        backend.close()


def answer_to(reply: Reply, **options: Any) -> Answer:
    with GrpcReceiver(lambda signal, request: reply) as receiver:
        return send(endpoint(receiver.port, **options))


@pytest.fixture
def free_port() -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield int(free.getsockname()[1])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("CANCELLED", Kind.LATER), ("UNKNOWN", Kind.FAILED), ("INVALID_ARGUMENT", Kind.REFUSED),
        ("DEADLINE_EXCEEDED", Kind.LATER), ("NOT_FOUND", Kind.WRONG), ("ALREADY_EXISTS", Kind.REFUSED),
        ("PERMISSION_DENIED", Kind.WRONG), ("UNAUTHENTICATED", Kind.WRONG), ("RESOURCE_EXHAUSTED", Kind.TOO_LARGE),
        ("FAILED_PRECONDITION", Kind.REFUSED), ("ABORTED", Kind.LATER), ("OUT_OF_RANGE", Kind.LATER),
        ("UNIMPLEMENTED", Kind.WRONG), ("INTERNAL", Kind.FAILED), ("UNAVAILABLE", Kind.LATER), ("DATA_LOSS", Kind.LATER),
    ],
)  # fmt: skip
def test_grpc_code_determines_the_kind_of_answer(code: str, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "canary-5521")
    answer = answer_to(Reply(code, "why\nof canary-5521"))
    assert (answer.kind, answer.status) == (kind, grpc.StatusCode[code].value[0])
    assert answer.reason == f"gRPC {code}: why of ***"
    assert answer.taken is (None if code in ("CANCELLED", "DEADLINE_EXCEEDED") else False)
    assert answer.wait is None


def test_success_and_partial_success_are_parsed() -> None:
    assert answer_to(Reply()) == Answer(Kind.DELIVERED, taken=True)
    response = records.response_class("logs")()
    response.partial_success.rejected_log_records = 3
    response.partial_success.error_message = "too old"
    answer = answer_to(Reply(body=response.SerializeToString()))
    assert (answer.kind, answer.rejected, answer.reason) == (Kind.DELIVERED, 3, "too old")
    answer = answer_to(Reply(body=b"\xff\xff\xff"))
    assert (answer.kind, answer.taken) == (Kind.WRONG, False)
    assert answer.reason == "gRPC OK, but no OTLP answer: another program?"


@pytest.mark.parametrize(
    ("code", "given", "kind", "wait"),
    [
        ("UNAVAILABLE", 7.5, Kind.LATER, 7.5),
        ("RESOURCE_EXHAUSTED", 2.0, Kind.LATER, 2.0),
        ("RESOURCE_EXHAUSTED", 0.0, Kind.LATER, None),
        ("UNAVAILABLE", 1e6, Kind.LATER, 300.0),
        ("INVALID_ARGUMENT", 1.0, Kind.REFUSED, 1.0),
    ],
)
def test_retry_info_says_when_to_come_back(code: str, given: float, kind: Kind, wait: float | None) -> None:
    answer = answer_to(Reply(code, "busy", retry_after=given))
    assert (answer.kind, answer.wait, answer.reason) == (kind, wait, f"gRPC {code}: busy")


def test_each_signal_goes_to_its_service_with_headers_as_metadata() -> None:
    with GrpcReceiver() as receiver:
        found = endpoints({**receiver.environment, "OTEL_EXPORTER_OTLP_HEADERS": "X-Scope-OrgID=team%2Cone"})
        for signal in SIGNALS:
            backend = backend_of(signal, found[signal])
            payload = log_request("hello") if signal == "logs" else b""
            assert backend.send(payload).kind is Kind.DELIVERED
            assert backend.send(payload).kind is Kind.DELIVERED, "over the same connection"
            backend.close()
        assert receiver.taken == {"logs": [log_request("hello")] * 2, "traces": [b""] * 2, "metrics": [b""] * 2}
        assert all(metadata["x-scope-orgid"] == "team,one" for metadata in receiver.metadata)
        assert all(metadata["user-agent"].startswith("glassformer ") for metadata in receiver.metadata)


def test_backend_is_chosen_by_protocol() -> None:
    assert isinstance(backend_of("logs", Endpoint("http://host/", {})), HttpBackend)


@pytest.mark.parametrize(("compressed", "most"), [(True, 5_000), (False, 200_000)])
def test_request_is_compressed_unless_asked_not_to(compressed: bool, most: int) -> None:
    payload = log_request("x" * 100_000)
    with GrpcReceiver() as receiver:
        wire = Wire(receiver.port)
        assert send(endpoint(wire.port, compressed=compressed), payload).kind is Kind.DELIVERED
        wire.cut()
        assert receiver.taken["logs"] == [payload]
    assert most / 25 < wire.sent < most


def test_refused_connection_means_not_delivered(free_port: int) -> None:
    backend = GrpcBackend("logs", endpoint(free_port))
    for _ in range(2):
        answer = backend.send(log_request("hello"))
        assert (answer.kind, answer.taken) == (Kind.LATER, False)
        assert "Connection refused" in answer.reason
    backend.close()


@pytest.mark.parametrize("seconds", [0.4, 120.0])
def test_backend_that_does_not_even_greet_means_not_delivered(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_grpc, "CONNECT_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # the system connects, and nobody speaks HTTP/2
        answer = send(endpoint(int(listening.getsockname()[1]), seconds=seconds))
    assert (answer.kind, answer.taken) == (Kind.LATER, False)
    assert answer.reason.startswith("gRPC UNAVAILABLE: failed to connect")


def test_response_timeout_leaves_delivery_unknown() -> None:
    answer = answer_to(Reply(after=0.5), seconds=0.1)
    assert (answer.kind, answer.taken) == (Kind.LATER, None)
    assert answer.reason.startswith("gRPC DEADLINE_EXCEEDED")


def test_broken_connection_leaves_delivery_unknown_and_is_made_again() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def answers(*_: object) -> Reply:
        asked.set()
        go_on.wait(10)
        return Reply()

    with GrpcReceiver(answers) as receiver:
        wire = Wire(receiver.port)
        backend, found = GrpcBackend("logs", endpoint(wire.port)), list[Answer]()
        sending = threading.Thread(target=lambda: found.append(backend.send(log_request("hello"))))
        sending.start()
        asked.wait(10)
        wire.cut()
        sending.join(10)
        go_on.set()
        assert [(answer.kind, answer.taken) for answer in found] == [(Kind.LATER, None)]
        assert backend.send(log_request("hello")).taken is False, "nobody listens there now"
        backend.close()


def test_port_of_http_is_named_as_a_mistake() -> None:
    with Receiver() as receiver:
        answer = send(endpoint(int(receiver.address.rpartition(":")[2])))
    assert (answer.kind, answer.taken) == (Kind.WRONG, False)
    assert answer.reason.endswith("give the backend's gRPC port (4317)")


def test_private_authority_is_trusted_and_a_client_shows_its_certificate(tmp_path: Path) -> None:
    ours, theirs = certificate(tmp_path, "client"), certificate(tmp_path)
    key, chain = parts(theirs)
    credentials = grpc.ssl_server_credentials([(key, chain)], ours.read_bytes(), require_client_auth=True)
    with GrpcReceiver(credentials=credentials) as receiver:
        url = f"https://127.0.0.1:{receiver.port}"
        known = Endpoint(
            url, {}, certificate=str(theirs), client_certificate=str(ours), client_key=str(ours), protocol="grpc"
        )
        assert send(known).kind is Kind.DELIVERED
        stranger = Endpoint(url, {}, certificate=str(theirs), protocol="grpc")
        assert (send(stranger).kind, len(receiver.taken["logs"])) == (Kind.LATER, 1)
        answer = send(Endpoint(url, {}, protocol="grpc"))
        assert (answer.kind, answer.taken) == (Kind.WRONG, False)
        assert "CERTIFICATE_VERIFY_FAILED" in answer.reason
        assert answer.reason.endswith("give its authority, as PEM, in OTEL_EXPORTER_OTLP_CERTIFICATE")
        no_pem = tmp_path / "no.pem"
        no_pem.write_text("no certificate")
        answer = send(Endpoint(url, {}, certificate=str(no_pem), protocol="grpc"))
        assert (answer.kind, answer.reason[-41:]) == (Kind.WRONG, "as PEM, in OTEL_EXPORTER_OTLP_CERTIFICATE")


def parts(file: Path) -> tuple[bytes, bytes]:
    """Key and certificate of a file that holds both."""
    key, begin, chain = file.read_bytes().partition(b"-----BEGIN CERTIFICATE-----")
    return key, begin + chain


def test_delivery_over_grpc_sets_refused_records_aside_and_retries_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_PAUSES", (0.01,))
    busy = [Reply("UNAVAILABLE", "busy", retry_after=0.25), Reply("UNAVAILABLE", "starting"), Reply("ABORTED")]
    messages = [f"record {number}" for number in range(20)]

    def answers(_: object, request: Any) -> Reply:
        found = {r.body.string_value for part in request.resource_logs for s in part.scope_logs for r in s.log_records}
        return busy.pop(0) if busy else Reply("INVALID_ARGUMENT", "bad") if "record 7" in found else Reply()

    outbox = Outbox(tmp_path)
    for message in messages:
        outbox.append("logs", log_request(message))
    outbox.close()
    progress = delivery_state.Progress()
    with GrpcReceiver(answers) as receiver:
        backend = GrpcBackend("logs", endpoint(receiver.port))
        one = Delivery(tmp_path, "logs", backend, progress, print, threading.Event())
        assert [one.deliver() for _ in range(5)] == [0.25, 0.01, 0.01, 0.0, None]
        backend.close()
        arrived = [body_of(unit) for payload in receiver.taken["logs"] for unit in records.units("logs", payload)]
    assert arrived == [message for message in messages if message != "record 7"]
    assert (progress.delivered, progress.set_aside, progress.perhaps_twice) == (19, 1, 0)
    assert '"reason": "gRPC INVALID_ARGUMENT: bad"' in (tmp_path / "dead-letter" / "logs.jsonl").read_text()


def test_replay_over_grpc_delivers_all_signals_once_and_prints_nothing_of_grpc(tmp_path: Path, free_port: int) -> None:
    observe = open_observe(tmp_path)
    with observe.span("step"):
        observe.log("step.started", "hello")
        observe.metric("training.loss", 2.5)
    observe.close()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "GRPC_"))}
    command = [sys.executable, "-m", "telemetry", "replay", "--wait", "0.5", "--outbox", str(tmp_path / "outbox")]

    def replay(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=60, check=False
        )

    with GrpcReceiver() as receiver:
        away = replay(receiver.environment | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port}"})
        assert (away.returncode, receiver.metadata) == (75, [])
        assert all("Connection refused" in line for line in away.stderr.splitlines())
        assert len(away.stderr.splitlines()) == len(SIGNALS)
        done = replay(receiver.environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert {signal: len(taken) for signal, taken in receiver.taken.items()} == dict.fromkeys(SIGNALS, 1)
        until(lambda: replay(receiver.environment).stdout == "0 records delivered\n")
