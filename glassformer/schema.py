"""The JSON schema of pipeline files, made from the steps' Configs, so that editors complete and check them.

examples:
  glassformer schema > pipeline.schema.json
  glassformer schema --check pipelines/schema.json         exit code 1 where the file is not this schema

The first line of a pipeline file names it: `# yaml-language-server: $schema=pipeline.schema.json`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from command_line import Parser, fail
from pipelines.graph import config_class
from steps.contract import StepConfig
from steps.promote.policy import Policy
from steps.step import STEPS

Schema = dict[str, Any]


def main() -> int:
    """Print the schema, or compare a file with it. Returns the exit code."""
    parser = Parser("glassformer schema", __doc__)
    parser.add_argument("--check", type=Path, metavar="FILE", help="compare a file with the schema, and print nothing")
    file = parser.parse_args().check
    text = _as_text(schema())
    if not file:
        print(text, end="")
        return 0
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return 0
    return fail(f"{file}: out of date; write it by `glassformer schema > {file}`", 1)


def _as_text(schema: Schema) -> str:
    """JSON with a line for each definition: a change of one option is a change of one line."""
    definitions = [f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in schema["$defs"].items()]
    rest = [f" {json.dumps(name)}: {json.dumps(each)}" for name, each in schema.items() if name != "$defs"]
    return "{\n" + ",\n".join(rest) + ',\n "$defs": {\n' + ",\n".join(definitions) + "\n }\n}\n"


def schema() -> Schema:
    """A pipeline file as `pipelines/document.py` and `pipelines/nodes.py` read it."""
    definitions: Schema = {
        "nodes_by_field": {"type": "object", "additionalProperties": {"$ref": "#/$defs/feeders"}},
        "feeders": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    }
    for step in STEPS:
        config = config_class(step)
        definitions |= {f"config_{step}": _config(config, definitions), f"inputs_{step}": _inputs(config)}
        definitions[f"node_{step}"] = _node(step)
        own = {"if": {"required": ["step"]}, "then": {"$ref": "#/$defs/node"}, "else": {"$ref": f"#/$defs/node_{step}"}}
        definitions[f"named_{step}"] = _or_left_out(own)
    chosen = [{"if": _has_step(step), "then": {"$ref": f"#/$defs/node_{step}"}} for step in STEPS]
    definitions["node"] = {"allOf": chosen, **_node()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Glassformer pipeline",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "description": {"type": ["string", "null"], "description": "Purpose of the pipeline"},
            "extends": {
                "type": "string",
                "description": "A pipeline of Glassformer's, or a .yaml file next to this one",
            },
            "nodes": {
                "type": ["object", "null"],
                "description": "Each node's id with its settings; false leaves a node out",
                "properties": {step: {"$ref": f"#/$defs/named_{step}"} for step in STEPS},
                "additionalProperties": _or_left_out({"$ref": "#/$defs/node"}),
                "propertyNames": {"pattern": r"^[A-Za-z_]\w*$"},
            },
            "each": {
                "type": ["object", "null"],
                "description": "The pipeline once for each value of node.key",
                "patternProperties": {r"^\w+\.\w+$": {"type": "array", "minItems": 1}},
                "additionalProperties": False,
            },
            "gate": {"anyOf": [_plain(Policy.model_json_schema(), definitions), {"type": "null"}]},
        },
        "$defs": definitions,
    }


def _node(step: str = "") -> Schema:
    """Schema of one step's config; of any step if it is not named, as a file that it extends may name it."""
    config, inputs = (f"#/$defs/config_{step}", f"#/$defs/inputs_{step}") if step else ("", "#/$defs/nodes_by_field")
    return {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "step": {"enum": list(STEPS), "description": "Step that the node runs; default: the one of its name"},
            "inputs": {"$ref": inputs},
            "config": {"$ref": config} if config else {"type": ["object", "null"]},
            "retries": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": 10,
                "description": "Tries after a temporary error",
            },
        },
    }


def _has_step(step: str) -> Schema:
    return {"type": "object", "required": ["step"], "properties": {"step": {"const": step}}}


def _or_left_out(node: Schema) -> Schema:
    return {"if": {"type": "boolean"}, "then": {"const": False}, "else": node}


def _inputs(config: type[StepConfig]) -> Schema:
    feeders = {
        name: {"description": f"{config.model_fields[name].description} ({kind})", "$ref": "#/$defs/feeders"}
        for name, kind in config.artifact_inputs().items()
    }
    return {"type": ["object", "null"], "properties": feeders, "additionalProperties": False}


def _config(config: type[StepConfig], definitions: Schema) -> Schema:
    return {**_plain(config.model_json_schema(), definitions), "type": ["object", "null"]}


def _plain(schema: Schema, definitions: Schema) -> Schema:
    """pydantic's schema as a file may have it: nothing is required, and a value is read by its text."""
    definitions |= {name: _read_by_text(each) for name, each in schema.get("$defs", {}).items()}
    fields = {name: _read_by_text(field) for name, field in schema["properties"].items()}
    return {"type": "object", "properties": fields, "additionalProperties": False}


def _read_by_text(field: Schema) -> Schema:
    """The schema of one field, wide enough for each way to write its value.

    Numbers are words of a text field, and a list or mapping may be written as text.
    """
    if "properties" in field:  # a model within a model
        return {**field, "properties": {name: _read_by_text(each) for name, each in field["properties"].items()}}
    kept = {
        name: value for name, value in field.items() if name not in ("title", "artifact", "many", "module", "preset")
    }
    if "anyOf" in field:
        return {**kept, "anyOf": [_read_by_text(each) for each in field["anyOf"]]}
    kind = field.get("type")
    if kind == "string" and "enum" not in field and "pattern" not in field:
        return {**kept, "type": ["string", "number", "boolean"]}
    if kind in ("array", "object", "boolean"):
        return {**kept, "type": [kind, "string"]}
    return kept


if __name__ == "__main__":
    sys.exit(main())
