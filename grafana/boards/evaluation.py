"""Evaluation and registry: is the model better than what is simpler, and than the one before?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import board as boards
from grafana.panels import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    bars,
    lines,
    log_lines,
    newest,
    number,
    pushed_metric,
    query,
    rows,
    words,
)

_OF = 'glassformer_pipeline=~"$pipeline", glassformer_run=~"$run"'
_MODEL = 'model=~"$model"'
_EXPORTER = "No model version, or the exporter does not answer"


def board() -> Dashboard:
    """Answers: which model is the champion, and why?"""
    decision = words({0: ("refused", ORANGE), 1: ("promoted", BLUE), 2: ("undecided", GREY), 3: ("overridden", RED)})
    return boards.board(
        "glassformer-evaluation", "Glassformer / Evaluation and registry", "Which model is the champion, and why?",
        [boards.pipeline(), boards.run(several=True), boards.label("model", "model", "glassformer_model_versions")],
        {
            "The champion": [
                number("Champion", "Version that has the alias `champion`.", "none",
                       f'max(glassformer_alias_version{{{_MODEL}, alias="champion"}})', empty="No champion"),
                number("Its score", "Primary metric of the champion, from its report.", "none",
                       f'max(glassformer_alias_score{{{_MODEL}, alias="champion"}})', empty="No champion", decimals=3),
                number("Since", "When the champion was last seen to change.", "dateTimeFromNow",
                       f'1000 * max(glassformer_alias_changed_timestamp_seconds{{{_MODEL}, alias="champion"}})',
                       empty="No champion"),
                number("Versions", "Model versions in the registry.", "short",
                       f"sum(glassformer_model_versions{{{_MODEL}}})", empty=_EXPORTER),
                number("Last decision", "What the gate said of the last candidate.", "none",
                       f"min({newest('gate_decision')})", mappings=decision),
                number("Score of the last run", "Primary metric of the last evaluation.", "none",
                       f"max({newest('report_score_ratio', _OF)})", decimals=3),
            ],
            "Is it better?": [
                bars("Beside what is simpler", "The last evaluated model and its baselines on the same rows, primary metric.",
                     "none", f"max by (baseline) ({newest('report_baseline_score_ratio', _OF)}) or "
                     f'label_replace(max({newest("report_score_ratio", _OF)}), "baseline", "this model", "", "")', "baseline"),
                rows("Versions", "Scores of the newest versions, each beside the best of its baselines.", {
                    "score": query(f"max by (model, version) (glassformer_model_version_score{{{_MODEL}}})", instant=True),
                    "best baseline": query(
                        f"max by (model, version) (glassformer_model_version_baseline_score{{{_MODEL}}})", instant=True),
                }, ["model", "version"], units={"score": "none", "best baseline": "none"}, width=12,
                     empty=_EXPORTER),
                lines("Scores of runs", "Primary metric of each evaluation.", "none", [
                    query(f"max by (glassformer_run) ({pushed_metric('report_score_ratio', _OF)})", "{{glassformer_run}}"),
                ], points=True),
                lines("Alias history", "Which version had which alias, and when.", "none",
                      [query(f"glassformer_alias_version{{{_MODEL}}}", "{{model}} {{alias}}")], empty=_EXPORTER),
            ],
            "Decisions of the gate": [
                rows("Decision of each run", "What the gate said of a run's candidate; a click on a run opens it.", {
                    "decision": query(
                        f"max by (glassformer_run, model) (last_over_time(gate_decision{{{_MODEL}}}[$__range]))", instant=True),
                }, ["glassformer_run", "model"], units={}, mappings={"decision": decision}, height=7, width=8)
                .override_by_name("run", [boards.link("Open the run", "glassformer-run", run="${__value.raw}")]),
                log_lines("Decisions", "Each candidate, whether it was promoted, and why.",
                          '{service_name="glassformer", glassformer_step=~"register|promote"} '
                          '| event=~"model.promoted|model.registered|model.rolled_back|alias.reconciled"', height=7, width=16),
            ],
        },
    )  # fmt: skip
