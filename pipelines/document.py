"""A pipeline's file: read within bounds, merged with what it `extends`, and checked for its form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artifacts import plain_yaml
from artifacts.errors import UserError
from artifacts.home import CHECKOUT
from command_line import nearest

FOLDER = CHECKOUT / "pipelines"
_NODE_KEYS = ("step", "inputs", "config", "retries")
_PIPELINE_KEYS = ("description", "extends", "nodes", "each", "gate")
_MOST_NODES = 300
_LONGEST_CHAIN = 20  # files, each of which extends the next


def available() -> list[str]:
    """Names of the pipelines in `pipelines/`."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """The document of a pipeline, by its name or its file's path. UserError (exit 2) names the problem.

    Numbers and booleans of `config` and `each` are `plain_yaml.Scalar`s: a field of text takes them as they stand. Two more
    keys say where a config comes from: `given` (the parameters that a file of the user's gives, as (node, name)) and
    `shipped` (the nodes as the pipeline of ours that is extended has them).
    """
    return _read(name, ())


def _read(name: str, seen: tuple[Path, ...]) -> dict[str, Any]:
    path = _path(name)
    if path in seen:
        raise UserError(f"{path}: `extends` goes round in a circle: {' -> '.join(p.stem for p in (*seen, path))}", 2)
    if len(seen) >= _LONGEST_CHAIN:
        raise UserError(f"{path}: more than {_LONGEST_CHAIN} files that extend one another", 2)
    document = _check(_parse(path), path)
    base = document.get("extends")
    merged = _merge(_read(str(_next_to(path, base)), (*seen, path)), document) if base else document
    if path.parent == FOLDER:
        return {**merged, "given": set(), "shipped": merged["nodes"]}
    here = {(node_id, name) for node_id, node in document["nodes"].items() for name in (node or {}).get("config") or {}}
    return {**merged, "given": merged.get("given", set()) | here}


def _path(name: str) -> Path:
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    try:
        if path.is_file():
            return path.resolve()
    except (OSError, ValueError):
        pass  # a name that no file can have
    what = f"{path}: no such file" if path.parent != FOLDER else f"no pipeline {name!r}{nearest(name, available())}"
    raise UserError(f"{what} (or give the path of a .yaml file)", 2)


def _parse(path: Path) -> Any:
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(plain_yaml.LONGEST + 1)
        return plain_yaml.load(text, written=True)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", 2) from None
    except (plain_yaml.YamlError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML: {error}", 2) from None


def _check(document: Any, path: Path) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise UserError(f"{path}: empty, or not a mapping; a pipeline has `nodes:`", 2)
    _check_keys(document, _PIPELINE_KEYS, str(path))
    nodes, base = document.get("nodes") or {}, document.get("extends") or ""
    if not isinstance(nodes, dict):
        raise UserError(f"{path}: `nodes` must map each node's id to its settings", 2)
    if len(nodes) > _MOST_NODES:
        raise UserError(f"{path}: {len(nodes)} nodes; at most {_MOST_NODES} are taken", 2)
    if not isinstance(base, str):
        raise UserError(f"{path}: `extends` must be a pipeline's name, or the path of a .yaml file", 2)
    return {
        **{key: plain_yaml.plain(value) for key, value in document.items() if key not in ("nodes", "each")},
        **({"each": document["each"]} if "each" in document else {}),
        "nodes": {node_id: _checked_node(node_id, node, path) for node_id, node in nodes.items()},
    }


def _checked_node(node_id: str, node: Any, path: Path) -> Any:
    """The node with its config as it stands; False to leave it out."""
    place = f"{path}: node {node_id!r}"
    if not node_id.isidentifier():
        raise UserError(f"{place}: an id is made of letters, digits and _", 2)
    if node is None or plain_yaml.plain(node) is False:
        return None if node is None else False
    if not isinstance(node, dict):
        raise UserError(f"{place}: must be a mapping with {', '.join(_NODE_KEYS)}, or false to leave it out", 2)
    _check_keys(node, _NODE_KEYS, place)
    for key in ("inputs", "config"):
        if not isinstance(node.get(key) or {}, dict):
            raise UserError(f"{place}: `{key}` must be a mapping", 2)
    return {key: value if key == "config" else plain_yaml.plain(value) for key, value in node.items()}


def _check_keys(found: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in found:
        if key not in known:
            raise UserError(f"{place}: unknown key {key!r}{nearest(key, known)}", 2)


def _next_to(path: Path, base: str) -> str | Path:
    """`extends` names a pipeline of ours, or a file in the folder of the one that names it."""
    return path.parent / base if base.endswith((".yaml", ".yml")) else base


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nodes = dict(base["nodes"])
    for node_id, change in changes["nodes"].items():
        if change is False:
            nodes.pop(node_id, None)
            continue
        old, new = nodes.get(node_id) or {}, change or {}
        nodes[node_id] = {
            **old,
            **new,
            **{key: {**(old.get(key) or {}), **(new.get(key) or {})} for key in ("inputs", "config")},
        }
    gate = {} if changes.get("gate") is None else changes["gate"]
    if not isinstance(gate, dict):
        return {**base, **changes, "nodes": nodes}  # refused when the gate is checked
    return {**base, **changes, "nodes": nodes, "gate": {**(base.get("gate") or {}), **gate}}
