"""A node of a pipeline: a step with its config and its inputs, read from a document and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from artifacts.errors import UserError
from artifacts.plain_yaml import Scalar, plain
from command_line import nearest
from steps.command_line import problems_in
from steps.contract import StepConfig
from steps.step import STEPS, load_step

PROBE = "<made by an earlier node>"


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
        config = self.config_with(dict.fromkeys(self.inputs, PROBE))
        return config.model_dump(mode="json", exclude=set(config.artifact_inputs()))


def config_class(step: str) -> type[StepConfig]:
    """The Config of a step; loads nothing heavier than pydantic."""
    return load_step(step).Config


def read_node(node_id: str, raw: Mapping[str, Any], others: Mapping[str, Any], problems: list[str]) -> Node | None:
    """A node, or None, with an entry among the problems, if it is invalid."""
    step = raw.get("step") or node_id
    if step not in STEPS:
        problems.append(f"unknown step {step!r}{nearest(str(step), STEPS)}")
        return None
    retries = raw.get("retries") or 0
    # A number or word of a file is read by its field, as one of `--set` is: by its text.
    config = {
        name: value.text if isinstance(value, Scalar) else plain(value)
        for name, value in (raw.get("config") or {}).items()
    }
    inputs = _node_inputs(step, raw, config, others, problems)
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 10:
        problems.append("retries must be a whole number from 0 to 10")
    # Named above where they are missing
    required = dict.fromkeys(config_class(step).required_inputs() - set(config), "")
    try:
        checked = Node(node_id, step, required | inputs, config).checked_config()
    except ValidationError as error:
        problems += problems_in(error, config_class(step))
    except UserError as error:
        problems.append(str(error))
    if problems:
        return None
    # As the field reads it: `010` is 10, whatever wrote it.
    return Node(node_id, step, inputs, {name: checked.get(name, value) for name, value in config.items()}, retries)


def _node_inputs(
    step: str, raw: Mapping[str, Any], config: Mapping[str, Any], others: Mapping[str, Any], problems: list[str]
) -> dict[str, str]:
    """The inputs of a node, each checked to be made by a node of the right kind, and that none is missing."""
    takes = config_class(step).artifact_inputs()
    inputs = _inputs(step, raw.get("inputs") or {}, problems)
    for field_name, feeder in inputs.items():
        if feeder not in others:
            problems.append(f"input {field_name}: no node {feeder!r}{nearest(str(feeder), others)}")
            continue
        made, wanted = (
            output_kind(str((others[feeder] or {}).get("step") or feeder)),
            takes[field_name.partition(".")[0]],
        )
        if made != wanted:
            problems.append(f"input {field_name} takes a {wanted}, {feeder} makes a {made}")
    fed = {name.partition(".")[0]: feeder for name, feeder in inputs.items()}
    for name in sorted(config_class(step).required_inputs() - set(raw.get("inputs") or {}) - set(config)):
        problems.append(f"input {name!r} ({takes[name]}) is not given; add `inputs: {{{name}: NODE}}`")
    for name in sorted(set(fed) & set(config)):
        problems.append(f"parameter {name}: node {fed[name]} makes it; change `inputs` to take another")
    return inputs


def _inputs(step: str, raw: Mapping[str, Any], problems: list[str]) -> dict[str, str]:
    """The inputs of a node, one entry per artifact: a list becomes `name.0`, `name.1` and so on."""
    takes, many = config_class(step).artifact_inputs(), config_class(step).inputs_with_many()
    inputs: dict[str, str] = {}
    for name, feeder in raw.items():
        if name not in takes:
            problems.append(f"step {step} has no input {name!r}{nearest(name, takes)}")
        elif not isinstance(feeder, list):
            inputs[f"{name}.0" if name in many else name] = str(feeder)
        elif name not in many:
            problems.append(f"input {name} takes one node, not a list")
        elif twice := sorted({str(each) for each in feeder if feeder.count(each) > 1}):
            problems.append(f"input {name}: {twice[0]} is in the list twice")
        else:
            inputs |= {f"{name}.{number}": str(each) for number, each in enumerate(feeder)}
    return inputs


def output_kind(step: str) -> str | None:
    """Kind of the artifact that a step makes; None for an unknown step or one that makes none."""
    return load_step(step).output if step in STEPS else None
