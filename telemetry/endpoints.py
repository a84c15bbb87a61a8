"""The backends that records are sent to, and how: the standard OTEL_EXPORTER_OTLP_* variables.

Each is looked for by its signal first (OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, ..._TRACES_..., ..._METRICS_...), then for all of them
(OTEL_EXPORTER_OTLP_ENDPOINT), as the OpenTelemetry specification has it ("OTLP exporter", "Configuration options"). A signal
without an endpoint stays in the outbox.

    ENDPOINT             of a signal as it is, path included; of all, with /v1/logs, /v1/traces and /v1/metrics behind it. For
                         gRPC an address without a path, http://collector:4317 or collector:4317
    HEADERS              name=value between commas, values percent-encoded: a tenant, basic or bearer authorization
    PROTOCOL             http/protobuf (our default) or grpc
    INSECURE             true: gRPC without TLS to an address that begins with neither http:// nor https://
    COMPRESSION          gzip (our default) or none
    TIMEOUT              milliseconds to wait for an answer; our default is two minutes, so that a slow backend is not sent records twice
    CERTIFICATE          file with the authorities to trust in place of the system's
    CLIENT_CERTIFICATE, CLIENT_KEY    files by which the backend knows us

`make stack` writes the endpoints of its backends into `stack.env` next to the outbox; the environment takes precedence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from redaction import redact
from telemetry.segments import SIGNALS, Signal

DISABLED = "OTEL_SDK_DISABLED"
IS_DISABLED = f"{DISABLED}=true: no log records, spans or metrics are kept for backends; log files are written"
HTTP, GRPC = "http/protobuf", "grpc"
_PREFIX = "OTEL_EXPORTER_OTLP_"
_HEADER_NAME = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")  # a token of RFC 9110, section 5.6.2
_METADATA = re.compile(r"(?!.*-bin=)[a-z0-9_.-]+=[ -~]*")  # of gRPC, as text
_GRPC_PORT = 4317


class EndpointError(Exception):
    """A variable that cannot be used; the message names it and never shows a credential."""


@dataclass(frozen=True)
class Endpoint:
    """An address, and how requests go there. Its printed form shows no credential."""

    url: str = field(repr=False)  # for gRPC its scheme, host and port
    headers: Mapping[str, str] = field(repr=False)
    compressed: bool = True
    # To wait for an answer: giving up on a request that the backend has taken would send it twice.
    seconds: float = 120.0
    certificate: str = ""  # of the authorities to trust; empty: the system's
    client_certificate: str = ""
    client_key: str = ""
    protocol: str = HTTP

    @property
    def display_url(self) -> str:
        """The address without credentials."""
        return f"{redact(self.url)}{' (gRPC)' if self.protocol == GRPC else ''}"


def variable_of(signal: Signal | None = None, part: str = "ENDPOINT") -> str:
    """`OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`; of all signals `OTEL_EXPORTER_OTLP_ENDPOINT`."""
    return f"{_PREFIX}{signal.upper()}_{part}" if signal else f"{_PREFIX}{part}"


def is_disabled() -> bool:
    """Whether OTEL_SDK_DISABLED asks to record nothing but log files."""
    return os.environ.get(DISABLED, "").strip().lower() == "true"


def endpoints_of(outbox: Path) -> dict[Signal, Endpoint]:
    """The endpoint of each signal that has one, from the environment, else from the stack of this home."""
    return endpoints(environment_of(outbox))


def environment_of(outbox: Path) -> dict[str, str]:
    """The environment, with defaults that `make stack` wrote for the home of this outbox."""
    stack = _of_stack(outbox.parent / "stack.env")
    if os.environ.get(variable_of(), "").strip():
        stack = {name: value for name, value in stack.items() if not name.startswith(_PREFIX)}
    return stack | os.environ


def endpoints(environment: Mapping[str, str]) -> dict[Signal, Endpoint]:
    """The endpoint of each signal that has one. EndpointError for a value that cannot be used."""
    addressed = [signal for signal in SIGNALS if _setting(signal, "ENDPOINT", environment)[1]]
    return {signal: _endpoint(signal, environment) for signal in addressed}


def _http_url(signal: Signal, variable: str, url: str) -> str:
    _check(url, variable, "http://127.0.0.1:3100/otlp/v1/logs")
    if variable == variable_of(signal):
        return url
    parts = urlsplit(url)
    return parts._replace(path=f"{parts.path.rstrip('/')}/v1/{signal}").geturl()


def _grpc_url(variable: str, address: str, *, insecure: bool) -> str:
    url = address if "://" in address else f"{'http' if insecure else 'https'}://{address}"
    _check(url, variable, f"http://127.0.0.1:{_GRPC_PORT}")
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    if parts.path.strip("/") or parts.query:
        alone = f"{parts.scheme}://{host}:{_GRPC_PORT}"
        raise EndpointError(f"{variable}={redact(address)}: gRPC takes no path; give host and port alone, as {alone}")
    return f"{parts.scheme}://{host}:{parts.port or _GRPC_PORT}"


def _endpoint(signal: Signal, environment: Mapping[str, str]) -> Endpoint:
    def read(part: str) -> tuple[str, str]:
        return _setting(signal, part, environment)

    def choose(part: str, *values: str) -> str:
        """One of these values; the first, if there is none."""
        variable, value = read(part)
        if value and value.lower() not in values:
            raise EndpointError(f"{variable}={redact(value)}: give {' or '.join(values)}, or leave it out")
        return value.lower() or values[0]

    protocol = choose("PROTOCOL", HTTP, GRPC)
    if protocol == GRPC:
        _check_grpc(read("PROTOCOL")[0])
        url = _grpc_url(*read("ENDPOINT"), insecure=choose("INSECURE", "false", "true") == "true")
    else:
        url = _http_url(signal, *read("ENDPOINT"))
    return Endpoint(
        url,
        _headers(*read("HEADERS"), protocol),
        compressed=choose("COMPRESSION", "gzip", "none") == "gzip",
        seconds=_seconds(*read("TIMEOUT")),
        certificate=_file(*read("CERTIFICATE")),
        client_certificate=_file(*read("CLIENT_CERTIFICATE")),
        client_key=_file(*read("CLIENT_KEY")),
        protocol=protocol,
    )


def _setting(signal: Signal, part: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """The variable that counts, and its value: the signal's own, else that of all signals; an empty one is none."""
    own, general = variable_of(signal, part), variable_of(None, part)
    if value := environment.get(own, "").strip():
        return own, value
    return general, environment.get(general, "").strip()


