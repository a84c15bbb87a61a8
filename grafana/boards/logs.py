"""Logs: search by pipeline, run, step, level, event and words."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import board as boards
from grafana.panels import log_counts, log_lines

LEVELS = ("INFO", "WARNING", "ERROR")
_QUERY = (
    '{service_namespace="glassformer", glassformer_pipeline=~"$pipeline", glassformer_step=~"$step"} |~ "(?i)$words" '
    '| glassformer_run=~"$run" | severity_text=~"$level" | event=~"$event"'  # words first: what they drop costs no more
)


def board() -> Dashboard:
    """The dashboard of logs."""
    from telemetry.names import EVENTS

    return boards.board(
        "glassformer-logs", "Glassformer / Logs", "What was said, by whom, and when?",
        [
            boards.pipeline(), boards.run(several=True), boards.label("step", "glassformer_step", "glassformer_step_progress"),
            boards.choice("level", LEVELS), boards.choice("event", sorted(EVENTS)), boards.words("words", "Words"),
        ],
        {
            "Lines": [
                log_counts("Lines by level", "How many lines there were.",
                           f"sum by (severity_text) (count_over_time({_QUERY} [$__auto]))", "{{severity_text}}", width=12),
                log_counts("Lines by event", "What they were about.",
                           f"sum by (event) (count_over_time({_QUERY} [$__auto]))", "{{event}}", width=12),
                log_lines("Lines", "Newest first; a trace id opens the trace.", _QUERY, height=16),
            ],
        },
    )  # fmt: skip
