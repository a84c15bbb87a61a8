from pathlib import Path

import pytest

from telemetry.endpoints import EndpointError, endpoints, endpoints_of

LOGS = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"


def test_no_endpoint_is_set_by_default() -> None:
    assert endpoints({}) == {}
    assert endpoints({LOGS: "  "}) == {}


def test_each_signal_has_its_own_address_and_headers() -> None:
    found = endpoints(
        {
            LOGS: "http://127.0.0.1:3100/otlp/v1/logs",
            "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "X-Scope-OrgID=team%2Cone, authorization=Basic%20dTpw",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://prometheus:9090/api/v1/otlp/v1/metrics",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer abc",
        }
    )
    assert set(found) == {"logs", "metrics"}
    assert found["logs"].url == "http://127.0.0.1:3100/otlp/v1/logs"
    assert found["logs"].headers == {"x-scope-orgid": "team,one", "authorization": "Basic dTpw"}
    assert found["metrics"].headers == {"authorization": "Bearer abc"}


@pytest.mark.parametrize(
    "url", ["127.0.0.1:3100", "ftp://host/x", "http://", "http://host:port/", "http://host:0/", "http://["]
)
def test_invalid_address_error_names_its_variable(url: str) -> None:
    with pytest.raises(EndpointError, match=f"{LOGS}=.*not an address; give one like http://"):
        endpoints({LOGS: url})


@pytest.mark.parametrize(
    "headers", ["secret-value-1", "=secret-value-1", "a b=secret-value-1", "a=secret-value-1%0d%0ax: y"]
)
def test_a_bad_header_is_named_without_its_value(headers: str) -> None:
    with pytest.raises(EndpointError, match="OTEL_EXPORTER_OTLP_LOGS_HEADERS: pair 1") as error:
        endpoints({LOGS: "http://host/", "OTEL_EXPORTER_OTLP_LOGS_HEADERS": headers})
    assert "secret-value-1" not in str(error.value)


def test_credentials_are_never_shown() -> None:
    endpoint = endpoints({LOGS: "http://user:hunter22@host/x", "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "k=hunter33"})["logs"]
    assert "hunter" not in repr(endpoint) + endpoint.display_url
    assert endpoint.display_url == "http://***@host/x"


def test_stack_endpoints_are_used_and_the_environment_overrides_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LOGS, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://mine/")
    assert set(endpoints_of(tmp_path / "outbox")) == {"metrics"}
    (tmp_path / "stack.env").write_text(
        f"# a comment = none\n{LOGS}=http://127.0.0.1:3100/otlp/v1/logs\nOTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://theirs/\n\n"
    )
    found = endpoints_of(tmp_path / "outbox")
    assert {signal: endpoint.url for signal, endpoint in found.items()} == {
        "logs": "http://127.0.0.1:3100/otlp/v1/logs",
        "metrics": "http://mine/",
    }
