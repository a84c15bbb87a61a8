"""The modules of a network as a tree, with what each holds. Modules that are alike and follow each other stand once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from models.parameters import Shapes
from models.show.notes import note
from models.show.subject import Subject

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Module:
    """A module, `times` times over; `tensors` are its own, `children` the modules in it."""

    name: str
    times: int = 1
    tensors: tuple[tuple[str, Shape], ...] = ()
    children: tuple[Module, ...] = ()
    note: str = ""

    @property
    def parameters(self) -> int:
        """Numbers in it and in all that it holds, all of its times together."""
        own = sum(math.prod(shape) for _, shape in self.tensors)
        return self.times * (own + sum(child.parameters for child in self.children))

    def as_json(self) -> dict[str, Any]:
        """The tree as JSON values."""
        return {
            "name": self.name,
            "times": self.times,
            "parameters": self.parameters,
            "tensors": {name: list(shape) for name, shape in self.tensors},
            "note": self.note,
            "children": [child.as_json() for child in self.children],
        }


def tree(subject: Subject) -> Module:
    """A subject's modules; the root has no name."""
    return _describe(_fold(_nest("", subject.shapes)), subject, ())


def _nest(name: str, shapes: Shapes) -> Module:
    tensors = tuple((key, shape) for key, shape in shapes.items() if "." not in key)
    inner = dict[str, Shapes]()
    for key, shape in shapes.items():
        child, dot, rest = key.partition(".")
        if dot:
            inner.setdefault(child, {})[rest] = shape
    return Module(name, 1, tensors, tuple(_nest(child, held) for child, held in inner.items()))


def _fold(module: Module) -> Module:
    """Numbered children that are alike become one, and where all are, the module itself stands for them."""
    children = tuple(_fold(child) for child in module.children)
    if not children or not all(child.name.isdigit() for child in children):
        return replace(module, children=children)
    groups = []
    for _, alike in groupby(children, key=lambda child: replace(child, name="")):
        group = list(alike)
        name = group[0].name if len(group) == 1 else f"{group[0].name}-{group[-1].name}"
        groups.append(replace(group[0], name=name, times=len(group)))
    if len(groups) == 1 and not module.tensors:
        return replace(groups[0], name=module.name)
    return replace(module, children=tuple(groups))


def _describe(module: Module, subject: Subject, path: tuple[str, ...]) -> Module:
    here = (*path, module.name) if module.name else path
    children = tuple(_describe(child, subject, here) for child in module.children)
    return replace(module, children=children, note=note(here, subject))
