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


GENERAL = "OTEL_EXPORTER_OTLP_"


def test_general_endpoint_serves_all_signals_below_its_path() -> None:
    found = endpoints({f"{GENERAL}ENDPOINT": "https://collector:4318/otlp/", f"{GENERAL}HEADERS": "a=1"})
    assert {signal: endpoint.url for signal, endpoint in found.items()} == {
        signal: f"https://collector:4318/otlp/v1/{signal}" for signal in ("logs", "traces", "metrics")
    }
    assert endpoints({f"{GENERAL}ENDPOINT": "http://host"})["logs"].url == "http://host/v1/logs"
    both = endpoints({f"{GENERAL}ENDPOINT": "http://all", LOGS: "http://loki/otlp/v1/logs"})
    assert (both["logs"].url, both["traces"].url) == ("http://loki/otlp/v1/logs", "http://all/v1/traces")
    with pytest.raises(EndpointError, match="OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318: not an address"):
        endpoints({f"{GENERAL}ENDPOINT": "collector:4318"})


def test_options_of_a_signal_come_before_those_of_all(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    found = endpoints(
        {
            f"{GENERAL}ENDPOINT": "http://host",
            f"{GENERAL}COMPRESSION": "none",
            f"{GENERAL}LOGS_COMPRESSION": "gzip",
            f"{GENERAL}TIMEOUT": "1500",
            f"{GENERAL}TRACES_TIMEOUT": " ",
            f"{GENERAL}METRICS_TIMEOUT": "10000",
            f"{GENERAL}CERTIFICATE": str(authority),
            f"{GENERAL}PROTOCOL": "http/protobuf",
        }
    )
    assert {signal: endpoint.compressed for signal, endpoint in found.items()} == {
        "logs": True,
        "traces": False,
        "metrics": False,
    }
    assert {signal: endpoint.seconds for signal, endpoint in found.items()} == {
        "logs": 1.5,
        "traces": 1.5,
        "metrics": 10.0,
    }
    assert found["logs"].certificate == str(authority)
    assert endpoints({LOGS: "http://host/"})["logs"].seconds == 120.0


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json: give http/protobuf or grpc, or leave it out"),
        ("LOGS_PROTOCOL", "grpcs", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=grpcs: give http/protobuf or grpc"),
        ("LOGS_COMPRESSION", "zstd", "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION=zstd: give gzip or none"),
        ("TIMEOUT", "10s", "OTEL_EXPORTER_OTLP_TIMEOUT=10s: give milliseconds, as 10000"),
        ("TIMEOUT", "0", "give milliseconds"),
        ("CERTIFICATE", "/no/such.pem", "OTEL_EXPORTER_OTLP_CERTIFICATE=/no/such.pem: no file that can be read"),
        ("LOGS_CLIENT_KEY", "/no/such.key", "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY=/no/such.key: no file"),
    ],
)
def test_options_that_cannot_be_used_are_named_with_a_remedy(part: str, value: str, told: str) -> None:
    with pytest.raises(EndpointError, match=told):
        endpoints({LOGS: "http://host/", f"{GENERAL}{part}": value})
    assert endpoints({f"{GENERAL}{part}": value}) == {}, "nothing is sent"


@pytest.mark.parametrize(
    ("address", "insecure", "url"),
    [
        ("http://collector:4317", "", "http://collector:4317"),
        ("http://collector/", "", "http://collector:4317"),
        ("https://otlp.example.org:443", "true", "https://otlp.example.org:443"),
        ("http://collector:55680", "false", "http://collector:55680"),
        ("collector:4317", "true", "http://collector:4317"),
        ("collector", "True", "http://collector:4317"),
        ("collector:4317", "", "https://collector:4317"),
        ("http://[::1]:4317", "", "http://[::1]:4317"),
        ("http://user:secret@collector", "", "http://collector:4317"),
    ],
)
def test_address_for_grpc_is_scheme_host_and_port(address: str, insecure: str, url: str) -> None:
    found = endpoints({f"{GENERAL}ENDPOINT": address, f"{GENERAL}PROTOCOL": "grpc", f"{GENERAL}INSECURE": insecure})
    assert {endpoint.url for endpoint in found.values()} == {url}
    assert {endpoint.display_url for endpoint in found.values()} == {f"{url} (gRPC)"}


def test_protocol_may_differ_by_signal() -> None:
    found = endpoints(
        {
            f"{GENERAL}ENDPOINT": "http://collector:4318",
            f"{GENERAL}TRACES_ENDPOINT": "tempo",
            f"{GENERAL}TRACES_PROTOCOL": "grpc",
            f"{GENERAL}TRACES_INSECURE": "true",
        }
    )
    assert {signal: (endpoint.protocol, endpoint.url) for signal, endpoint in found.items()} == {
        "logs": ("http/protobuf", "http://collector:4318/v1/logs"),
        "traces": ("grpc", "http://tempo:4317"),
        "metrics": ("http/protobuf", "http://collector:4318/v1/metrics"),
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"LOGS_ENDPOINT": "http://loki:3100/otlp/v1/logs"},
            "gRPC takes no path; give host and port alone, as http://loki:4317",
        ),
        (
            {"LOGS_ENDPOINT": "ftp://loki"},
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=ftp://loki: not an address; give one like http://127.0.0.1:4317",
        ),
        ({"LOGS_ENDPOINT": "loki:port"}, "not an address"),
        ({"INSECURE": "yes"}, "OTEL_EXPORTER_OTLP_INSECURE=yes: give false or true"),
        ({"HEADERS": "good=1,b!d=secret-value-1"}, "OTEL_EXPORTER_OTLP_HEADERS: pair 2 cannot go by gRPC"),
        ({"HEADERS": "name=secret-value-1%C3%A9"}, "pair 1 cannot go by gRPC"),
        ({"HEADERS": "trace-bin=secret-value-1"}, "pair 1 cannot go by gRPC"),
    ],
)
def test_settings_that_grpc_cannot_use_are_named_with_a_remedy(given: dict[str, str], told: str) -> None:
    environment = {"ENDPOINT": "http://collector", "PROTOCOL": "grpc"} | given
    with pytest.raises(EndpointError, match=told) as error:
        endpoints({f"{GENERAL}{part}": value for part, value in environment.items()})
    assert "secret-value-1" not in str(error.value)


def test_missing_grpcio_is_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry.endpoints.find_spec", lambda name: None)
    with pytest.raises(
        EndpointError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL=grpc: grpcio is not installed; .*glassformer\[grpc\]"
    ):
        endpoints({LOGS: "http://host", f"{GENERAL}PROTOCOL": "grpc"})
    assert endpoints({LOGS: "http://host"})["logs"].protocol == "http/protobuf"


def test_general_endpoint_of_the_environment_overrides_all_of_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for signal in ("LOGS", "TRACES", "METRICS"):
        monkeypatch.delenv(f"{GENERAL}{signal}_ENDPOINT", raising=False)
    (tmp_path / "stack.env").write_text(f"{LOGS}=http://127.0.0.1:3100/otlp/v1/logs\nMLFLOW_TRACKING_URI=http://x\n")
    monkeypatch.setenv(f"{GENERAL}ENDPOINT", "http://mine")
    assert {endpoint.url for endpoint in endpoints_of(tmp_path / "outbox").values()} == {
        f"http://mine/v1/{signal}" for signal in ("logs", "traces", "metrics")
    }