def _seconds(variable: str, text: str) -> float:
    if not text:
        return Endpoint.seconds
    if not text.isdecimal() or int(text) == 0:
        raise EndpointError(f"{variable}={redact(text)}: give milliseconds, as 10000")
    return int(text) / 1000


def _file(variable: str, path: str) -> str:
    if path and not os.access(path, os.R_OK):
        raise EndpointError(f"{variable}={path}: no file that can be read")
    return path


def _of_stack(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: value for name, equals, value in (line.partition("=") for line in lines) if equals and name[0] != "#"}


def _check_grpc(variable: str) -> None:
    if find_spec("grpc") is None or find_spec("google.rpc") is None:
        raise EndpointError(
            f"{variable}={GRPC}: grpcio is not installed; `make setup` or `pip install 'glassformer[grpc]'` brings it, or give {HTTP}"
        )


def _check(url: str, variable: str, example: str) -> None:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise EndpointError(f"{variable}={redact(url)}: not an address; give one like {example}")


def _headers(variable: str, text: str, protocol: str) -> dict[str, str]:
    headers = {}
    for number, pair in enumerate((part for part in text.split(",") if part.strip()), 1):
        name, equals, value = pair.partition("=")
        value = unquote(value.strip())
        if not equals or not _HEADER_NAME.match(name.strip()) or any(ord(c) < 32 or ord(c) > 255 for c in value):
            raise EndpointError(
                f"{variable}: pair {number} is not name=value; separate pairs by commas, encode a comma as %2C"
            )
        name = name.strip().lower()
        if protocol == GRPC and not _METADATA.fullmatch(f"{name}={value}"):
            raise EndpointError(
                f"{variable}: pair {number} cannot go by gRPC; its names are of letters, digits, _ . and -, its values of ASCII"
            )
        headers[name] = value
    return headers
