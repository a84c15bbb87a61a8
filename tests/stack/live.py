"""Live backends for tests: started with our own configuration on free ports, asked by their own APIs."""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from deploy.native.programs import PROGRAMS, StackError
from deploy.native.services import Ports
from deploy.native.stack import Service, Stack


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


BACKENDS = ("loki", "prometheus", "tempo")  # where telemetry goes
# Histograms come every five seconds, and a rate needs two: a fast machine is through with 120 updates in two and a half.
LONG_ENOUGH = ("--set", "pretrain.max_updates=800")


def program(name: str) -> Path:
    """A backend's program, built first if it has to be. Without Go the test is skipped, never in CI."""
    try:
        return PROGRAMS[name].path(print)
    except StackError as error:
        _skip_without_go(error)
        raise


def _skip_without_go(error: StackError) -> None:
    if "neither is go" in str(error) and not os.environ.get("CI"):
        pytest.skip(str(error))


class Live:
    """A stack of its own under a temporary home: the backends, or the services that are named."""

    def __init__(
        self, home: Path, only: Collection[str] = BACKENDS, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.home, self.only = home, only
        self.ports = Ports(*free_ports(len(fields(Ports))))
        self.stack = Stack(home, print, environment)
        self.services: dict[str, Service] = {}

    def up(self) -> None:
        try:
            self.services = {service.name: service for service in self.stack.up(self.ports, self.only)}
        except StackError as error:
            _skip_without_go(error)
            raise

    def down(self) -> None:
        self.stack.down()

    @property
    def environment(self) -> dict[str, str]:
        lines = self.stack.environment_file.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")

    def logs(self, query: str, start_ns: int, end_ns: int) -> list[tuple[int, str, dict[str, str]]]:
        """Loki's lines for a query: time, line, labels and structured metadata together; oldest first."""
        found = self._get(
            "loki", "/loki/api/v1/query_range", query=query, start=start_ns, end=end_ns, limit=5000, direction="forward"
        )
        return sorted(
            (int(value[0]), value[1], stream["stream"]) for stream in found["result"] for value in stream["values"]
        )

    def samples(self, query: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Prometheus's answer to an instant query."""
        found = self._get("prometheus", "/api/v1/query", query=query, time=time.time() if at is None else at)
        return [(entry["metric"], float(entry["value"][1])) for entry in found["result"]]

    @property
    def has_tempo(self) -> bool:
        return "tempo" in self.services

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """Tempo's spans of a trace, each with its resource's attributes under `resource`; none where it knows none."""
        url = f"{self.services['tempo'].address}/api/v2/traces/{trace_id}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                found = json.load(answer)["trace"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return []
        return [
            span | {"resource": _attributes(part["resource"]), "attributes": _attributes(span)}
            for part in found.get("resourceSpans", [])
            for scope in part["scopeSpans"]
            for span in scope["spans"]
        ]

    def traces(self, query: str, start: float, end: float) -> list[dict[str, Any]]:
        """Tempo's answer to a TraceQL search."""
        parameters = urllib.parse.urlencode({"q": query, "start": int(start), "end": int(end) + 1, "limit": 100})
        with urllib.request.urlopen(f"{self.services['tempo'].address}/api/search?{parameters}", timeout=30) as answer:
            return list(json.load(answer)["traces"])

    def _get(self, service: str, path: str, **parameters: Any) -> Any:
        url = f"{self.services[service].address}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]


def _attributes(of: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in of.get("attributes", [])}


def eventually(ask: Any, wanted: Any, seconds: float = 20.0) -> Any:
    """Ask until the answer is `wanted` (a value, or a function that says whether it is); the answer."""
    end = time.monotonic() + seconds
    while True:
        found = ask()
        if wanted(found) if callable(wanted) else found == wanted:
            return found
        assert time.monotonic() < end, f"still {str(found)[:2000]}"
        time.sleep(0.3)
