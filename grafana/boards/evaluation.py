"""Evaluation and registry: is the model better than what is simpler, and than the one before?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import board as boards
from grafana.panels import (
    BLUE,
    DIRECTION,
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
    with_unit,
    words,
)

_OF = 'glassformer_pipeline=~"$pipeline", glassformer_run=~"$run"'
_SCORED = f'{_OF}, metric=~"$metric"'
_MODEL = 'model=~"$model"'
_CHAMPION = f'{_MODEL}, alias="champion"'
_EXPORTER = "No model version, or the exporter does not answer"


def _beside_baselines() -> str:
    """The scores of the last evaluation by this metric: of the model, whose bar also names the direction, and of its baselines."""
    baselines = newest("glassformer_report_baseline_score", _SCORED, "glassformer_report_score")
    model = f"max by (better) ({newest('glassformer_report_score', _SCORED)})"
    return (
        f"max by (baseline) ({baselines}) or max by (baseline) "
        f'(label_replace({model}, "baseline", "this model ($1 is better)", "better", "(.*)"))'
    )


def _best_baseline() -> str:
    """The best of each version's baselines: the largest where higher is better, the smallest where lower is."""
    by, of = "by (model, version, metric, better, unit)", f"glassformer_model_version_baseline_score{{{_MODEL}, better="
    return f'max {by} ({of}"higher"}}) or min {by} ({of}"lower"}})'


def board() -> Dashboard:
    """Answers: which model is the champion, and why?"""
    decision = words({0: ("refused", ORANGE), 1: ("promoted", BLUE), 2: ("undecided", GREY), 3: ("overridden", RED)})
    metric = boards.label("metric", "metric", f"glassformer_report_score{{{_OF}}}")
    return boards.board(
        "glassformer-evaluation", "Glassformer / Evaluation and registry", "Which model is the champion, and why?",
        [boards.pipeline(), boards.run(several=True), boards.label("model", "model", "glassformer_model_versions"), metric],
        {
            "The champion": [
                number("Champion", "Version of each model that has the alias `champion`.", "none",
                       f"max by (model) (glassformer_alias_version{{{_CHAMPION}}})", legend="{{model}}", empty="No champion"),
                number("Its score", "Primary metric of the champion, from its report.", "none",
                       f"max by (model, metric) (glassformer_alias_score{{{_CHAMPION}}})", legend="{{model}}: {{metric}}",
                       empty="No champion", decimals=3),
                number("Since", "When the champion became it, by the history of decisions.", "dateTimeFromNow",
                       f"1000 * max by (model) (glassformer_alias_changed_timestamp_seconds{{{_CHAMPION}}})",
                       legend="{{model}}", empty="No champion by a decision"),
                number("Registered versions", "Model versions in the registry.", "short",
                       f"sum(glassformer_model_versions{{{_MODEL}}})", empty=_EXPORTER),
                number("Last decision", "What the gate said of the last candidate.", "none",
                       f"max by (model) ({newest('glassformer_gate_decision', _MODEL)})", legend="{{model}}", mappings=decision),
                number("Score of the last run", "Primary metric of the last evaluation.", "none",
                       with_unit(f"max by (metric, better, unit) ({newest('glassformer_report_score', _OF)})"),
                       legend=DIRECTION, decimals=3),
            ],
            "Is it better? By each metric": [
                bars("Beside what is simpler: $metric", "The model last evaluated by this metric, and its baselines on "
                     "the same rows.", "none", _beside_baselines(), "baseline", width=24)
                .repeat("metric").repeat_direction("h").max_per_row(2),
                boards.with_run_links(lines("Scores of runs: $metric", "Each evaluation by this metric.", "none", [
                    query(with_unit(f"max by (glassformer_run, better, unit) ({pushed_metric('glassformer_report_score', _SCORED)})"),
                          "{{glassformer_run}}{{in_unit}} ({{better}} is better)"),
                ], points=True, width=24)).repeat("metric").repeat_direction("h").max_per_row(2),
            ],
            "The registry": [
                rows("Versions", "Scores of the newest versions, each beside the best of its baselines.", {
                    "score": query("max by (model, version, metric, better, unit) "
                                   f"(glassformer_model_version_score{{{_MODEL}}})", instant=True),
                    "best baseline": query(_best_baseline(), instant=True),
                }, ["model", "version", "metric", "better", "unit"], units={"score": "none", "best baseline": "none"}, width=12,
                     empty=_EXPORTER),
                lines("Alias history", "Which version had which alias, and when.", "none",
                      [query(f"glassformer_alias_version{{{_MODEL}}}", "{{model}} {{alias}}")], empty=_EXPORTER),
            ],
            "Decisions of the gate": [
                rows("Decision of each run", "What the gate said of a run's candidate; a click on a run opens it.", {
                    "decision": query(
                        f"max by (glassformer_run, model) (last_over_time(glassformer_gate_decision{{{_MODEL}}}[$__range]))", instant=True),
                }, ["glassformer_run", "model"], units={}, mappings={"decision": decision}, height=7, width=8)
                .override_by_name("run", [boards.link("Open the run", "glassformer-run", run="${__value.raw}")]),
                log_lines("Decisions", "Each candidate, whether it was promoted, and why.",
                          '{service_namespace="glassformer", glassformer_step=~"register|promote"} | model=~"$model" '
                          '| event=~"model.promoted|model.registered|model.rolled_back|alias.reconciled"', height=7, width=16),
            ],
        },
    )  # fmt: skip
