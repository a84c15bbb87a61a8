"""A pipeline: a graph of nodes, read from YAML and checked before anything runs.

description: What this pipeline is for
extends: docs                       # optional: another pipeline, changed by what follows
nodes:
  pretrain:                         # the node's id; its step has the same name unless `step` says otherwise
    inputs: {corpus: prepare_data, tokenizer: train_tokenizer}    # field of the step's Config: node, or [node, node]
    config: {max_updates: 2000}
    retries: 2                      # only errors that can pass are tried again
each: {finetune.seed: [1, 2, 3]}    # optional: the pipeline once for each value
gate: {latency: {p50: 1.5}}         # optional: what a version must do to become champion; see steps/gate/policy.py
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from artifacts.home import CHECKOUT
from steps.command_line import nearest, problem_in
from steps.contract import STEPS, StepConfig, UserError

FOLDER = CHECKOUT / "pipelines"
_NODE_KEYS = ("step", "inputs", "config", "retries")
_PIPELINE_KEYS = ("description", "extends", "nodes", "each", "gate")
_PROBE = "<made by an earlier node>"


@dataclass(frozen=True)
class Node:
    """A named use of a step: which nodes feed it, and its config without the inputs.

    An input that takes many has an entry for each: `rivals.0`, `rivals.1`.
    """

    id: str
    step: str
    inputs: Mapping[str, str]
    config: Mapping[str, Any]
    retries: int = 0

    def config_with(self, inputs: Mapping[str, str]) -> StepConfig:
        """The step's Config, its artifact fields filled with these paths."""
        return config_class(self.step).with_inputs(inputs, **self.config)

    def checked_config(self) -> dict[str, Any]:
        """Every parameter with its value (defaults and resolved values too), but for the artifact inputs."""
        config = self.config_with(dict.fromkeys(self.inputs, _PROBE))
        return config.model_dump(mode="json", exclude=set(config.artifact_inputs()))


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

    def check_known(self, nodes: Iterable[str], option: str) -> None:
        """UserError for a name that is no node of this pipeline."""
        for name in nodes:
            if name not in self.nodes:
                raise UserError(f"{option} {name}: no such node in {self.name}{nearest(name, self.nodes)}", 2)


