"""Ask the backends what a panel asks: variables filled in as Grafana fills them, each query by the backend's own API."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_STEPS = 240  # points of a curve


class QueryError(Exception):
    """A backend refused a query; the message names the query and the reason."""


def step_of(start: float, end: float) -> int:
    """Seconds between two points of a curve."""
    return max(15, int((end - start) / _STEPS))


@dataclass(frozen=True)
class Series:
    """One answer: its labels, and times (s) with values; of a log query, values are lines."""

    labels: Mapping[str, str]
    points: list[tuple[float, Any]]


@dataclass(frozen=True)
class Event:
    """One event of an annotation query."""

    name: str  # of the query
    colour: str
    at: float  # seconds since 1970
    text: str


@dataclass
class Backends:
    """Addresses of the backends, and the time range to look at (seconds since 1970)."""

    addresses: Mapping[str, str]  # prometheus, loki, tempo
    start: float
    end: float
    variables: dict[str, str] = field(default_factory=dict)

    def ask(self, panel: Mapping[str, Any], target: Mapping[str, Any]) -> list[Series]:
        """The result of one query of a panel. QueryError if the backend refuses it."""
        source = str((target.get("datasource") or panel.get("datasource") or {}).get("type", "prometheus"))
        if source not in self.addresses:
            raise QueryError(f"there is no {source} to ask")
        expr = self.fill(str(target.get("expr") or target.get("query") or ""))
        if source == "tempo":
            return self._tempo(expr)
        return (
            self._loki(expr, int(target.get("maxLines") or 1000))
            if source == "loki"
            else self._prometheus(expr, instant=bool(target.get("instant")))
        )

    def events(self, board: Mapping[str, Any]) -> list[Event]:
        """The events of a board's annotation queries, oldest first; of a series that stays, its first moment."""
        found = []
        for asked in board["annotations"]["list"]:
            for one in self.ask(asked, asked["target"]):
                ends = [0.0, *(at for at, _ in one.points)]
                for before, (at, value) in zip(ends, one.points, strict=False):
                    if asked["datasource"]["type"] == "loki" or at - before > 2 * step_of(self.start, self.end):
                        text = value if isinstance(value, str) else " ".join(one.labels.values())
                        found.append(Event(asked["name"], asked["iconColor"], at, text))
        return sorted(found, key=lambda event: event.at)

    def fill(self, expr: str) -> str:
        """A query with its variables filled in."""
        seconds = max(1, int(self.end - self.start))
        step = step_of(self.start, self.end)
        known = {
            "__range": f"{seconds}s",
            "__interval": f"{step}s",
            "__interval_ms": str(1000 * step),
            "__auto": f"{step}s",
            "__rate_interval": f"{4 * step}s",
            **self.variables,
        }
        pattern = r"\$(\w+)|\$\{(\w+)(?::\w+)?\}"  # a format stands within braces alone: `$__range:1m` is a range
        return re.sub(pattern, lambda found: known.get(found[1] or found[2], found[0]), expr)

    def fill_variables(self, board: Mapping[str, Any]) -> None:
        """Choose what the board's variables offer: all where it may be all, else the newest run."""
        for variable in board.get("templating", {}).get("list", []):
            if variable["type"] == "datasource":
                continue
            name = variable["name"]
            if name in self.variables:
                continue
            if variable.get("includeAll"):
                self.variables[name] = str(variable.get("allValue") or ".*")
            elif variable["type"] == "query":
                self.variables[name] = self._newest(str(variable["query"]))
            elif variable["type"] == "custom":
                self.variables[name] = str(variable["current"]["value"])
            else:
                self.variables[name] = ""

    def repeats(self, board: Mapping[str, Any], panel: Mapping[str, Any]) -> list[Backends]:
        """For a panel that is repeated by a variable: backends with each of the values chosen that it offers; else these."""
        name = panel.get("repeat")
        if not name:
            return [self]
        asked = next(one["query"] for one in board["templating"]["list"] if one["name"] == name)
        metric, label = _label_values(str(asked))
        expr = f"count by ({label}) (last_over_time({self.fill(metric)}[{int(self.end - self.start)}s]))"
        values = sorted(one.labels[label] for one in self._prometheus(expr, instant=True) if label in one.labels)
        return [replace(self, variables=self.variables | {name: value}) for value in values]

    def _newest(self, asked: str) -> str:
        """The label value of the series that was written last."""
        metric, label = _label_values(asked)
        expr = f"max by ({label}) (last_over_time(timestamp({self.fill(metric)})[{int(self.end - self.start)}s:15s]))"
        series = self._prometheus(expr, instant=True)
        return str(max(series, key=lambda one: one.points[-1][1]).labels.get(label, "")) if series else ""

    def _prometheus(self, expr: str, *, instant: bool) -> list[Series]:
        if instant:
            found = self.get("prometheus", "/api/v1/query", query=expr, time=self.end)["data"]
        else:
            step = step_of(self.start, self.end)
            asked = {"start": self.end - (self.end - self.start) // step * step, "end": self.end}  # a point at the end
            found = self.get("prometheus", "/api/v1/query_range", query=expr, step=step, **asked)["data"]
        if found["resultType"] == "scalar":
            return [Series({}, [(found["result"][0], float(found["result"][1]))])]
        return [
            Series(one["metric"], [(at, float(value)) for at, value in one.get("values") or [one["value"]]])
            for one in found["result"]
        ]

    def _loki(self, expr: str, most: int) -> list[Series]:
        found = self.get(
            "loki", "/loki/api/v1/query_range", query=expr, start=int(self.start * 1e9), end=int(self.end * 1e9),
            step=step_of(self.start, self.end), limit=most, direction="backward",
        )["data"]  # fmt: skip
        if found["resultType"] == "streams":
            return [
                Series(one["stream"], [(int(at) / 1e9, line) for at, line, *_ in one["values"]])
                for one in found["result"]
            ]
        return [Series(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in found["result"]]

    def _tempo(self, expr: str) -> list[Series]:
        if re.fullmatch("[0-9a-f]{32}", expr):  # as Grafana's data source has it: the trace itself
            found = self.get("tempo", f"/api/v2/traces/{expr}", start=int(self.start), end=int(self.end) + 1)
            return spans_of(found.get("trace") or {})
        found = self.get("tempo", "/api/search", q=expr, start=int(self.start), end=int(self.end) + 1, limit=20)
        return [
            Series(
                {
                    "trace": one["traceID"].zfill(32),
                    "name": one.get("rootTraceName", ""),
                    "service": one.get("rootServiceName", ""),
                },
                [(int(one["startTimeUnixNano"]) / 1e9, one.get("durationMs", 0) / 1e3)],
            )
            for one in found.get("traces", [])
        ]

    def get(self, source: str, path: str, **parameters: Any) -> Any:
        """The answer of a backend's API. QueryError with its own words where it refuses."""
        url = f"{self.addresses[source]}{path}?{urllib.parse.urlencode(parameters)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise QueryError(f"{source}: {error.read(500).decode(errors='replace').strip()}") from None
        except OSError as error:
            raise QueryError(f"{source} at {self.addresses[source]} does not answer: {error}") from None


def spans_of(trace: Mapping[str, Any]) -> list[Series]:
    """The spans of a trace as Tempo gives it, in OTLP's JSON: name, id and parent's id, and of each its start and seconds."""
    return [
        Series(
            {"name": span["name"], "id": span["spanId"], "parent": span.get("parentSpanId", "")},
            [
                (
                    int(span["startTimeUnixNano"]) / 1e9,
                    (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9,
                )
            ],
        )
        for resource in trace.get("resourceSpans", [])
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def _label_values(asked: str) -> tuple[str, str]:
    """Metric and label of a variable's query."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", asked)
    if not found:
        raise QueryError(f"not a label_values query: {asked}")
    return found[1], found[2]


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels of a board (as JSON), rows left out, those within rows included."""
    found = []
    for panel in board["panels"]:
        inside = panel.get("panels") or []
        found += [*inside] if panel["type"] == "row" else [panel]
    return found


def last(hours: float) -> tuple[float, float]:
    """The time range of the last hours."""
    return time.time() - hours * 3600, time.time()
