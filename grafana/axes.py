"""Panels that compare trainings over updates, tokens or seconds: curves, and the parameters beside them.

Prometheus knows time alone. So each panel asks for its values and for the axis at the same moments, joins them by moment, run and
node, and gives each training a frame of its own, which Grafana's XY chart draws over the axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, loki, table, xychart
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.loki import LokiQueryType
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.xychart import SeriesMapping, XYShowMode

from grafana.panels import Panel, query

OVER, SMOOTHING = "over", "smoothing"  # variables of the board
AXES = {
    "updates": "glassformer_training_updates",
    "tokens": "glassformer_training_tokens",
    "seconds since start": "glassformer_training_seconds",
}
# Added in front of the interval in milliseconds: `0s15000ms`. Raw is the mean of what was written within the interval.
_SMOOTHINGS = {"raw": "0s", "1 minute": "1m", "5 minutes": "5m", "15 minutes": "15m", "1 hour": "1h"}
WINDOW = f"[${{{SMOOTHING}}}${{__interval_ms}}ms]"
_MOST_TRAININGS = 50  # columns of the table of parameters
_TRAINING = ("glassformer_node", "glassformer_run")


def axis() -> dashboard.CustomVariable:
    """The variable that chooses the axis."""
    return _choice(OVER, "Over", AXES)


def smoothing() -> dashboard.CustomVariable:
    """The variable that chooses the time over which curves are averaged."""
    return _choice(SMOOTHING, "Smoothing", _SMOOTHINGS)


def curves(title: str, description: str, unit: str, values: Mapping[str, str], selector: str, *, empty: str) -> Panel:
    """An XY chart of `values` (name -> PromQL) over the chosen axis; the first is drawn thick, the others as a band's edges."""
    by = f"max by ({', '.join(_TRAINING)})"
    asked = {**values, "axis": f"{by} (last_over_time(${OVER}{{{selector}}}[$__interval]))"}
    refs = {chr(ord("A") + place): name for place, name in enumerate(asked)}
    panel = xychart.Panel().title(title).description(description).unit(unit).span(12).height(10).no_value(empty)
    panel = panel.interval("15s").datasource(model.DataSourceRef(type_val="prometheus", uid="${prometheus}"))
    for ref, name in refs.items():
        panel = panel.with_target(query(asked[name]).format(PromQueryFormat.TABLE).ref_id(ref))
    for kind, options in _into_frames(refs):
        panel = panel.with_transformation(model.DataTransformerConfig(id_val=kind, options=options))
    x = xychart.XychartXYSeriesConfigX().matcher(
        xychart.MatcherConfig().id("byName").options(f"Value #{list(refs)[-1]}")
    )
    panel = panel.mapping(SeriesMapping.AUTO).series([xychart.XYSeriesConfig().x(x)])
    panel = panel.show(XYShowMode.LINES if len(values) > 1 else XYShowMode.POINTS_AND_LINES).line_width(2)
    panel = panel.override_by_regexp(
        "/(lowest|highest)$/", [model.DynamicConfigValue(id_val="custom.lineWidth", value=1)]
    )
    legend = common.VizLegendOptions().show_legend(True).placement(shared.LegendPlacement.BOTTOM)
    return panel.legend(legend.display_mode(shared.LegendDisplayMode.LIST))


def parameters(title: str, description: str, logql: str, *, empty: str) -> Panel:
    """A table with a row for each parameter and a column for each training, from the log lines at their starts."""
    shown = f'{logql} | line_format `{{"parameter":"{{{{.glassformer_node}}}} {{{{ trunc 8 .glassformer_run }}}}",'
    shown += '{{ trimPrefix "{" .config }}`'
    source = model.DataSourceRef(type_val="loki", uid="${loki}")
    asked = loki.Dataquery().datasource(source).expr(shown).query_type(LokiQueryType.RANGE).max_lines(_MOST_TRAININGS)
    panel = table.Panel().title(title).description(description).unit("none").span(24).height(12).no_value(empty)
    panel = panel.datasource(source).with_target(asked.ref_id("A"))
    steps: Sequence[tuple[str, Mapping[str, Any]]] = (
        ("extractFields", {"source": "Line", "format": "json", "replace": True, "keepTime": False}),
        ("transpose", {"firstFieldName": "parameter", "restFieldsName": ""}),
    )
    for kind, options in steps:
        panel = panel.with_transformation(model.DataTransformerConfig(id_val=kind, options=dict(options)))
    return panel


def _choice(name: str, label: str, values: Mapping[str, str]) -> dashboard.CustomVariable:
    first = next(iter(values))
    made = (
        dashboard.CustomVariable(name)
        .label(label)
        .values(", ".join(f"{text} : {value}" for text, value in values.items()))
    )
    return made.current(model.VariableOption(text=first, value=values[first], selected=True))


def _into_frames(refs: Mapping[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Transformations from a table a query to a frame a training: its values, in the order of the axis."""
    columns = {f"Value #{ref}": name for ref, name in refs.items()}
    needed = [next(iter(columns.values())), "axis"]
    present = [{"fieldName": name, "config": {"id": "isNull", "options": {}}} for name in needed]
    return [
        ("merge", {}),
        ("organize", {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": columns}),
        ("filterByValue", {"filters": present, "type": "exclude", "match": "any"}),
        ("sortBy", {"fields": {}, "sort": [{"field": "axis"}]}),
        ("partitionByValues", {
            "fields": list(_TRAINING), "keepFields": False,
            "naming": {"asLabels": False, "append": False, "withNames": False, "separator1": "=", "separator2": " "},
        }),
    ]  # fmt: skip
