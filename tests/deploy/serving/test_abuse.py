"""Requests that are made to cost much or to confuse: refused before anything is built of them, and never with a 5xx."""

import contextlib
import json
import socket
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.serving import invocations, request_parsing
from deploy.serving.errors import RefusedError
from deploy.serving.limits import Limits
from tests.deploy.serving.heavy import BODIES, INVOKE
from tests.deploy.serving.stub import Shelf, connected, served
from tests.deploy.serving.test_hostile import answered, used
from tests.waiting import until

MOST = 48 << 20  # bytes that refusing a megabyte may take: what was refused before took up to 1.8 GB


def refused(name):
    """The refusal of a body."""
    path, kind, body = BODIES[name]
    assert len(body) <= Limits().body
    with pytest.raises(RefusedError) as error:
        invocations.parse(body, kind, "text", Limits()) if path == INVOKE else request_parsing.of_form(
            request_parsing.Question, body, Limits()
        )
    return error.value


@pytest.mark.parametrize("name", BODIES)
def test_heavy_bodies_are_refused_with_bounded_memory(name):
    tracemalloc.start()
    try:
        error = refused(name)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert error.code in (400, 413, 422)
    assert len(error.message) < 500


@pytest.mark.slow
@pytest.mark.parametrize("name", BODIES)
def test_heavy_bodies_are_refused_within_a_tenth_of_a_cpu_second(name):
    costs = []
    for _ in range(3):
        began = time.thread_time()
        refused(name)
        costs.append(time.thread_time() - began)
    assert min(costs) < 0.1


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    shelf.add(1)
    shelf.named["champion"] = "1"
    with served(shelf, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.mark.slow
def test_heavy_bodies_do_not_delay_health_checks_or_grow_memory(bare):
    """Every heavy body, ten times: the median health check beside it is prompt, and memory is as before."""
    for path, kind, body in BODIES.values():
        bare.post(path, body, content_type=kind)
    before, waits = used(), []
    for _ in range(10):
        for path, kind, body in BODIES.values():
            with connected(bare) as one:
                head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
                one.sendall(head.encode() + body)
                began = time.monotonic()
                assert bare.get("/healthz").status == 200
                waits.append(time.monotonic() - began)
                one.recv(100)
    assert sorted(waits)[len(waits) // 2] < 0.1
    assert used()[0] - before[0] < 32 << 20


ENDLESS = {
    "a header": b"GET /models HTTP/1.1\r\nHost: localhost\r\nX: ",
    "a header's name": b"GET /models HTTP/1.1\r\nHost: localhost\r\n",
    "an address": b"GET /",
    "a query": b"GET /models?",
    "a method": b"",
    "a trailer": b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ",
    "a chunk's extension": b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    "a second request's header": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ",
}


@pytest.mark.parametrize("begun", ENDLESS.values(), ids=ENDLESS)
def test_endless_requests_are_cut_off_and_others_are_served(bare, begun):
    with connected(bare) as one:
        one.settimeout(10)
        sent = 0
        with contextlib.suppress(ConnectionError):  # closed while we send
            one.sendall(begun)
            while sent < 64 << 20:
                one.sendall(b"a" * 65536)
                sent += 65536
        assert sent < 64 << 20
    assert bare.asks() == (200, "1")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 127 + b"\r\n", 200),
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 128 + b"\r\n", 431),
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 5000 + b"\r\n", 431),
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 200),
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /models?" + b"a" * 8_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET /models?" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"\r\n" * 50_000, 431),
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\nBad Header\r\n\r\n", 400),
    ],
    ids=range(10),
)
def test_headers_are_bounded_in_size_and_number(bare, sent, code):
    with connected(bare) as one:
        one.sendall(sent)
        one.shutdown(socket.SHUT_WR)
        data, _ = answered(one)
    assert data.startswith(b"HTTP/1.1 %d " % code), data[:200]
    if code != 200:
        assert set(json.loads(data.partition(b"\r\n\r\n")[2])) == {"error_code", "message"}
    if code in (414, 431):
        until(lambda: bare.metric("glassformer_serving_headers_refused_total") > 0)


