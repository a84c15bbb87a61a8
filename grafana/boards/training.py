"""Training: is it learning, how fast, and what does it cost? Several runs can be compared."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import board as boards
from grafana.panels import RED, heat, lines, number, pushed_metric, query

_OF = (
    'glassformer_step=~"pretrain|finetune", glassformer_pipeline=~"$pipeline", glassformer_run=~"$run", '
    'glassformer_node=~"$node"'
)
_NAME = "{{glassformer_node}} {{glassformer_run}}"
_BY = "max by (glassformer_run, glassformer_node) "


# Shown as Markdown behind the panel's i. A dot's labels say its run, node, update, and the span of its interval.
_WHY = (
    "From a spike to its rows: `python -m tasks.why --run RUN --node NODE --at UPDATE` with what a dot's labels say, or "
    "`python -m tasks.why --run RUN` for the worst spike (docs/spikes.md)."
)


def _curve(metric: str, legend: str = _NAME) -> list[object]:
    return [query(f"{_BY}({pushed_metric(metric, _OF)})", legend)]


def _quantile(share: str) -> str:
    inside = f"sum by (le) (rate(training_update_seconds_bucket{{{_OF}}}[$__rate_interval]))"
    return f"histogram_quantile({share}, {inside})"


def board() -> Dashboard:
    """Answers: is it learning, and at what speed?"""
    node = boards.label("node", "glassformer_node", 'training_loss_ratio{glassformer_run=~"$run"}')
    return boards.board(
        "glassformer-training", "Glassformer / Training", "Is it learning, how fast, and what does it cost?",
        [boards.pipeline(), boards.run(several=True), node],
        {
            "Is it learning?": [
                number("Best validation loss", "Lowest mean loss on the validation split, in nats.", "none",
                       f"min by (glassformer_node) (last_over_time(validation_best_loss_ratio{{{_OF}}}[$__range]))",
                       legend="{{glassformer_node}}", decimals=3),
                number("Last training loss", "Mean loss of the last interval, in nats.", "none",
                       f"min by (glassformer_node) (last_over_time(training_loss_ratio{{{_OF}}}[$__range]))",
                       legend="{{glassformer_node}}", decimals=3),
                number("Updates done", "Of each training, of the run that is furthest.", "short",
                       f"max by (glassformer_node) (last_over_time(step_progress{{{_OF}}}[$__range]))",
                       legend="{{glassformer_node}}"),
                number("Tokens a second", "Of the last interval, padding left out.", "short",
                       f"max(last_over_time(training_tokens_per_second{{{_OF}}}[$__range]))", decimals=0),
                number("Padding", "Share of the computed tokens that are padding.", "percentunit",
                       f"max(last_over_time(training_padding_share_ratio{{{_OF}}}[$__range]))", decimals=1),
                number("Not finite", "Trainings that ended because a loss or gradient was not finite.", "short",
                       f"sum(max_over_time(training_not_finite{{{_OF}}}[$__range]))", steps=[(1, RED)]),
                number("Roll-backs", "Times that trainings with `spike` went back after a loss spike.", "short",
                       f"sum(max_over_time(training_roll_backs{{{_OF}}}[$__range]))", empty="No training with spike"),
                lines("Training loss", f"Mean over each interval, in nats. {_WHY}", "none", _curve("training_loss_ratio")),
                lines("Validation loss", "Mean over the validation split, in nats.", "none",
                      _curve("validation_loss_ratio"), points=True),
                heat("Loss of each update", f"How many updates had which loss; a dot is an update, and leads to its trace. {_WHY}",
                     "none", f"sum by (le) (increase(training_update_loss_bucket{{{_OF}}}[$__rate_interval]))"),
                lines("Gradient norm", "Mean over each interval, before clipping.", "none",
                      _curve("training_gradient_norm_ratio")),
            ],
            "How fast?": [
                lines("Tokens a second", "Padding left out.", "short", _curve("training_tokens_per_second")),
                lines("Time of an update", "Median, 90th and 99th percentile.", "s",
                      [query(_quantile(share), name, exemplars=share == "0.99")
                       for share, name in (("0.5", "median"), ("0.9", "90 %"), ("0.99", "99 %"))]),
                heat("Time of each update", "How many updates took how long; a dot is an update, and leads to its trace.",
                     "s", f"sum by (le) (increase(training_update_seconds_bucket{{{_OF}}}[$__rate_interval]))"),
                lines("Learning rate", "As the schedule says.", "sci", _curve("training_learning_rate_ratio")),
            ],
            "What does it cost?": [
                lines("Padding", "Share of the computed tokens that are padding.", "percentunit",
                      _curve("training_padding_share_ratio"), width=8),
                lines("Memory", "Resident memory of the training's process.", "bytes", _curve("process_resident_bytes"),
                      width=8),
                lines("CPU", "Cores that the training's process keeps busy.", "short", _curve("process_cpu_cores"), width=8),
            ],
        },
    )  # fmt: skip
