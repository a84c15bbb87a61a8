"""The frame of all dashboards: data sources and runs as variables, links to the other dashboards, annotations, rows of panels."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from grafana.annotations import ANNOTATIONS
from grafana.panels import Panel

SOURCES = ("prometheus", "loki", "tempo")
RUNS = "glassformer_node_state"  # the metric that every run has, from its first node on
RUN_AND_TITLE = '/glassformer_run="(?<value>[^"]+)"(?:.*title="(?<text>[^"]+)")?/'  # of a line of query_result
Variable = Any


def board(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Variable],
    rows: dict[str, Sequence[Panel]],
    *,
    hours: int = 6,
) -> dashboard.Dashboard:
    """A dashboard: titled rows of panels, all of them open."""
    made = (
        dashboard.Dashboard(title).uid(uid).description(description).tags(["glassformer"]).editable()
        .time(f"now-{hours}h", "now").refresh("30s").timezone("browser").tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(dashboard.DashboardLink("Glassformer").type(model.DashboardLinkType.DASHBOARDS).tags(["glassformer"])
              .as_dropdown(True).keep_time(True).include_vars(True))
    )  # fmt: skip
    for source in SOURCES:
        chosen = model.VariableOption(text=source.capitalize(), value=source)
        made = made.with_variable(
            dashboard.DatasourceVariable(source).label(source.capitalize()).type(source).current(chosen)
        )
    for variable in variables:
        made = made.with_variable(variable)
    for annotation in ANNOTATIONS:
        made = made.annotation(annotation)
    for name, panels in rows.items():
        made = made.with_row(dashboard.Row(name))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def label(name: str, of: str, source: str, *, several: bool = True, shown: str = "") -> Variable:
    """A variable that offers the values of a label of a metric, newest first."""
    variable = (
        dashboard.QueryVariable(name)
        .label(shown or name.capitalize())
        .datasource(model.DataSourceRef(type_val="prometheus", uid="${prometheus}"))
        .query(f"label_values({source}, {of})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    if several:
        everything = model.VariableOption(text=["All"], value=["$__all"])
        variable = variable.multi(True).include_all(True).all_value(".*").current(everything)
    return variable


def pipeline() -> Variable:
    """The variable that selects pipelines."""
    return label("pipeline", "glassformer_pipeline", RUNS)


def run(*, several: bool = False) -> Variable:
    """The variable that selects runs of these pipelines."""
    return label("run", "glassformer_run", f'{RUNS}{{glassformer_pipeline=~"$pipeline"}}', several=several)


def named_runs() -> Variable:
    """The variable that selects several runs by their titles (start, pipeline, short id), the newest first.

    A run that was never heard of by its own process has no title, and is offered by its id.
    """
    of = 'glassformer_pipeline_state{glassformer_pipeline=~"$pipeline"'
    by = "max by (glassformer_run, title)"
    titled, all_of_them = (f"{by} (last_over_time({of}{more}}}[$__range]))" for more in (', title!=""', ""))
    offered = run(several=True).query(f"query_result({titled} or on (glassformer_run) {all_of_them})")
    return offered.regex(RUN_AND_TITLE).sort(model.VariableSort.ALPHABETICAL_DESC)


def choice(name: str, values: Sequence[str]) -> Variable:
    """A variable with a fixed list of values."""
    everything = model.VariableOption(text=["All"], value=["$__all"])
    made = dashboard.CustomVariable(name).label(name.capitalize()).values(",".join(values))
    return made.multi(True).include_all(True).all_value(".*").current(everything)


def words(name: str, shown: str) -> Variable:
    """A variable that is typed."""
    return dashboard.TextBoxVariable(name).label(shown).default_value("")


def link(title: str, uid: str, **variables: str) -> model.DynamicConfigValue:
    """A table column's link to another dashboard."""
    return model.DynamicConfigValue(id_val="links", value=[_to_board(title, uid, variables)])


def with_run_links(curves: Panel) -> Panel:
    """Curves whose first query keeps the label of the run: a click on one offers the links of its run."""
    return curves.override_by_query("A", [run_links("${__field.labels.glassformer_run}")])


def run_links(run: str) -> model.DynamicConfigValue:
    """Links of a curve or a table's column to a run, which `run` stands for: its board, its trace, its page in MLflow.

    No metric knows the page's address, the log line `run.opened` does: Loki's data source makes it a link.
    """
    opened = f'{{service_namespace="glassformer"}} | event="run.opened" | glassformer_run="{run}"'
    links = [
        _to_board("Open the run", "glassformer-run", {"run": run}),
        _to_explore(
            "Its trace", "tempo", {"queryType": "traceql", "query": f'{{ resource.glassformer.run = "{run}" }}'}
        ),
        _to_explore("Its page in MLflow (a link of the log line)", "loki", {"queryType": "range", "expr": opened}),
    ]
    return model.DynamicConfigValue(id_val="links", value=links)


def _to_board(title: str, uid: str, variables: Mapping[str, str]) -> dict[str, str]:
    sent = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return {"title": title, "url": f"/d/{uid}?${{__url_time_range}}{sent}"}


def _to_explore(title: str, source: str, asked: Mapping[str, str]) -> dict[str, str]:
    """A query in Grafana's Explore, over the time range of the board. Variables of Grafana stay as they are in the address."""
    chosen = f"${{{source}}}"
    query = {"refId": "A", "datasource": {"type": source, "uid": chosen}, **asked}
    pane = {"datasource": chosen, "queries": [query], "range": {"from": "${__from}", "to": "${__to}"}}
    panes = re.sub(r"%24%7B([\w.]+)%7D", r"${\1}", quote(json.dumps({"run": pane}, separators=(",", ":"))))
    return {"title": title, "url": f"/explore?schemaVersion=1&orgId=1&panes={panes}"}
