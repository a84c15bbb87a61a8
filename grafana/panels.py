"""The panels of our dashboards. Each has a title, a one-sentence description, a unit, and a text for missing data.

Series of a step end when its process does, so what a finished run stands at is asked with `last_over_time(...[$__range])`.
Colours are Grafana's own palette of classic hues by series, and blue, orange and vermilion (Okabe and Ito, which all kinds
of colour vision can tell apart) where a colour means something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    dashboard,
    heatmap,
    logs,
    loki,
    prometheus,
    stat,
    statetimeline,
    table,
    tempo,
    timeseries,
)
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.loki import LokiQueryType
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from telemetry.names import STATES

BLUE, ORANGE, RED, GREY, SKY = "#0072B2", "#E69F00", "#D55E00", "#8E8E8E", "#56B4E9"
COLOURS = {"running": SKY, "done": BLUE, "failed": RED, "cached": GREY, "killed": ORANGE, "no news": RED}
NO_NEWS = 6  # of a run that was last seen at work, over a minute ago
NOTHING = "Nothing in this time range"
_MOST_LINES = 200  # newest log lines of a panel: more take Loki over a second after 200 runs
Panel = Any  # the builders share no base class


def _source(kind: str) -> model.DataSourceRef:
    return model.DataSourceRef(type_val=kind, uid=f"${{{kind}}}")


def query(expr: str, legend: str = "", *, instant: bool = False, exemplars: bool = False) -> prometheus.Dataquery:
    """A PromQL query."""
    asked = prometheus.Dataquery().datasource(_source("prometheus")).expr(expr).legend_format(legend or "__auto")
    asked = asked.instant() if instant else asked.range()
    return asked.exemplar(True) if exemplars else asked


def pushed_metric(metric: str, selector: str = "") -> str:
    """A metric that a step pushed, where it was written: a curve ends where its process did, and no lone point is missed."""
    return f"last_over_time({metric}{{{selector}}}[$__interval])"


def pushed_peaks(metric: str, selector: str = "") -> str:
    """The same where a high reading matters: it is seen at every zoom, though the one after it is low again."""
    return f"max_over_time({metric}{{{selector}}}[$__interval])"


def newest(metric: str, selector: str = "", anchor: str = "") -> str:
    """The values of a metric from the process that wrote it last, or that wrote `anchor` last: panels with one anchor speak
    of one process. (Prometheus looks back 5 min: a step of a minute misses no series, but those that began after the last full
    minute, which are those of now.)"""
    at = f"timestamp({anchor or metric}{{{selector}}})"
    last = f"max by (instance) (max_over_time({at}[$__range:1m]) or {at})"
    return f"last_over_time({metric}{{{selector}}}[$__range]) and on (instance) topk(1, {last})"


def run_states(selector: str) -> str:
    """The state of each run: how it ended, else `running` if it was heard of in the last minute, else `no news`.

    A process that is killed reports nothing more; the next run of its home reports it as killed.
    """
    of, by = f"glassformer_pipeline_state{{{selector}}}", "max by (glassformer_pipeline, glassformer_run)"
    last = f"last_over_time({of}[$__range])"
    return f"{by} ({last} > 1) or {by} (last_over_time({of}[1m])) or {NO_NEWS} * {by} ({last})"


def _frame(panel: Panel, title: str, description: str, unit: str, width: int, height: int, empty: str) -> Panel:
    framed = panel.title(title).description(description).unit(unit).span(width).height(height).no_value(empty)
    return framed.interval("15s")  # three readings of a step, one scrape: no holes where there is a value


def _with(panel: Panel, queries: Sequence[Any]) -> Panel:
    for number, asked in enumerate(queries):
        panel = panel.with_target(asked.ref_id(chr(ord("A") + number)))
    return panel


def limits(*steps: tuple[float, str]) -> dashboard.ThresholdsConfig:
    """Blue, and from each value on its colour."""
    found = [model.Threshold(value=None, color=BLUE), *(model.Threshold(value=v, color=c) for v, c in steps)]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


def words(values: Mapping[float, tuple[str, str]]) -> list[model.ValueMap]:
    """Numbers that stand for something: value -> word, colour."""
    options = {
        f"{value:g}": model.ValueMappingResult(text=text, color=colour, index=place)
        for place, (value, (text, colour)) in enumerate(values.items())
    }
    return [model.ValueMap(options=options)]


STATE_WORDS = words({number: (state, COLOURS[state]) for state, number in (STATES | {"no news": NO_NEWS}).items()})


def number(
    title: str, description: str, unit: str, expr: str, *, legend: str = "", width: int = 4, empty: str = NOTHING,
    steps: Sequence[tuple[float, str]] = (), mappings: Sequence[model.ValueMap] = (), decimals: int | None = None,
    name_alone: bool = False,
) -> Panel:  # fmt: skip
    """One number, now; with a legend, one for each series with its name, or the name alone."""
    panel = _frame(stat.Panel(), title, description, unit, width, 4, empty).thresholds(limits(*steps))
    panel = panel.mappings(list(mappings)).graph_mode(shared.BigValueGraphMode.NONE)
    if legend:
        mode = shared.BigValueTextMode
        panel = panel.text_mode(mode.NAME if name_alone else mode.VALUE_AND_NAME)
    panel = panel.decimals(decimals) if decimals is not None else panel
    return _with(panel.datasource(_source("prometheus")), [query(expr, legend, instant=True)])


DIRECTION = "{{metric}}{{in_unit}}, {{better}} is better"  # legend of `with_unit`


def with_unit(scores: str) -> str:
    """Scores with a label `in_unit` for legends, which a share has not: ` in bits`."""
    return f'label_replace({scores}, "in_unit", " in $1", "unit", "(.{{2,}}|[^1])")'


def lines(
    title: str, description: str, unit: str, queries: Sequence[Any], *, width: int = 12, height: int = 8,
    empty: str = NOTHING, steps: Sequence[tuple[float, str]] = (), points: bool = False, stacked: bool = False,
) -> Panel:  # fmt: skip
    """Curves over time; `points` where a value comes once in a while, so that a lone one is seen."""
    panel = _frame(timeseries.Panel(), title, description, unit, width, height, empty).line_width(2)
    panel = panel.show_points(shared.VisibilityMode.ALWAYS if points else shared.VisibilityMode.AUTO).point_size(6)
    panel = panel.fill_opacity(25 if stacked else 0)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(shared.StackingMode.NORMAL))
    if steps:
        panel = panel.thresholds(limits(*steps)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(shared.GraphThresholdsStyleMode.DASHED)
        )
    legend = common.VizLegendOptions().show_legend(True).placement(shared.LegendPlacement.BOTTOM)
    tooltip = common.VizTooltipOptions().mode(shared.TooltipDisplayMode.MULTI)
    return _with(panel.legend(legend).tooltip(tooltip).datasource(_source("prometheus")), queries)


def bars(
    title: str, description: str, unit: str, expr: str, label: str, *, width: int = 12, empty: str = NOTHING
) -> Panel:
    """A bar for each value of `label`, as it stood last."""
    panel = _frame(barchart.Panel(), title, description, unit, width, 8, empty).datasource(_source("prometheus"))
    asked = query(expr, f"{{{{{label}}}}}", instant=True).format(PromQueryFormat.TABLE)
    keep = {"includeByName": {label: True, "Value": True}, "indexByName": {label: 0, "Value": 1}}
    panel = panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=keep))
    legend = common.VizLegendOptions().show_legend(False).placement(shared.LegendPlacement.BOTTOM)
    return _with(panel.x_field(label).legend(legend).orientation(shared.VizOrientation.HORIZONTAL), [asked])


def states(title: str, description: str, expr: str, legend: str, *, height: int = 8) -> Panel:
    """A timeline of states: running, done, failed."""
    panel = _frame(statetimeline.Panel(), title, description, "none", 24, height, NOTHING)
    panel = panel.mappings(STATE_WORDS).show_value(shared.VisibilityMode.AUTO).row_height(0.8).merge_values(True)
    return _with(panel.datasource(_source("prometheus")), [query(expr, legend)])


def rows(
    title: str, description: str, queries: Mapping[str, Any], labels: Sequence[str], *, units: Mapping[str, str],
    width: int = 24, height: int = 8, empty: str = NOTHING, mappings: Mapping[str, Sequence[model.ValueMap]] | None = None,
    sort: str = "",
) -> Panel:  # fmt: skip
    """A table: a row for each combination of `labels`, a column for each query."""
    panel = _frame(table.Panel(), title, description, "none", width, height, empty).datasource(_source("prometheus"))
    refs = {chr(ord("A") + place): name for place, name in enumerate(queries)}
    value = {f"Value #{ref}": name for ref, name in refs.items()} if len(refs) > 1 else {"Value": next(iter(queries))}
    keep = [*labels, *value]
    panel = panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(model.DataTransformerConfig(id_val="organize", options={
        "includeByName": dict.fromkeys(keep, True), "indexByName": {name: place for place, name in enumerate(keep)},
        "renameByName": value | {label: label.removeprefix("glassformer_") for label in labels},
    }))  # fmt: skip
    for name, unit in units.items():
        panel = panel.override_by_name(name, [model.DynamicConfigValue(id_val="unit", value=unit)])
    for name, maps in (mappings or {}).items():
        shown = [model.DynamicConfigValue(id_val="mappings", value=list(maps))]
        panel = panel.override_by_name(name, shown)
    if sort:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    asked = [one.format(PromQueryFormat.TABLE) for one in queries.values()]
    return _with(panel, asked)


def heat(title: str, description: str, unit: str, expr: str, *, width: int = 12) -> Panel:
    """A histogram over time; its exemplars lead to traces."""
    panel = _frame(heatmap.Panel(), title, description, unit, width, 8, NOTHING).calculate(False)
    colour = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Cividis").steps(64)
    asked = query(expr, "{{le}}", exemplars=True).format(PromQueryFormat.HEATMAP)
    panel = panel.color(colour).exemplars_color(ORANGE).y_axis(heatmap.YAxisConfig().unit(unit))
    return _with(panel.datasource(_source("prometheus")), [asked])


def log_lines(
    title: str, description: str, logql: str, *, width: int = 24, height: int = 10, empty: str = NOTHING
) -> Panel:
    """Log lines, newest first."""
    panel = _frame(logs.Panel(), title, description, "none", width, height, empty).datasource(_source("loki"))
    panel = panel.show_time(True).wrap_log_message(True).enable_log_details(True)
    asked = (
        loki.Dataquery().datasource(_source("loki")).expr(logql).query_type(LokiQueryType.RANGE).max_lines(_MOST_LINES)
    )
    return _with(panel, [asked])


def log_counts(title: str, description: str, logql: str, legend: str, *, width: int = 24) -> Panel:
    """Number of log lines, by a label."""
    asked = loki.Dataquery().datasource(_source("loki")).expr(logql).query_type(LokiQueryType.RANGE)
    panel = lines(title, description, "short", [asked.legend_format(legend)], width=width, stacked=True)
    bars_of = panel.draw_style(shared.GraphDrawStyle.BARS).fill_opacity(80)
    return bars_of.datasource(_source("loki"))


def waterfall(title: str, description: str, trace: str, *, height: int = 12, empty: str = NOTHING) -> Panel:
    """The spans of one trace, each at its time and below the one that it is part of."""
    panel = dashboard.Panel().type("traces")
    panel = _frame(panel, title, description, "none", 24, height, empty).datasource(_source("tempo"))
    return _with(panel, [tempo.TempoQuery().datasource(_source("tempo")).query(trace).query_type("traceql")])


def traces(title: str, description: str, traceql: str, *, height: int = 8, empty: str = NOTHING) -> Panel:
    """Traces that a TraceQL query finds; a click opens one."""
    panel = _frame(table.Panel(), title, description, "none", 24, height, empty).datasource(_source("tempo"))
    asked = tempo.TempoQuery().datasource(_source("tempo")).query(traceql).query_type("traceql").limit(20)
    return _with(panel, [asked])
