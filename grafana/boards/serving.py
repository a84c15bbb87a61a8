"""Serving: rate, errors and duration of requests, what waits, which version answers, and whether questions drift."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import board as boards
from grafana.panels import BLUE, ORANGE, RED, heat, lines, log_lines, number, query, rows, traces, words

_EMPTY = "No server runs: `make serve`, or `make stack`"
_QUIET = "Nobody has asked yet"
_V = 'version=~"$version"'
_FAILED = 'code=~"5.."'


def board() -> Dashboard:
    """Answers: does the server answer, how fast, and which version?"""

    def rate(metric: str, selector: str) -> str:
        return f"rate({metric}{{{selector}}}[$__rate_interval])"

    def slower(share: float) -> str:
        buckets = rate("glassformer_serving_request_seconds_bucket", _V)
        return f"histogram_quantile({share}, sum by (version, le) ({buckets}))"

    ready = words({0: ("not ready", RED), 1: ("ready", BLUE)})
    return boards.board(
        "glassformer-serving", "Glassformer / Serving", "Does the server answer, how fast, and which version?",
        [boards.label("version", "version", "glassformer_serving_version")],
        {
            "Is it all right?": [
                number("Server", "Whether a version is loaded that can answer.", "none", "min(glassformer_serving_ready)", empty=_EMPTY,
                       mappings=ready, steps=[(0, RED), (1, BLUE)]),
                number("Version", "The version that answers.", "none",
                       'label_replace(glassformer_serving_version{role="champion"}, "v", "$1", "version", "(.*)")',
                       legend="{{version}}", name_alone=True, empty=_EMPTY),
                number("Requests a second", "Of all versions, over five minutes.", "reqps",
                       f"sum(rate(glassformer_serving_requests_total{{{_V}}}[5m]))", empty=_QUIET),
                number("Errors", "Share of the requests that the server failed.", "percentunit",
                       f"sum(rate(glassformer_serving_requests_total{{{_V}, {_FAILED}}}[5m])) "
                       f"/ sum(rate(glassformer_serving_requests_total{{{_V}}}[5m])) "
                       f"or 0 * sum(rate(glassformer_serving_requests_total{{{_V}}}[5m]))", empty=_QUIET, steps=[(0.01, RED)]),
                number("Slowest 1 %", "99th percentile of the time of a request.", "s",
                       f"histogram_quantile(0.99, sum by (le) (rate(glassformer_serving_request_seconds_bucket{{{_V}}}[5m])))",
                       empty=_QUIET, steps=[(1, ORANGE)]),
                number("Alias is behind", "How long the alias names a version that does not answer.", "s",
                       "max(glassformer_serving_alias_behind_seconds)", empty=_EMPTY, steps=[(120, RED)]),
            ],
            "Requests": [
                lines("Requests", "By version and code.", "reqps", [
                    query(f"sum by (version, code) ({rate('glassformer_serving_requests_total', _V)})", "version {{version}}: {{code}}"),
                ], empty=_QUIET),
                heat("Time of a request", "How many took how long; a dot leads to the trace of one.", "s",
                     f"sum by (le) ({rate('glassformer_serving_request_seconds_bucket', _V)})"),
                lines("Slow and usual", "99th percentile and median, by version.", "s", [
                    query(slower(0.99), "99 %, version {{version}}", exemplars=True),
                    query(slower(0.5), "median, version {{version}}"),
                ], empty=_QUIET),
                lines("Turned away", "Requests that were not taken, by reason.", "reqps", [
                    query("sum by (reason) (rate(glassformer_serving_rejected_total[$__rate_interval]))", "{{reason}}"),
                ], empty="Nobody was turned away"),
            ],
            "Batches": [
                lines("Batch size", "Questions that were answered together, on average.", "short", [
                    query(f"sum by (version) ({rate('glassformer_serving_batch_size_sum', _V)}) / "
                          f"sum by (version) ({rate('glassformer_serving_batch_size_count', _V)})", "version {{version}}"),
                ], width=8, empty=_QUIET),
                lines("Queue", "Questions that wait, and requests that are being answered.", "short", [
                    query(f"sum by (version) (glassformer_serving_queue_requests{{{_V}}})", "wait, version {{version}}"),
                    query("sum(glassformer_serving_in_flight)", "are answered"),
                ], width=8, empty=_EMPTY),
                lines("Wait and work", "Seconds that the oldest question of a batch waited, and that the batch took; medians.", "s", [
                    query(f"histogram_quantile(0.5, sum by (le) ({rate('glassformer_serving_queue_seconds_bucket', _V)}))", "waited"),
                    query(f"histogram_quantile(0.5, sum by (le) ({rate('glassformer_serving_batch_seconds_bucket', _V)}))", "worked"),
                ], width=8, empty=_QUIET),
            ],
            "Versions": [
                rows("Loaded", "Which version answers, which one is kept to go back to, and which one is tried.", {
                    "workers": query(f"max by (version, role) (glassformer_serving_version{{{_V}}}) * on (version) group_left () "
                                     "glassformer_serving_workers", instant=True),
                    "memory": query("max by (version, role) (glassformer_serving_version) * on (version) group_left () "
                                    f"glassformer_serving_worker_resident_bytes{{{_V}}}", instant=True),
                    "restarts": query("max by (version, role) (glassformer_serving_version) * on (version) group_left () "
                                      f"glassformer_serving_worker_restarts_total{{{_V}}}", instant=True),
                }, ["version", "role"], units={"memory": "bytes"}, width=12, empty=_EMPTY),
                lines("Who answers", "Requests by version: a switch is where one line takes over from another.", "reqps", [
                    query(f"sum by (version) ({rate('glassformer_serving_requests_total', _V)})", "version {{version}}"),
                ], empty=_QUIET),
            ],
            "Drift": [
                lines("Questions beside the data", "Population stability index: 0.1 is little, 0.25 is much.", "none", [
                    query(f"max by (version, of) (glassformer_serving_drift_psi{{{_V}}})", "{{of}}, version {{version}}"),
                ], empty="Fewer than 200 questions so far", steps=[(0.25, RED)]),
                lines("Unknown tokens", "Share of the tokens that the tokenizer does not know, beside that of its data.",
                      "percentunit", [
                          query(f"max by (version, of) (glassformer_serving_unknown_token_share{{{_V}}})", "{{of}}, version {{version}}"),
                      ], empty=_QUIET),
            ],
            "What happened": [
                log_lines("Events", "Switches, refused versions, workers that ended, and failures.",
                          '{service_namespace="glassformer", glassformer_step="serving"} | event=~"serving.*"', height=8,
                          empty=_EMPTY),
                traces("Slow requests", "Requests of over 100 ms; each is linked to the training of its version.",
                       '{ name = "request" && duration > 100ms }', empty="No request took over 100 ms"),
            ],
        },
    )  # fmt: skip