HOSTS = [
    "localhost:80@evil.com", "evil@localhost", "[::1]evil.com", "[::1]:80evil", "127.0.0.1:x@evil.com", "127.0.0.1:x", "localhost:",
    "localhost:123456", "[localhost", "[::1", "localhost evil", " ", "", "localhost,evil", "localhost/evil", "localhost#", "localhost\t",
    "localhost:80:80", "localhost\\evil", "127.0.0.1%00", "xn--\u00e9", "0x7f.1", "[::ffff:127.0.0.1]x",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_malformed_host_header_is_refused(bare, host):
    with connected(bare) as one:
        one.sendall(b"GET /models HTTP/1.1\r\nHost: " + host.encode() + b"\r\nConnection: close\r\n\r\n")
        data, _ = answered(one)
    assert data.split()[1] == b"400"


@pytest.mark.parametrize(
    "headers",
    [
        ["Host: localhost", "Host: evil.example"],
        ["Host: evil.example", "Host: localhost"],
        ["Host: localhost", "host: localhost"],
        ["Host: localhost", "Origin: https://evil.example", "Origin: http://localhost"],
        ["Host: localhost", "Authorization: Bearer a", "Authorization: Bearer b"],
        ["Host: localhost", "Content-Type: text/csv", "Content-Type: application/json"],
        [],
    ],
)
def test_duplicate_headers_and_a_missing_host_are_refused(bare, headers):
    with connected(bare) as one:
        one.sendall(
            "\r\n".join(
                ["POST /v1/classify HTTP/1.1", *headers, "Connection: close", "Content-Length: 0", "", ""]
            ).encode()
        )
        data, _ = answered(one)
    assert data.startswith(b"HTTP/1.1 400 "), data


@pytest.mark.parametrize(
    "origin", ["file://127.0.0.1", "ftp://127.0.0.1", "://127.0.0.1", "127.0.0.1", "http://127.0.0.1@evil.example"]
)
def test_origins_that_only_resemble_a_local_page_are_forbidden(bare, origin):
    assert bare.post("/v1/classify", {"inputs": "a"}, host="127.0.0.1", origin=origin).status == 403


SCALARS = [
    "1e999", "-1e999", "1e-999", "NaN", "Infinity", "9" * 4000, "1" + "0" * 99, "1" + "0" * 400, "0." + "1" * 5000,
    '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\ud83d\\ude00"', "null", "true", '""', "[]", "{}", "-0", '{"\\ud800":"\\ud800"}',
    "[[[[[]]]]]", "1.5", "1e400", '"\ufffe"', '{"a":1,"a":2}', "12345678901234567890123",
]  # fmt: skip
VALUES = st.sampled_from(SCALARS)
NAMES = st.sampled_from(['"inputs"', '"options"', '"params"', '"instances"', '"dataframe_split"', '"dataframe_records"', '"columns"',
                         '"data"', '"text"', '"\\ud800"', '"\\u0000"', '"stream"', '"loud"', '""'])  # fmt: skip
DOCUMENTS = st.recursive(
    VALUES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]"),
        st.lists(st.tuples(NAMES, inner), max_size=4).map(
            lambda parts: "{" + ",".join(f"{a}:{b}" for a, b in parts) + "}"
        ),
    ),
    max_leaves=8,
)
REQUESTS = st.one_of(
    DOCUMENTS,
    st.lists(st.tuples(NAMES, DOCUMENTS), min_size=1, max_size=3).map(
        lambda parts: "{" + ",".join(f"{a}:{b}" for a, b in parts) + "}"
    ),
    VALUES.map(lambda value: f'{{"inputs":["a"],"options":{{"loud":{value}}}}}'),
    VALUES.map(lambda value: f'{{"inputs":["a"],"options":{{"x":{value}}}}}'),
    VALUES.map(lambda value: f'{{"inputs":{{"text":[{value}]}}}}'),
    VALUES.map(lambda value: f'{{"dataframe_split":{{"columns":[{value},"text"],"data":[[{value},{value}]]}}}}'),
)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(REQUESTS, st.sampled_from(["/v1/classify", "/invocations", "/v1/attention"]))
def test_unusual_json_never_causes_a_server_error(bare, body, path):
    answer = bare.post(path, body.encode("utf-8", "surrogatepass"))
    assert answer.status < 500, (body, answer.data)
    if answer.status != 200:
        assert set(answer.json()) == {"error_code", "message"}


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(
        st.binary(max_size=60), st.text('",\n\r ab\ufeff', max_size=30).map(lambda text: ("text" + text).encode())
    )
)
def test_unusual_csv_never_causes_a_server_error(bare, body):
    assert bare.post("/invocations", body, content_type="text/csv").status < 500


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", '"iso-8859-1"'])
def test_csv_in_a_non_utf8_charset_is_refused(bare, charset):
    assert bare.post("/invocations", b"text\nhello\n", content_type=f"text/csv; charset={charset}").status == 415


ROWS = st.lists(st.text(st.characters(blacklist_categories=["Cs"]), max_size=90), min_size=1, max_size=12)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(ROWS, st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", "v1"]), st.integers(0, 3))
def test_each_row_gets_its_own_answer_in_every_request_format(bare, texts, form, place):
    """The stub's probability tells the length of the text that was asked."""
    columns = [f"c{i}" for i in range(3)]
    columns.insert(place, "text")
    rows = [dict.fromkeys(columns, "xx") | {"text": text} for text in texts]
    body = {
        "dataframe_split": {
            "dataframe_split": {"columns": columns, "data": [list(row.values()) for row in rows], "index": [7, 7]}
        },
        "dataframe_records": {"dataframe_records": rows},
        "instances": {"instances": rows},
        "inputs": {"inputs": {name: [row[name] for row in rows] for name in columns}},
        "v1": {"inputs": texts},
    }[form]
    answer = bare.post("/v1/classify" if form == "v1" else "/invocations", body).json()
    found = answer["answers" if form == "v1" else "predictions"]
    assert [one["probability"] for one in found] == [pytest.approx(0.5 + 0.001 * (len(text) % 100)) for text in texts]
