"""Endpoints of the backends: the standard OTEL_EXPORTER_OTLP_* variables of each signal.

OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, ..._TRACES_ENDPOINT, ..._METRICS_ENDPOINT are used as they are, path included; a signal
without one stays in the outbox. ..._HEADERS holds `name=value` pairs between commas, values percent-encoded (a tenant,
basic or bearer authorization), as the OpenTelemetry specification has it ("OTLP exporter", "Specifying headers via
environment variables"). Requests are OTLP over HTTP as protobuf, compressed with gzip.

`make stack` writes the same variables into `stack.env` next to the outbox; the environment takes precedence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from redaction import redact
from telemetry.segments import SIGNALS, Signal

_HEADER_NAME = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")  # a token of RFC 9110, section 5.6.2


class EndpointError(Exception):
    """A variable that cannot be used; the message names it and never shows a credential."""


@dataclass(frozen=True)
class Endpoint:
    """An address with the headers of each request. Its printed form shows no credential."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def display_url(self) -> str:
        """The address without credentials."""
        return str(redact(self.url))


def variable_of(signal: Signal, part: str = "ENDPOINT") -> str:
    """`OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`."""
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_{part}"


def endpoints_of(outbox: Path) -> dict[Signal, Endpoint]:
    """The endpoint of each signal that has one, from the environment, else from the stack of this home."""
    return endpoints(environment_of(outbox))


def environment_of(outbox: Path) -> dict[str, str]:
    """The environment, with defaults that `make stack` wrote for the home of this outbox."""
    return _of_stack(outbox.parent / "stack.env") | os.environ


def endpoints(environment: Mapping[str, str]) -> dict[Signal, Endpoint]:
    """The endpoint of each signal that has one. EndpointError for a value that cannot be used."""
    found: dict[Signal, Endpoint] = {}
    for signal in SIGNALS:
        url = environment.get(variable_of(signal), "").strip()
        if url:
            _check(url, variable_of(signal))
            name = variable_of(signal, "HEADERS")
            headers = environment.get(name) or environment.get("OTEL_EXPORTER_OTLP_HEADERS", "")
            found[signal] = Endpoint(url, _headers(headers, name))
    return found


def _of_stack(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: value for name, equals, value in (line.partition("=") for line in lines) if equals and name[0] != "#"}


def _check(url: str, variable: str) -> None:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise EndpointError(
            f"{variable}={redact(url)}: not an address; give one like http://127.0.0.1:3100/otlp/v1/logs"
        )


def _headers(text: str, variable: str) -> dict[str, str]:
    headers = {}
    for number, pair in enumerate((part for part in text.split(",") if part.strip()), 1):
        name, equals, value = pair.partition("=")
        value = unquote(value.strip())
        if not equals or not _HEADER_NAME.match(name.strip()) or any(ord(c) < 32 or ord(c) > 255 for c in value):
            raise EndpointError(
                f"{variable}: pair {number} is not name=value; separate pairs by commas, encode a comma as %2C"
            )
        headers[name.strip().lower()] = value
    return headers
