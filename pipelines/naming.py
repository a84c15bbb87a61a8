"""The name of a pipeline's model: the pipeline's, or a separate name if the source is the user's own.

`glassformer-docs` is the model of our docstrings. A model of other data under that name would be compared with it, and might
become its champion: so it is `glassformer-<source>`, unless the user has given a name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from artifacts.plain_yaml import Scalar
from pipelines.document import available

_ENDINGS = {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".txt", ".text", ".md", ".gz", ".zst"}
_LONGEST = 60  # characters
_TAKEN = {"translation"}  # used by our pipelines, in addition to their own names


def name_models(
    nodes: MutableMapping[str, dict[str, Any]], settings: Iterable[tuple[str, str]], shipped: Mapping[str, Any]
) -> None:
    """Give each node that registers a name of its own where its data are the user's and the user has given none.

    `given` are the parameters that the user has set, in a file or by `--set`; `shipped` the nodes as they come with us.
    """
    settings = set(settings)
    for node_id, node in nodes.items():
        if _step(node_id, node) != "register" or (node_id, "name") in settings:
            continue
        for feeder in _data_before(node_id, nodes):
            source = _own_source(feeder, nodes[feeder].get("config") or {}, settings)
            if source and source != _shipped_source(feeder, shipped):
                node["config"] = {**(node.get("config") or {}), "name": model_name(source)}
                break


def model_name(source: str) -> str:
    """`texts/*.csv` -> `glassformer-texts`, `hf:org/reviews` -> `glassformer-reviews`."""
    parts = [part for part in Path(source.removeprefix("hf:")).expanduser().parts if part not in ("/", ".", "..")]
    named = [part for part in parts if not set(part) & set("*?[")]
    stem = named[-1] if named else Path.cwd().name
    if stem == (parts or [""])[-1]:  # a file, and not the folder of a glob
        while Path(stem).suffix.lower() in _ENDINGS:
            stem = Path(stem).stem
    cleaned = re.sub(r"[^\w]+", "-", stem.lower())[:_LONGEST].strip("-_") or "data"
    taken = {name.replace("_", "-") for name in (*available(), *_TAKEN)}
    return f"glassformer-{'own-' if cleaned.replace('_', '-') in taken else ''}{cleaned}"


def _data_before(node: str, nodes: Mapping[str, dict[str, Any]]) -> list[str]:
    """Nodes that prepare the data of this one, the nearest first."""
    found, waiting = list[str](), [node]
    seen: set[str] = set()
    while waiting:
        current = waiting.pop(0)
        if current in seen or current not in nodes:
            continue
        seen.add(current)
        if _step(current, nodes[current]) == "prepare_data":
            found.append(current)
        feeders = (nodes[current].get("inputs") or {}).values()
        waiting += [str(each) for feeder in feeders for each in (feeder if isinstance(feeder, list) else [feeder])]
    return found


def _own_source(node: str, config: Mapping[str, Any], settings: Collection[tuple[str, str]]) -> str:
    """The source that the user has given; that of the training rows where each split has its own."""
    return next(
        (source for key in ("train", "source") if (node, key) in settings and (source := _text(config.get(key)))), ""
    )


def _shipped_source(node: str, shipped: Mapping[str, Any]) -> str:
    """The source that comes with us; of a pipeline that is all the user's own, the embedded one that a config begins with."""
    return _text(((shipped.get(node) or {}).get("config") or {}).get("source")) or "docs"


def _step(node_id: str, node: Mapping[str, Any]) -> str:
    return str(node.get("step") or node_id)


def _text(value: Any) -> str:
    return value.text if isinstance(value, Scalar) else str(value or "")
