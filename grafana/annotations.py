"""Annotations of all dashboards: promotions, roll-backs, servers that start or switch, and alerts, as lines across the curves.

Loki's data source reads `expr` of the annotation itself, Prometheus's reads `target`: both hold the query. The builders know neither
`target` as a query nor the texts, so the annotation is its own builder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.cog.builder import Builder

from grafana.panels import BLUE, ORANGE, RED, SKY

_MOST = 100  # newest events of a time range


@dataclass(frozen=True)
class Annotation(Builder[Any]):
    """An annotation query, for a dashboard's builder."""

    name: str
    colour: str
    source: str
    expr: str
    title: str  # {{label}} stands for its value
    text: str = ""  # of Loki the line, unless it is given
    tags: str = ""  # labels, between commas; their values are shown as tags

    def build(self) -> Annotation:
        """Itself."""
        return self

    def to_json(self) -> dict[str, Any]:
        """As Grafana keeps it."""
        target: dict[str, Any] = {"refId": "Annotation", "expr": self.expr}
        target |= (
            {"queryType": "range", "maxLines": _MOST} if self.source == "loki" else {"range": True, "interval": "15s"}
        )
        return {
            "name": self.name, "enable": True, "hide": False, "iconColor": self.colour, "builtIn": 0,
            "datasource": {"type": self.source, "uid": f"${{{self.source}}}"}, "expr": self.expr, "target": target,
            "titleFormat": self.title, "textFormat": self.text, "tagKeys": self.tags,
        }  # fmt: skip


def _events(step: str, events: str, more: str = "") -> str:
    return f'{{service_namespace="glassformer", glassformer_step="{step}"}} | event=~"{events}"{more}'


ANNOTATIONS = (
    Annotation("Promotions", BLUE, "loki", _events("promote", "model.promoted", ' | promoted="true"'), "{{event}}", tags="model"),
    Annotation("Roll-backs", ORANGE, "loki", _events("promote", "model.rolled_back|alias.reconciled"), "{{event}}", tags="model"),
    Annotation("Deployments", SKY, "loki", _events("serving", "serving.started|serving.switched|serving.stopped"), "{{event}}",
               tags="host_name"),
    Annotation("Alerts", RED, "prometheus", 'max by (alertname, severity, glassformer_pipeline) (ALERTS{alertstate="firing"})',
               "{{alertname}}", "{{severity}} {{glassformer_pipeline}}", "alertname"),
)  # fmt: skip
