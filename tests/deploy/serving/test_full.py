"""A full queue: what comes is told so at once, by the connection itself, and everything else goes on as ever."""

import json
import threading
import time

import pytest

from tests.deploy.serving.stub import connected, served
from tests.waiting import until

KEY = "a-key-of-enough-characters"
BODY = b'{"inputs": "a"}'


def question(path=b"/v1/classify", host=b"localhost", more=b""):
    return b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n%b\r\n" % (path, host, len(BODY), more)


def told(read):
    """Status, headers and body of the next answer on a connection that is read as a file."""
    status = int(read.readline().split()[1])
    headers = dict(line.decode().strip().lower().split(": ", 1) for line in iter(read.readline, b"\r\n"))
    return status, headers, read.read(int(headers["content-length"]))


@pytest.fixture
def full(shelf, tmp_path):
    """Makes a server whose champion works on one question while another waits, which is all that may."""
    opened, asking, ending = [], [], tmp_path / "they may be answered"

    def make(**changes):
        opened.append(served(shelf, tmp_path, queue=1, **changes))
        server = opened[0].__enter__()
        headers = {"authorization": f"Bearer {changes['key']}"} if changes.get("key") else {}
        for waiting in (0, 1):
            asking.append(threading.Thread(target=lambda: server.asks(f"until {ending}", **headers)))
            asking[-1].start()
            until(lambda waiting=waiting: server.metric("glassformer_serving_in_flight") == waiting + 1)
            until(lambda waiting=waiting: server.metric('glassformer_serving_queue_requests{version="1"}') == waiting)
        return server

    yield make
    ending.touch()
    for one in asking:
        one.join()
    opened[0].__exit__(None, None, None)


def test_full_queue_returns_429_before_the_body_and_keeps_the_connection(full):
    server, spans = full(), []
    server.observe.request = spans.append
    with connected(server) as one:
        for path in (b"/v1/classify", b"/invocations?a=b", b"/v1/classify"):
            one.sendall(question(path))
            status, headers, body = told(one.makefile("rb"))
            assert (status, json.loads(body)["error_code"]) == (429, "RESOURCE_EXHAUSTED")
            assert int(headers["retry-after"]) >= 1
            assert headers["x-content-type-options"] == "nosniff", "as every answer has it"
            one.sendall(BODY)
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert told(one.makefile("rb"))[0] == 200, "what is no question is answered"
    assert server.metric('glassformer_serving_rejected_total{reason="queue"}') == 3
    assert server.metric('glassformer_serving_requests_total{code="429",endpoint="v1/classify",version="1"}') == 2
    assert not [one for one in spans if one.attributes["http.response.status_code"] == 429], "counted, not traced"


def test_pipelined_requests_are_answered_in_order(full):
    server = full()
    with connected(server) as one:
        health = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        one.sendall(question() + BODY + health + question() + BODY + question() + BODY)
        read = one.makefile("rb")
        found = [told(read)[0] for _ in range(4)]
    assert found == [429, 200, 429, 429]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (question(host=b"evil.example"), 400),
        (question(more=b"Origin: https://evil.example\r\n"), 403),
        (question(), 401),
        (question(b"/v1/nothing", more=b"X-API-Key: " + KEY.encode() + b"\r\n"), 404),
        (question(more=b"X-API-Key: " + KEY.encode() + b"\r\n"), 429),
        (question(more=b"Origin: http://localhost\r\nX-API-Key: " + KEY.encode() + b"\r\n", host=b"localhost"), 429),
        (question(more=b"Connection: close\r\nX-API-Key: " + KEY.encode() + b"\r\n"), 429),
    ],
)
def test_access_and_path_errors_take_precedence_over_a_full_queue(full, asked, status):
    server = full(key=KEY)
    with connected(server) as one:
        one.sendall(asked + BODY)
        assert told(one.makefile("rb"))[0] == status


def test_canary_answers_its_share_while_the_champion_queue_is_full(full, shelf):
    server = full(canary_percent=50.0)
    shelf.add(2)
    shelf.named["challenger"] = "2"
    until(lambda: len(server.models()["versions"]) == 2)
    found = {server.asks(x_canary_key=f"client {number}") for number in range(20)}
    assert found == {(200, "2"), (429, "")}


def test_idle_connection_is_closed_after_an_early_refusal(full):
    server = full(keep_alive=1.0)
    for asked in (question(), question(host=b"evil.example")):
        with connected(server) as one:
            one.sendall(asked)
            assert told(one.makefile("rb"))[0] in (429, 400)
            one.sendall(BODY)
            began = time.monotonic()
            assert one.recv(1) == b""
            assert 0.5 < time.monotonic() - began < 5


def test_http_1_0_client_gets_429_and_its_connection_is_closed(full):
    with connected(full()) as one:
        one.sendall(question(more=b"Connection: keep-alive\r\n").replace(b"HTTP/1.1", b"HTTP/1.0") + BODY)
        read = one.makefile("rb")
        assert told(read)[0] == 429
        assert read.read() == b""
