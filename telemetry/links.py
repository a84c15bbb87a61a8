"""Links between tools: Grafana's dashboards, a trace in Grafana, a run in MLflow, a flame graph.

Grafana's address is GLASSFORMER_GRAFANA_URL, Tempo's GLASSFORMER_TEMPO_URL, MLflow's GLASSFORMER_MLFLOW_URL (else
MLFLOW_TRACKING_URI where that is a server), that of the exporter, which serves flame graphs, GLASSFORMER_EXPORTER_URL;
`make stack` writes those that it runs into `stack.env` next to the outbox, and the environment takes precedence. Without an
address of Grafana no run is linked to it. The others' defaults are those of docker compose and `make ui`: ports 3200, 5000 and
9464 of this machine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from redaction import redact
from telemetry.endpoints import environment_of

GRAFANA, TEMPO, MLFLOW = "http://127.0.0.1:3000", "http://127.0.0.1:3200", "http://127.0.0.1:5000"
EXPORTER = "http://127.0.0.1:9464"
BEFORE_S = 60.0  # shown of what was before a run, and after it


@dataclass(frozen=True)
class Links:
    """The addresses of Grafana and MLflow for one home.

    `watched`: the address of Grafana is configured. `served`: that of MLflow's page is.
    """

    grafana: str = GRAFANA
    mlflow: str = MLFLOW
    tempo: str = TEMPO
    watched: bool = False
    served: bool = False
    exporter: str = EXPORTER

    @classmethod
    def of(cls, outbox: Path) -> Links:
        """The links of the home that has this outbox."""
        environment = environment_of(outbox)
        store = environment.get("MLFLOW_TRACKING_URI", "")
        mlflow = environment.get("GLASSFORMER_MLFLOW_URL") or (
            store if store.startswith(("http://", "https://")) else ""
        )
        grafana, tempo = environment.get("GLASSFORMER_GRAFANA_URL", ""), environment.get("GLASSFORMER_TEMPO_URL", "")
        exporter = environment.get("GLASSFORMER_EXPORTER_URL", "")
        shown = [
            redact((given or known).rstrip("/"))
            for given, known in ((grafana, GRAFANA), (mlflow, MLFLOW), (tempo, TEMPO), (exporter, EXPORTER))
        ]
        return cls(shown[0], shown[1], shown[2], bool(grafana), bool(mlflow), shown[3])

    def board(self, name: str, start: float | None = None, end: float | None = None, **variables: str) -> str:
        """A dashboard (`run`, `training`, `logs`, ...) with variables chosen, from `start` to `end` (s since 1970)."""
        query = {f"var-{key}": value for key, value in variables.items()}
        if start is not None:
            query |= _range(start, end)
        return f"{self.grafana}/d/glassformer-{name}?{urlencode(query)}"

    def trace(self, trace_id: str, start: float | None = None, end: float | None = None, *, span_id: str = "") -> str:
        """A trace in Grafana's Explore, opened at a span if one is named."""
        query = {
            "refId": "A",
            "datasource": {"type": "tempo", "uid": "tempo"},
            "queryType": "traceql",
            "query": trace_id,
        }
        span = {"from": "now-24h", "to": "now"} if start is None else _range(start, end)
        pane: dict[str, object] = {"datasource": "tempo", "queries": [query], "range": span}
        if span_id:
            pane["panelsState"] = {"trace": {"spanId": span_id}}
        panes = quote(json.dumps({"trace": pane}, separators=(",", ":")))
        return f"{self.grafana}/explore?schemaVersion=1&orgId=1&panes={panes}"

    def mlflow_run(self, experiment: str, run: str) -> str:
        """A run's page in MLflow."""
        return f"{self.mlflow}/#/experiments/{experiment}/runs/{run}"

    def flame_graph(self, run: str, node: str, name: str) -> str:
        """A flame graph of a step, as the exporter serves it."""
        return f"{self.exporter}/profiles/{quote(run)}/{quote(node)}/{quote(name)}.svg"

    def tags(self, run: str, trace_id: str, start: float, end: float | None = None) -> dict[str, str]:
        """Tags of an MLflow run that link to Grafana; empty without its address."""
        if not self.watched:
            return {}
        return {
            "dashboard": self.board("run", start, end, run=run),
            "logs": self.board("logs", start, end, run=run),
            "trace": self.trace(trace_id, start, end),
        }

    def as_markdown(self, run: str, trace_id: str, start: float, end: float | None = None) -> str:
        """The same as one line of Markdown; empty without Grafana's address."""
        shown = [f"[{name}]({address})" for name, address in self.tags(run, trace_id, start, end).items()]
        return f"Watch it in Grafana: {', '.join(shown)}." if shown else ""


def _range(start: float, end: float | None) -> dict[str, str]:
    """Grafana's time range around these moments; without an end, until now."""
    until = "now" if end is None else str(int(1000 * (end + BEFORE_S)))
    return {"from": str(int(1000 * (start - BEFORE_S))), "to": until}
