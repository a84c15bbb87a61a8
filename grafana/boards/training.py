"""Training: is it learning, how fast, and what does it cost? Several runs can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.builders.prometheus import Dataquery

from grafana import axes, hosts
from grafana import board as boards
from grafana.panels import RED, Panel, heat, lines, number, pushed_metric, pushed_peaks, query, rows

_OF = (
    'glassformer_step=~"pretrain|finetune", glassformer_pipeline=~"$pipeline", glassformer_run=~"$run", '
    'glassformer_node=~"$node"'
)
_OF_RUNS = 'glassformer_pipeline=~"$pipeline", glassformer_run=~"$run"'
_LINKS = boards.run_links("${__value.raw}")  # of a cell with the run
_OTHERS = f"{hosts.other_cores('')} and on (host_name) {hosts.of_machine('glassformer_process_cpu_cores', _OF)}"
_NAME = "{{glassformer_node}} {{glassformer_run}}"
_BY = "max by (glassformer_run, glassformer_node) "


# Shown as Markdown behind the panel's i. A dot's labels say its run, node, update, and the span of its interval.
_WHY = (
    "From a spike to its rows: `python -m tasks.why --run RUN --node NODE --at UPDATE` with what a dot's labels say, or "
    "`python -m tasks.why --run RUN` for the worst spike (docs/spikes.md)."
)


def _curve(
    title: str, description: str, unit: str, metric: str, *more: Dataquery, readings: Callable[[str, str], str] = pushed_metric,
    **style: Any,
) -> Panel:  # fmt: skip
    """A metric of each training, with links to its run; `more` queries without."""
    of_trainings = query(f"{_BY}({readings(metric, _OF)})", _NAME)
    return boards.with_run_links(lines(title, description, unit, [of_trainings, *more], **style))


_LOGS = '{service_namespace="glassformer", glassformer_pipeline=~"$pipeline", glassformer_step=~"pretrain|finetune"}'


def _mean(metric: str) -> str:
    return f"max by (glassformer_node, glassformer_run) (avg_over_time({metric}{{{_OF}}}{axes.WINDOW}))"


def _extreme(which: str, metric: str) -> str:
    return f"max by (glassformer_node, glassformer_run) ({which}_over_time({metric}{{{_OF}}}[$__interval]))"


def _evaluations(metric: str) -> str:
    """A value where it changes: it is written again and again until the next evaluation."""
    now = f"max by (glassformer_node, glassformer_run) (last_over_time({metric}{{{_OF}}}[$__interval]))"
    before = f"max by (glassformer_node, glassformer_run) (last_over_time({metric}{{{_OF}}}[$__interval] offset $__interval))"
    return f"{now} unless ({now} == {before})"


def _of_trainings(how: str, metric: str) -> Any:
    by = "glassformer_pipeline, glassformer_run, glassformer_node"
    return query(f"{how} by ({by}) (last_over_time({metric}{{{_OF}}}[$__range]))", instant=True)


def _comparison() -> list[Panel]:
    over = "Over the axis chosen above, to the nearest interval of the panel."
    return [
        axes.curves("Training loss of each run", f"Mean in nats, raw or smoothed; thin: the lowest and highest loss of a single "
                    f"update, at every zoom and smoothing. {over}", "none",
                    {"mean": _mean("glassformer_training_loss"), "lowest": _extreme("min", "glassformer_training_lowest_update_loss"),
                     "highest": _extreme("max", "glassformer_training_highest_update_loss")}, _OF, empty=_NO_TRAINING),
        axes.curves("Validation loss of each run", f"Mean over the validation split, in nats. {over}", "none",
                    {"loss": _evaluations("glassformer_validation_loss")}, _OF, empty=_NO_TRAINING),
        axes.curves("Validation score of each run", f"The task's primary metric, where it chooses the weights. {over}", "none",
                    {"score": _evaluations("glassformer_validation_score")}, _OF, empty="No training of these chooses by a score"),
        axes.curves("Gradient norm of each run", f"Before clipping, raw or smoothed; thin: the lowest and highest reading. {over}",
                    "none", {"mean": _mean("glassformer_training_gradient_norm"),
                             "lowest": _extreme("min", "glassformer_training_gradient_norm"),
                             "highest": _extreme("max", "glassformer_training_gradient_norm")}, _OF, empty=_NO_TRAINING),
        rows("Results", "What each training stands at, or ended with; losses in nats.", {
            "best validation loss": _of_trainings("min", "glassformer_validation_best_loss"),
            "last loss": _of_trainings("max", "glassformer_training_loss"),
            "updates": _of_trainings("max", "glassformer_training_updates"),
            "tokens": _of_trainings("max", "glassformer_training_tokens"),
            "time": _of_trainings("max", "glassformer_training_seconds"),
        }, ["glassformer_pipeline", "glassformer_run", "glassformer_node"],
             units={"best validation loss": "none", "last loss": "none", "updates": "short", "tokens": "short", "time": "s"},
             width=16, empty=_NO_TRAINING).override_by_name("run", [_LINKS]),
        rows("Scores", "Primary metric of each run's evaluated model.", {
            "score": query("max by (glassformer_pipeline, glassformer_run, metric, better, unit) "
                           f"(last_over_time(glassformer_report_score{{{_OF_RUNS}}}[$__range]))", instant=True),
        }, ["glassformer_pipeline", "glassformer_run", "metric", "better", "unit"], units={"score": "none"}, width=8,
             empty="None of these runs was evaluated").override_by_name("run", [_LINKS]),
        axes.parameters("Parameters", "A column for each training, from its start.",
                        f'{_LOGS} | event="step.started" | glassformer_run=~"$run" | glassformer_node=~"$node"',
                        empty=_NO_TRAINING),
    ]  # fmt: skip


_NO_TRAINING = "No training of these runs in this time range"


def _quantile(share: str) -> str:
    inside = f"sum by (le) (rate(glassformer_training_update_seconds_bucket{{{_OF}}}[$__rate_interval]))"
    return f"histogram_quantile({share}, {inside})"


def board() -> Dashboard:
    """Answers: is it learning, and at what speed?"""
    node = boards.label("node", "glassformer_node", 'glassformer_training_loss{glassformer_run=~"$run"}')
    return boards.board(
        "glassformer-training", "Glassformer / Training", "Is it learning, how fast, and what does it cost?",
        [boards.pipeline(), boards.named_runs(), node, axes.axis(), axes.smoothing()],
        {
            "Is it learning?": [
                number("Best validation loss", "Lowest mean loss on the validation split, in nats.", "none",
                       f"min by (glassformer_node) (last_over_time(glassformer_validation_best_loss{{{_OF}}}[$__range]))",
                       legend="{{glassformer_node}}", decimals=3),
                number("Last training loss", "Mean loss of the last interval, in nats.", "none",
                       f"min by (glassformer_node) (last_over_time(glassformer_training_loss{{{_OF}}}[$__range]))",
                       legend="{{glassformer_node}}", decimals=3),
                number("Updates done", "Of each training, of the run that is furthest.", "short",
                       f"max by (glassformer_node) (last_over_time(glassformer_step_progress{{{_OF}}}[$__range]))",
                       legend="{{glassformer_node}}"),
                number("Tokens a second", "Of the last interval, padding left out.", "short",
                       f"max(last_over_time(glassformer_training_tokens_per_second{{{_OF}}}[$__range]))", decimals=0, width=3),
                number("Padding", "Share of the computed tokens that are padding.", "percentunit",
                       f"max(last_over_time(glassformer_training_padding_share_ratio{{{_OF}}}[$__range]))", decimals=1, width=3),
                number("Not finite", "Trainings that ended because a loss or gradient was not finite.", "short",
                       f"sum(max_over_time(glassformer_training_not_finite{{{_OF}}}[$__range]))", steps=[(1, RED)], width=3),
                number("Roll-backs", "Times that trainings with `spike` went back after a loss spike.", "short",
                       f"sum(max_over_time(glassformer_training_roll_backs_total{{{_OF}}}[$__range]))", width=3,
                       empty="No training with spike"),
                _curve("Training loss", f"Mean over each interval, in nats; of several intervals at one place, the highest. {_WHY}", "none",
                       "glassformer_training_loss", readings=pushed_peaks),
                _curve("Validation loss", "Mean over the validation split, in nats.", "none", "glassformer_validation_loss", points=True),
                heat("Loss of each update", f"How many updates had which loss; a dot is an update, and leads to its trace. {_WHY}",
                     "none", f"sum by (le) (increase(glassformer_training_update_loss_bucket{{{_OF}}}[$__rate_interval]))"),
                _curve("Gradient norm", "Mean over each interval, before clipping; of several intervals at one place, the highest.", "none",
                       "glassformer_training_gradient_norm", readings=pushed_peaks),
            ],
            "Which run is better?": _comparison(),
            "How fast?": [
                _curve("Tokens a second", "Padding left out.", "short", "glassformer_training_tokens_per_second"),
                lines("Time of an update", "Median, 90th and 99th percentile.", "s",
                      [query(_quantile(share), name, exemplars=share == "0.99")
                       for share, name in (("0.5", "median"), ("0.9", "90 %"), ("0.99", "99 %"))]),
                heat("Time of each update", "How many updates took how long; a dot is an update, and leads to its trace.",
                     "s", f"sum by (le) (increase(glassformer_training_update_seconds_bucket{{{_OF}}}[$__rate_interval]))"),
                _curve("Learning rate", "As the schedule says.", "sci", "glassformer_training_learning_rate"),
            ],
            "What does it cost?": [
                _curve("Padding", "Share of the computed tokens that are padding.", "percentunit",
                       "glassformer_training_padding_share_ratio", width=8),
                _curve("Memory", "Resident memory of the training's process.", "bytes", "glassformer_process_resident_bytes", width=8),
                _curve("CPU", "Cores that the training's process keeps busy, and those of its machine that others do (all but the "
                       "processes that report their own: further ranks too).", "short", "glassformer_process_cpu_cores",
                       query(_OTHERS, "others on {{host_name}}"), width=8),
            ],
        },
    )  # fmt: skip
