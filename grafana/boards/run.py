"""Run: one run of a pipeline: its nodes on a time line, what they cost, their logs, the trace."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import board as boards
from grafana.panels import (
    DIRECTION,
    STATE_WORDS,
    log_lines,
    number,
    pushed_metric,
    query,
    rows,
    run_states,
    states,
    traces,
    waterfall,
    with_unit,
)

_OF = 'glassformer_run="$run"'
_LOGS = '{service_namespace="glassformer", glassformer_pipeline=~"$pipeline"} | glassformer_run="$run"'


def _last(metric: str) -> str:
    return f"last_over_time({metric}{{{_OF}}}[$__range])"


def board() -> Dashboard:
    """Answers: what did this run do, and what did it cost?"""
    cost = "sum by (glassformer_node) "
    return boards.board(
        "glassformer-run", "Glassformer / Run", "What did this run do, and what did it cost?",
        [boards.pipeline(), boards.run()],
        {
            "This run": [
                number("State", "How the run stands, or ended; no news: it reported nothing for a minute, as it was killed or "
                       "its telemetry waits. The next run there reports it as killed.", "none", run_states(_OF),
                       mappings=STATE_WORDS),
                number("Time in steps", "Wall time of the steps that ran.", "s", f"sum({_last('glassformer_step_seconds')})"),
                number("CPU time", "CPU time of the steps that ran.", "s", f"sum({_last('glassformer_step_cpu_seconds')})"),
                number("Peak memory", "Largest resident memory of a step.", "bytes", f"max({_last('glassformer_step_peak_bytes')})"),
                number("Saved by the cache", "What the nodes taken from the cache took when they ran.", "s",
                       f"sum({_last('glassformer_pipeline_saved_seconds_total')})", empty="Nothing came from the cache"),
                number("Score", "Primary metric of the evaluated model, its unit and direction.", "none",
                       with_unit(f"max by (metric, better, unit) ({_last('glassformer_report_score')})"), decimals=3,
                       legend=DIRECTION, empty="Not evaluated in this run"),
            ],
            "Steps": [
                states("Nodes", "Where each node was, and when.", f"max by (node) ({pushed_metric('glassformer_node_state', _OF)})",
                       "{{node}}"),
                rows("Cost", "What each node cost that ran.", {
                    "time": query(cost + f"({_last('glassformer_step_seconds')})", instant=True),
                    "CPU time": query(cost + f"({_last('glassformer_step_cpu_seconds')})", instant=True),
                    "peak memory": query(cost + f"({_last('glassformer_step_peak_bytes')})", instant=True),
                }, ["glassformer_node"], units={"time": "s", "CPU time": "s", "peak memory": "bytes"}, sort="time"),
                log_lines("Lineage", "What each step made, with its digest; the first line's details lead to the run in MLflow.",
                          f'{_LOGS} | event=~"run.opened|step.finished|node.cached|model.registered|model.promoted"',
                          height=8),
            ],
            "Trace and logs": [
                waterfall("Where the time went", "The run's spans: pipeline, nodes, steps and their phases, each at its time; of a run "
                          "that is live or was killed, those that have ended.", "$run",
                          empty="No trace has this run's id: it was started within another trace, or is not delivered yet"),
                traces("Trace", "The traces in which this run has spans: its own, or the one that it was started within.",
                       '{ resource.glassformer.run = "$run" }', height=5),
                traces("Spans that failed", "Spans of this run that ended with an error.",
                       '{ resource.glassformer.run = "$run" && status = error }', height=5,
                       empty="No span of this run failed"),
                log_lines("Logs", "All that the run and its steps said, newest first; a trace id opens the trace.", _LOGS),
            ],
        },
    )  # fmt: skip
