"""Serving: rate, errors and duration of requests. Nothing serves yet: the panels say so."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import board as boards
from grafana.panels import LATER, RED, lines, number, query

_EMPTY = LATER + "no model is served yet"


def board() -> Dashboard:
    """Answers: does the server answer, and how fast?"""
    requests = "sum by (version) (rate(serving_requests_total[$__rate_interval]))"
    errors = 'sum(rate(serving_requests_total{code=~"5.."}[$__rate_interval]))'
    slow = "histogram_quantile(0.99, sum by (le) (rate(serving_request_seconds_bucket[$__rate_interval])))"
    return boards.board(
        "glassformer-serving", "Glassformer / Serving", "Does the server answer, and how fast?", [],
        {
            "Is it all right?": [
                number("Requests a second", "Of all versions.", "reqps", "sum(rate(serving_requests_total[5m]))",
                       empty=_EMPTY, width=8),
                number("Errors", "Share of the requests that the server failed.", "percentunit",
                       'sum(rate(serving_requests_total{code=~"5.."}[5m])) / sum(rate(serving_requests_total[5m]))',
                       empty=_EMPTY, width=8, steps=[(0.01, RED)]),
                number("Slowest 1 %", "99th percentile of the time of a request.", "s",
                       slow.replace("$__rate_interval", "5m"), empty=_EMPTY, width=8),
            ],
            "Requests": [
                lines("Requests", "By model version.", "reqps", [query(requests, "{{version}}")], width=8, empty=_EMPTY),
                lines("Errors", "Requests that the server failed.", "reqps", [query(errors, "errors")], width=8, empty=_EMPTY),
                lines("Duration", "99th percentile.", "s", [query(slow, "99 %")], width=8, empty=_EMPTY),
                lines("Batch size", "Requests that were answered together.", "short", [
                    query("rate(serving_batch_size_sum[$__rate_interval]) / rate(serving_batch_size_count[$__rate_interval])",
                          "mean"),
                ], empty=_EMPTY),
            ],
        },
    )  # fmt: skip
