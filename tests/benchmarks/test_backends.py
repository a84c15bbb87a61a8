"""The backends that are no backends: one refuses, one never answers; and a reader that reads."""

from contextlib import closing

import pytest
import urllib3

from benchmarks import backends
from telemetry.endpoints import endpoints
from telemetry.otlp_client import Kind
from telemetry.otlp_http import HttpBackend
from telemetry.segments import SIGNALS
from tests.telemetry.receiver import log_request


def posted(url):
    return urllib3.PoolManager().request(
        "POST", url, body=b"x" * 1000, timeout=urllib3.Timeout(connect=0.3, read=0.3), retries=False
    )


def test_a_refusing_backend_refuses_every_signal():
    with backends.refusing() as environment:
        targets = endpoints(environment)
        assert set(targets) == set(SIGNALS)
        for signal, endpoint in targets.items():
            with closing(HttpBackend(signal, endpoint)) as backend:
                answer = backend.send(b"")
            assert answer.kind is Kind.LATER
            assert "refused" in answer.reason


@pytest.mark.parametrize(
    ("signal", "error"),
    [
        ("logs", urllib3.exceptions.ReadTimeoutError),
        ("metrics", urllib3.exceptions.ReadTimeoutError),
        ("traces", urllib3.exceptions.ConnectTimeoutError),
    ],
)
def test_blackhole_backend_times_out_on_read_or_connect(signal, error):
    with backends.blackhole() as environment, pytest.raises(error):
        posted(endpoints(environment)[signal].url)


def test_reader_backend_accepts_only_decodable_requests():
    with backends.reader() as address:
        [endpoint] = endpoints({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{address}/otlp/v1/logs"}).values()
        with closing(HttpBackend("logs", endpoint)) as backend:
            assert backend.send(log_request("one")).kind is Kind.DELIVERED
            assert backend.send(b"").kind is Kind.REFUSED


def test_free_ports_are_different():
    assert len(set(backends.free_ports(10))) == 10
