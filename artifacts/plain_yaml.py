"""YAML as people mean it: the core schema of YAML 1.2, within bounds.

`no`, `on`, `12:30` and `2024-01-31` are text, `010` is ten, and only `true`, `false`, `null` and decimal numbers are anything
else. A key is text and stands once in its mapping. A file that is too long, too deep or that grows by its aliases (the
"billion laughs") is refused before anything is built of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import yaml

LONGEST = 256 * 1024  # characters; a pipeline is a page
DEEPEST = 40
MOST = 20_000  # values, aliases written out

_SCALARS = {
    "null": re.compile(r"(?:~|null|Null|NULL|)\Z"),
    "bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"),
    "int": re.compile(r"[-+]?[0-9]+\Z"),
    "float": re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"),
}
_TAG = "tag:yaml.org,2002:"


class YamlError(ValueError):
    """Text that is no YAML, or not of the kind that is read here: one line with the place."""


@dataclass(frozen=True)
class Scalar:
    """A number or boolean, with the text that stands in the file."""

    text: str
    value: bool | int | float


def load(text: str, *, written: bool = False) -> Any:
    """The value that a text holds. With `written`, numbers and booleans are `Scalar`s, which keep their text."""
    _check(text)
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - builds nothing but text, numbers, lists and mappings
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(_line(error)) from None
    return value if written else plain(value)


def plain(value: Any) -> Any:
    """A value without the texts that `written` kept."""
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


@dataclass
class _Open:
    """A list or mapping whose end has not come yet."""

    anchor: str | None
    mapping: bool
    size: int = 1
    count: int = 0  # of its children
    keys: set[str] = field(default_factory=set)


def _check(text: str) -> None:
    """Refuse documents that are too large, refer to themselves, or have keys that are not text or are repeated."""
    if len(text) > LONGEST:
        raise YamlError(f"longer than {LONGEST // 1024} kB")
    sizes: dict[str, int] = {}
    stack = [_Open(None, mapping=False)]
    try:
        for event in yaml.parse(text, Loader=_Loader):
            place = f"line {event.start_mark.line + 1 if event.start_mark else 1}"
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                _child(stack[-1], event, place)
                stack.append(_Open(event.anchor, isinstance(event, yaml.MappingStartEvent)))
                if len(stack) > DEEPEST:
                    raise YamlError(f"{place}: nested more than {DEEPEST} deep")
                continue
            if isinstance(event, yaml.ScalarEvent):
                _child(stack[-1], event, place)
                size, anchor = 1, event.anchor
            elif isinstance(event, yaml.AliasEvent):
                _child(stack[-1], event, place)
                size, anchor = sizes.get(str(event.anchor), 1), None
                if any(each.anchor == event.anchor for each in stack):
                    raise YamlError(f"{place}: *{event.anchor} refers to a part that contains it")
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                closed = stack.pop()
                size, anchor = closed.size, closed.anchor
            elif isinstance(event, yaml.DocumentStartEvent) and stack[0].count:
                raise YamlError(f"{place}: a second document; one is read")
            else:
                continue
            if anchor:
                sizes[anchor] = size
            stack[-1].size += size
            if stack[-1].size > MOST:
                raise YamlError(f"{place}: more than {MOST:,} values, aliases written out")
    except (yaml.YAMLError, RecursionError) as error:
        raise YamlError(_line(error)) from None


def _child(parent: _Open, event: yaml.Event, place: str) -> None:
    parent.count += 1
    if not parent.mapping or parent.count % 2 == 0:
        return
    if not isinstance(event, yaml.ScalarEvent):
        raise YamlError(f"{place}: a key must be text")
    if event.implicit[0] and any(kind.match(event.value) for kind in _SCALARS.values()):
        raise YamlError(
            f"{place}: the key {event.value or '(empty)'} is no text; put it in quotes if it is meant as text"
        )
    if event.value in parent.keys:
        raise YamlError(f"{place}: the key {event.value!r} stands twice in one mapping")
    parent.keys.add(event.value)


def _line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or str(error)
    return " ".join(f"{f'line {mark.line + 1}: ' if mark else ''}{problem}".split())[:300]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the same, written in C where there is one
    """Text, decimal numbers, booleans, null, lists, mappings and `<<`; no other tag."""

    yaml_implicit_resolvers: dict[str | None, list[tuple[str, Any]]] = {}  # noqa: RUF012 - of PyYAML's own form
    yaml_constructors: dict[str | None, Any] = {}  # noqa: RUF012

    def number(self, node: yaml.ScalarNode) -> Scalar:
        """A number or boolean, whose tag may stand before it as well (`!!int 5`)."""
        kind = node.tag.removeprefix(_TAG)
        if not _SCALARS[kind].match(node.value):
            raise YamlError(f"line {node.start_mark.line + 1}: {node.value!r} is no {kind}")
        value = (
            node.value.lower() == "true" if kind == "bool" else int(node.value) if kind == "int" else float(node.value)
        )
        if not isfinite(value):
            raise YamlError(f"line {node.start_mark.line + 1}: {node.value} is beyond the numbers that there are")
        return Scalar(node.value, value)


for _kind, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", _pattern, None)
_Loader.add_implicit_resolver(f"{_TAG}merge", re.compile(r"<<\Z"), ["<"])
for _kind in ("bool", "int", "float"):
    _Loader.add_constructor(f"{_TAG}{_kind}", _Loader.number)
for _kind in ("null", "str", "seq", "map"):
    _Loader.add_constructor(f"{_TAG}{_kind}", yaml.SafeLoader.yaml_constructors[f"{_TAG}{_kind}"])
_Loader.add_constructor(None, yaml.SafeLoader.construct_undefined)
