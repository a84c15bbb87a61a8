"""The last run of each node of a pipeline: the reference for a plan's reasons and times.

Nodes are shared: `search` takes its tokenizer from the cache where `docs` has made it. So a pipeline's last use of a node is
read from its runs, which name the record that they made or took; what another pipeline did with a node of the same name says
nothing about this one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from artifacts.runs import newest_first
from artifacts.store import Store
from pipelines.graph import Node

_MOST_RUNS = 500  # files that are read at most


@dataclass
class History:
    """The history of one pipeline."""

    store: Store
    pipeline: str
    _fingerprints: dict[str, str] | None = None  # node -> that of its last use
    _records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def last(self, node: Node) -> dict[str, Any] | None:
        """The record of a node's last use in this pipeline; or None if it never ran in it."""
        if self._fingerprints is None:
            self._fingerprints = self._read()
        if (known := self._fingerprints.get(node.id)) and (record := self.store.record(node.step, known)):
            return record
        if node.step not in self._records:
            self._records[node.step] = self.store.records(node.step)
        own = [
            record
            for record in self._records[node.step]
            if record.get("node") == node.id and record.get("pipeline") == self.pipeline and "parts" in record
        ]
        return own[-1] if own else None

    def _read(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for run in newest_first(self.store.root, _MOST_RUNS):
            for node, state in run.nodes.items() if run.pipeline == self.pipeline else ():
                if state.get("fingerprint"):
                    found.setdefault(node, state["fingerprint"])
        return found
