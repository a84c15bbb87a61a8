"""A pipeline: a graph of nodes, read from YAML and checked before anything runs.

description: What this pipeline is for
extends: docs                       # optional: another pipeline, changed by what follows
nodes:
  pretrain:                         # the node's id; its step has the same name unless `step` says otherwise
    inputs: {corpus: prepare_data, tokenizer: train_tokenizer}    # field of the step's Config: node, or [node, node]
    config: {max_updates: 2000}
    retries: 2                      # only errors that can pass are tried again
each: {finetune.seed: [1, 2, 3]}    # optional: the pipeline once for each value
gate: {latency: {p50: 1.5}}         # optional: what a version must do to become champion; see steps/promote/policy.py
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from artifacts.errors import UserError
from command_line import nearest
from pipelines import naming
from pipelines.document import FOLDER, available, read
from pipelines.nodes import PROBE, Node, config_class, output_kind, read_node
from pipelines.problems import Problems
from steps.command_line import problems_in

__all__ = ["FOLDER", "Node", "Pipeline", "available", "config_class", "load", "output_kind"]
_MOST_VARIANTS = 1000


@dataclass(frozen=True)
class Pipeline:
    """Nodes in an order in which each comes after those that feed it."""

    name: str
    description: str
    nodes: Mapping[str, Node]
    variant: Mapping[str, Any] = field(default_factory=dict)  # with `each`: the values that make this one different
    gate: Mapping[str, Any] = field(default_factory=dict)  # what a version must do to become champion

    def after(self, node: str) -> set[str]:
        """`node` and all that depends on it."""
        found = {node}
        for candidate in self.nodes.values():
            if found & set(candidate.inputs.values()):
                found.add(candidate.id)
        return found

    def before(self, node: str) -> set[str]:
        """`node` and all that it depends on."""
        found, waiting = set[str](), [node]
        while waiting:
            found.add(current := waiting.pop())
            waiting.extend(self.nodes[current].inputs.values())
        return found

    def branches(self, nodes: Iterable[str]) -> bool:
        """Whether two of these nodes could run side by side: neither is before the other."""
        before = {node: self.before(node) for node in nodes}
        return any(a not in before[b] and b not in before[a] for a, b in itertools.combinations(before, 2))

    def check_known(self, nodes: Iterable[str], option: str) -> None:
        """UserError for a name that is no node of this pipeline."""
        for name in nodes:
            if name not in self.nodes:
                raise UserError(f"{option} {name}: no such node in {self.name}{nearest(name, self.nodes)}", 2)


def load(name: str, settings: Iterable[str] = ()) -> list[Pipeline]:
    """Read a pipeline by its name or its file's path, apply `node.key=value` settings, and check all of it.

    One pipeline comes back, or with `each` one for each combination of values. UserError (exit 2) names all that is wrong,
    a line each. The value of a setting is text, which the field that takes it reads: nothing is guessed from its form.
    """
    document, problems = read(name), Problems()
    changes = [change for setting in settings if (change := _parsed_setting(setting, problems))]
    builder = _Builder(Path(name).stem, document, problems, changes)
    found = [builder.pipeline(variant) for variant in _variants(document.get("each") or {}, name)]
    problems.raise_if_any()
    return [pipeline for pipeline in found if pipeline]


def _variants(each: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(each, dict) or not all(isinstance(values, list) and values for values in each.values()):
        raise UserError(f"{name}: `each` must map node.key to a list of values", 2)
    count = math.prod(len(values) for values in each.values())
    if count > _MOST_VARIANTS:
        raise UserError(f"{name}: `each` makes {count:,} combinations; at most {_MOST_VARIANTS:,} are taken", 2)
    return [dict(zip(each, values, strict=True)) for values in itertools.product(*each.values())]


def _parsed_setting(setting: str, problems: Problems) -> tuple[str, str] | None:
    target, equals, text = setting.partition("=")
    if not equals or "." not in target:
        problems.add(f"--set {setting}: write node.key=value, for instance finetune.learning_rate=0.0001")
        return None
    return target.strip(), text


@dataclass
class _Builder:
    """Builder of the pipelines of one document, one for each variant; errors go to `problems`."""

    name: str
    document: Mapping[str, Any]
    problems: Problems
    settings: list[tuple[str, str]]
    _known: dict[str, Node | None] = field(default_factory=dict)  # variants share the nodes that are the same in each

    def pipeline(self, variant: Mapping[str, Any]) -> Pipeline | None:
        """The pipeline with these values of `each`, or None if it has a problem."""
        raw = {node_id: {**(node or {})} for node_id, node in self.document["nodes"].items() if node is not False}
        given = set(self.document["given"])
        for target, value in [*variant.items(), *self.settings]:
            node_id, _, key = target.partition(".")
            if node_id not in raw:
                self.problems.add(f"{target}: no node {node_id!r} in {self.name}{nearest(node_id, raw)}")
                continue
            raw[node_id]["config"] = {**(raw[node_id].get("config") or {}), key: value}
            given.add((node_id, key))
        naming.name_models(raw, given, self.document.get("shipped") or {})
        nodes = {node_id: self._node(node_id, node, raw) for node_id, node in raw.items()}
        if not nodes:
            self.problems.add(f"{self.name}: no nodes")
        gate = self._gate()
        whole = {node_id: node for node_id, node in nodes.items() if node}
        if self.problems:
            return None
        ordered = {node_id: whole[node_id] for node_id in _order(whole, self.name)}
        shown = {target: ordered[target.partition(".")[0]].config[target.partition(".")[2]] for target in variant}
        return Pipeline(self.name, str(self.document.get("description") or ""), ordered, shown, gate)

    def _node(self, node_id: str, raw: Mapping[str, Any], others: Mapping[str, Any]) -> Node | None:
        key = repr((node_id, raw))
        if key not in self._known:
            problems: list[str] = []
            self._known[key] = read_node(node_id, raw, others, problems)
            for problem in problems:
                self.problems.add(problem, self.name, node_id)
        return self._known[key]

    def _gate(self) -> dict[str, Any]:
        """The policy, checked by the step that follows it."""
        gate = self.document.get("gate") or {}
        config = config_class("promote")
        if not isinstance(gate, dict):
            self.problems.add(f"{self.name}: `gate` must be a mapping; see steps/promote/policy.py")
            return {}
        try:
            config.with_inputs({"version": PROBE}, gate=gate)
        except ValidationError as error:
            for problem in problems_in(error, config):
                self.problems.add(f"{self.name}: {problem}")
        return dict(gate)


def _order(nodes: Mapping[str, Node], pipeline: str) -> list[str]:
    """Topological order that keeps the file's order wherever it may (Kahn's algorithm)."""
    ordered: list[str] = []
    waiting = list(nodes)
    while waiting:
        ready = next((n for n in waiting if set(nodes[n].inputs.values()) <= set(ordered)), None)
        if ready is None:
            raise UserError(f"{pipeline}: these nodes feed each other in a circle: {', '.join(waiting)}", 2)
        ordered.append(ready)
        waiting.remove(ready)
    return ordered