def available() -> list[str]:
    """Names of the pipelines in `pipelines/`."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str, settings: Iterable[str] = ()) -> list[Pipeline]:
    """Read a pipeline by its name or its file's path, apply `node.key=value` settings, and check all of it.

    One pipeline comes back, or with `each` one for each combination of values. UserError (exit 2) names what is wrong.
    """
    document = _document(name, seen=())
    label = Path(name).stem
    changes = [_parsed_setting(setting) for setting in settings]
    return [_pipeline(label, document, variant, changes) for variant in _variants(document.get("each") or {}, name)]


def config_class(step: str) -> type[StepConfig]:
    """The Config of a step; loads nothing heavier than pydantic."""
    config: type[StepConfig] = importlib.import_module(f"steps.{step}").Config
    return config


def _path(name: str) -> Path:
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        what = f"{path}: no such file" if path.parent != FOLDER else f"no pipeline {name!r}{nearest(name, available())}"
        raise UserError(f"{what} (or give the path of a .yaml file)", 2)
    return path


def _document(name: str, seen: tuple[Path, ...]) -> dict[str, Any]:
    path = _path(name).resolve()
    if path in seen:
        raise UserError(f"{path}: `extends` goes round in a circle: {' -> '.join(p.stem for p in (*seen, path))}", 2)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}", 2) from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: empty, or not a mapping; a pipeline has `nodes:`", 2)
    _check_keys(document, _PIPELINE_KEYS, str(path))
    nodes = document.get("nodes") or {}
    if not isinstance(nodes, dict):
        raise UserError(f"{path}: `nodes` must map each node's id to its settings", 2)
    for node_id, node in nodes.items():
        if node is not None:
            _check_node(node_id, node, path)
    base = document.get("extends")
    return _merged(_document(str(_beside(path, base)), (*seen, path)), document) if base else document


def _beside(path: Path, base: str) -> str | Path:
    """`extends` names a pipeline of ours, or a file beside the one that names it."""
    return (path.parent / base).resolve() if base.endswith((".yaml", ".yml")) else base


def _check_node(node_id: Any, node: Any, path: Path) -> None:
    place = f"{path}: node {node_id!r}"
    if not isinstance(node_id, str) or not node_id.isidentifier():
        raise UserError(f"{place}: an id is made of letters, digits and _", 2)
    if node is False:
        return
    if not isinstance(node, dict):
        raise UserError(f"{place}: must be a mapping with {', '.join(_NODE_KEYS)}, or false to leave it out", 2)
    _check_keys(node, _NODE_KEYS, place)
    for key in ("inputs", "config"):
        if not isinstance(node.get(key) or {}, dict):
            raise UserError(f"{place}: `{key}` must be a mapping", 2)


def _check_keys(found: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in found:
        if key not in known:
            raise UserError(f"{place}: unknown key {key!r}{nearest(str(key), known)}", 2)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nodes = dict(base.get("nodes") or {})
    for node_id, change in (changes.get("nodes") or {}).items():
        if change is False:
            nodes.pop(node_id, None)
            continue
        old, new = nodes.get(node_id) or {}, change or {}
        nodes[node_id] = {**old, **new, **{
            key: {**(old.get(key) or {}), **(new.get(key) or {})} for key in ("inputs", "config")
        }}  # fmt: skip
    return {**base, **changes, "nodes": nodes, "gate": {**(base.get("gate") or {}), **(changes.get("gate") or {})}}


def _variants(each: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(each, dict) or not all(isinstance(values, list) and values for values in each.values()):
        raise UserError(f"{name}: `each` must map node.key to a list of values", 2)
    return [dict(zip(each, values, strict=True)) for values in itertools.product(*each.values())]


def _parsed_setting(setting: str) -> tuple[str, Any]:
    target, equals, text = setting.partition("=")
    if not equals or "." not in target:
        raise UserError(f"--set {setting}: write node.key=value, for instance finetune.learning_rate=0.0001", 2)
    try:
        return target.strip(), yaml.safe_load(text) if text.strip() else ""
    except yaml.YAMLError:
        return target.strip(), text


def _pipeline(
    name: str, document: Mapping[str, Any], variant: Mapping[str, Any], settings: list[tuple[str, Any]]
) -> Pipeline:
    raw = {node_id: {**(node or {})} for node_id, node in (document.get("nodes") or {}).items() if node is not False}
    for target, value in [*variant.items(), *settings]:
        node_id, _, key = target.partition(".")
        if node_id not in raw:
            raise UserError(f"{target}: no node {node_id!r} in {name}{nearest(node_id, raw)}", 2)
        raw[node_id]["config"] = {**(raw[node_id].get("config") or {}), key: value}
    nodes = {node_id: _node(node_id, node, raw, name) for node_id, node in raw.items()}
    if not nodes:
        raise UserError(f"{name}: no nodes", 2)
    ordered = {node_id: nodes[node_id] for node_id in _order(nodes, name)}
    return Pipeline(name, str(document.get("description") or ""), ordered, variant, _gate(document, name))


def _node(node_id: str, raw: Mapping[str, Any], others: Mapping[str, Any], pipeline: str) -> Node:
    place = f"{pipeline}: node {node_id!r}"
    step = raw.get("step") or node_id
    if step not in STEPS:
        raise UserError(f"{place}: unknown step {step!r}{nearest(str(step), STEPS)}", 2)
    config, retries = dict(raw.get("config") or {}), raw.get("retries") or 0
    takes = config_class(step).artifact_inputs()
    inputs = _inputs(step, raw.get("inputs") or {}, place)
    for field_name, feeder in inputs.items():
        if feeder not in others:
            raise UserError(f"{place}: input {field_name}: no node {feeder!r}{nearest(str(feeder), others)}", 2)
        made, wanted = output_kind(str(others[feeder].get("step") or feeder)), takes[field_name.partition(".")[0]]
        if made != wanted:
            raise UserError(f"{place}: input {field_name} takes a {wanted}, {feeder} makes a {made}", 2)
    for missing in sorted(config_class(step).required_inputs() - set(inputs) - set(config)):
        raise UserError(
            f"{place}: input {missing!r} ({takes[missing]}) is not given; add `inputs: {{{missing}: NODE}}`", 2
        )
    if not isinstance(retries, int) or not 0 <= retries <= 10:
        raise UserError(f"{place}: retries must be a whole number from 0 to 10", 2)
    node = Node(node_id, step, inputs, config, retries)
    try:
        node.checked_config()
    except ValidationError as error:
        raise UserError(f"{place}: {problem_in(error, config_class(step))}", 2) from None
    return node


def _gate(document: Mapping[str, Any], pipeline: str) -> dict[str, Any]:
    """The policy, checked by the step that follows it."""
    given = document.get("gate") or {}
    if not isinstance(given, dict):
        raise UserError(f"{pipeline}: `gate` must be a mapping; see steps/gate/policy.py", 2)
    config = config_class("promote")
    try:
        config.with_inputs({"version": _PROBE}, gate=given)
    except ValidationError as error:
        raise UserError(f"{pipeline}: {problem_in(error, config)}", 2) from None
    return dict(given)


def _inputs(step: str, raw: Mapping[str, Any], place: str) -> dict[str, str]:
    """What feeds a node, one entry an artifact: a list becomes `name.0`, `name.1` and so on."""
    takes, many = config_class(step).artifact_inputs(), config_class(step).inputs_with_many()
    inputs: dict[str, str] = {}
    for name, feeder in raw.items():
        if name not in takes:
            raise UserError(f"{place}: step {step} has no input {name!r}{nearest(name, takes)}", 2)
        if not isinstance(feeder, list):
            inputs[f"{name}.0" if name in many else name] = str(feeder)
            continue
        if name not in many:
            raise UserError(f"{place}: input {name} takes one node, not a list", 2)
        if twice := sorted({str(each) for each in feeder if feeder.count(each) > 1}):
            raise UserError(f"{place}: input {name}: {twice[0]} is in the list twice", 2)
        inputs |= {f"{name}.{number}": str(each) for number, each in enumerate(feeder)}
    return inputs


def output_kind(step: str) -> str | None:
    """Kind of the artifact that a step makes; None for an unknown step or one that makes none."""
    return getattr(importlib.import_module(f"steps.{step}"), "OUTPUT", None) if step in STEPS else None


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
