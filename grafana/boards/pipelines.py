"""Pipelines: what ran, what failed, what the cache saved, and whether telemetry arrives."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.builders.prometheus import Dataquery

from grafana import board as boards
from grafana.panels import (
    ORANGE,
    RED,
    STATE_WORDS,
    lines,
    log_lines,
    number,
    pushed_metric,
    query,
    rows,
    run_states,
    states,
)
from telemetry.names import STATES

_OF = 'glassformer_pipeline=~"$pipeline"'
_HITS = f"sum(last_over_time(glassformer_pipeline_cache_hits_total{{{_OF}}}[$__range]))"
_MISSES = f"sum(last_over_time(glassformer_pipeline_cache_misses_total{{{_OF}}}[$__range]))"


def _count_of(state: str) -> str:
    return f"count(({run_states(_OF)}) == {STATES[state]})"


def _of_run(metric: str, how: str = "sum") -> Dataquery:
    """A run's last values, taken together."""
    by = f"{how} by (glassformer_pipeline, glassformer_run)"
    return query(f"{by} (last_over_time({metric}{{{_OF}}}[$__range]))", instant=True)


def board() -> Dashboard:
    """Answers: is it all right?"""
    return boards.board(
        "glassformer-pipelines", "Glassformer / Pipelines", "Which pipelines ran, and is it all right?",
        [boards.pipeline()],
        {
            "Is it all right?": [
                number("Alerts that fire", "Whatever they tell of; the table below names them.", "short",
                       'count(ALERTS{alertstate="firing"}) or vector(0)', steps=[(1, RED)], width=3),
                number("Running now", "Runs that are at work, and were heard of in the last minute.", "short",
                       _count_of("running"), empty="Nothing runs", width=3),
                number("Runs", "Runs of pipelines, and of steps by hand, in this time range.", "short",
                       f"count({run_states(_OF)})", width=3),
                number("Failed", "Runs that ended with an error in this time range.", "short",
                       _count_of("failed"), empty="None failed", steps=[(1, RED)], width=3),
                number("From the cache", "Share of the nodes whose result was taken from the cache.", "percentunit",
                       f"({_HITS} or vector(0)) / (({_HITS} or vector(0)) + ({_MISSES} or vector(0)))", decimals=0),
                number("Saved", "What the nodes taken from the cache took when they ran.", "s",
                       f"sum(last_over_time(glassformer_pipeline_saved_seconds_total{{{_OF}}}[$__range]))",
                       empty="Nothing came from the cache"),
                number("Telemetry that waits", "Bytes in the outbox that no backend has taken yet.", "bytes",
                       "sum(last_over_time(glassformer_outbox_bytes[5m]))", empty="The exporter does not answer",
                       steps=[(64e6, ORANGE), (400e6, RED)]),
            ],
            "Runs": [
                boards.with_run_links(states(
                    "Nodes", "Where each node of each run was, and when.",
                    f"max by (glassformer_run, node) ({pushed_metric('glassformer_node_state', _OF)})",
                    "{{node}} {{glassformer_run}}", height=11,
                )),
                rows("Runs", "The runs of this time range with what they cost; a click on a run opens it.", {
                    "state": query(run_states(_OF), instant=True), "time": _of_run("glassformer_step_seconds"),
                    "CPU time": _of_run("glassformer_step_cpu_seconds"), "peak memory": _of_run("glassformer_step_peak_bytes", "max"),
                    "ran": _of_run("glassformer_pipeline_cache_misses_total"),
                    "from the cache": _of_run("glassformer_pipeline_cache_hits_total"),
                    "saved": _of_run("glassformer_pipeline_saved_seconds_total"),
                }, ["glassformer_pipeline", "glassformer_run"], mappings={"state": STATE_WORDS},
                     units={"time": "s", "CPU time": "s", "peak memory": "bytes", "saved": "s"})
                .override_by_name("run", [boards.link("Open the run", "glassformer-run", run="${__value.raw}")]),
                lines("Time of each step", "Wall time of the steps that ran, when they ended.", "s",
                      [query(f"max by (glassformer_step) ({pushed_metric('glassformer_step_seconds', _OF)})", "{{glassformer_step}}")],
                      points=True, width=24),
            ],
            "What went wrong": [
                rows("Alerts", "What fires now, and for how many runs, versions or machines; its runbook says what to look at.", {
                    "fires": query('count by (alertname, severity, glassformer_pipeline) (ALERTS{alertstate="firing"})',
                                   instant=True),
                }, ["alertname", "severity", "glassformer_pipeline"], units={"fires": "short"}, height=6,
                     empty="No alert fires"),
                log_lines("Warnings and errors", "What the pipelines and their steps warned of, newest first.",
                          '{service_namespace="glassformer", glassformer_pipeline=~"$pipeline"} | severity_text=~"WARNING|ERROR"',
                          empty="No warning and no error in this time range", height=7),
                lines("Undelivered telemetry", "Bytes that wait in the outbox, by signal.", "bytes",
                      [query("max by (signal) (glassformer_outbox_bytes)", "{{signal}}")],
                      empty="The exporter does not answer", steps=[(400e6, RED)]),
                lines("Refused or dropped telemetry", "Records that a backend refused for good, or that the outbox could not "
                      "hold.", "short", [
                          query("max by (signal) (glassformer_outbox_set_aside_records_total)", "refused {{signal}}"),
                          query("max(glassformer_outbox_dropped_records_total)", "dropped"),
                      ], empty="The exporter does not answer", steps=[(1, RED)]),
            ],
        },
    )  # fmt: skip
