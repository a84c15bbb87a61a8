"""The differences of two networks: fields, with their meaning, and the modules whose parameters changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.config import ModelConfig
from models.show import flops as costs
from models.show.subject import Subject
from models.show.text import Style, amount, article, width, wrap
from models.show.tree import Module


@dataclass(frozen=True)
class Changed:
    """A field that differs: both values, its meaning, and each preset's remark on its value."""

    name: str
    before: Any
    after: Any
    meaning: str
    remarks: tuple[str, str]


@dataclass(frozen=True)
class Moved:
    """A module whose parameters differ; a count is None if the module does not exist."""

    path: str
    before: int | None
    after: int | None


def fields(first: Subject, second: Subject) -> list[Changed]:
    """The fields that differ, in the order of the config."""
    found = []
    for name, about in ModelConfig.model_fields.items():
        before, after = getattr(first.config, name), getattr(second.config, name)
        if name != "preset" and before != after:
            remarks = first.remarks.get(name, ""), second.remarks.get(name, "")
            found.append(Changed(name, before, after, about.description or "", remarks))
    return found


def modules(first: Module, second: Module) -> list[Moved]:
    """The lowest modules whose parameters differ, in the order of the trees."""
    before, after = dict(_leaves(first)), dict(_leaves(second))
    both = [*before, *(path for path in after if path not in before)]
    order = {path: place for place, path in enumerate(_merge(list(before), list(after)))}
    moved = [Moved(path, before.get(path), after.get(path)) for path in sorted(both, key=order.__getitem__)]
    return [one for one in moved if one.before != one.after]


def text(pair: tuple[Subject, Subject], trees: tuple[Module, Module], length: int, look: Style) -> Iterator[str]:
    """The difference for people."""
    first, second = pair
    changed = fields(first, second)
    yield f"{look.bold(first.name)}   {first.headline}"
    yield f"{look.bold(second.name)}   {second.headline}"
    yield ""
    yield from _fields(changed, pair, look)
    yield ""
    yield from _modules(modules(*trees), pair, look)
    yield from _costs(pair, length, look)


def as_json(pair: tuple[Subject, Subject], trees: tuple[Module, Module]) -> dict[str, Any]:
    """The difference for a program."""
    return {
        "first": pair[0].name,
        "second": pair[1].name,
        "fields": {
            one.name: {"first": one.before, "second": one.after, "meaning": one.meaning, "remarks": list(one.remarks)}
            for one in fields(*pair)
        },
        "parameters": {
            "first": pair[0].count,
            "second": pair[1].count,
            "modules": {one.path: {"first": one.before, "second": one.after} for one in modules(*trees)},
        },
    }


def _leaves(root: Module) -> Iterator[tuple[str, int]]:
    """Modules that have tensors of their own, with what is in these; layers are numbered together, so that 12 of them can be
    held against 22."""

    def walk(module: Module, path: tuple[str, ...], times: int) -> Iterator[tuple[str, int]]:
        here = (*path, module.name) if module.name and not module.name[:1].isdigit() else path
        own = Module(module.name, module.times, module.tensors)
        if module.tensors:
            yield ".".join(here), times * own.parameters
        for child in module.children:
            yield from walk(child, here, times * module.times)

    summed = dict[str, int]()
    for path, count in walk(root, (), 1):
        summed[path] = summed.get(path, 0) + count
    yield from summed.items()


def _merge(first: list[str], second: list[str]) -> list[str]:
    """Both lists in one that keeps the order of each as far as that can be: what is new stands after what it follows."""
    out = list(first)
    for place, name in enumerate(second):
        if name not in out:
            before = next((out.index(other) for other in reversed(second[:place]) if other in out), -1)
            out.insert(before + 1, name)
    return out


def _fields(changed: list[Changed], pair: tuple[Subject, Subject], look: Style) -> Iterator[str]:
    shared = len(ModelConfig.model_fields) - 1 - len(changed)
    yield look.bold(f"{len(changed)} choices differ, {shared} are the same")
    rows = [(one.name, _format(one.before), _format(one.after), one) for one in changed]
    sizes = [
        max([len(head), *(len(str(row[column])) for row in rows)])
        for column, head in enumerate(("", pair[0].name, pair[1].name))
    ]
    yield f"  {'':{sizes[0]}}  {pair[0].name:{sizes[1]}}  {pair[1].name:{sizes[2]}}"
    indent = sum(sizes) + 8
    for name, before, after, one in rows:
        remarks = "; ".join(f"{who.name}: {word}" for who, word in zip(pair, one.remarks, strict=True) if word)
        lines = [*wrap(one.meaning, width() - indent), *(wrap(remarks, width() - indent) if remarks else [])]
        yield f"  {name:{sizes[0]}}  {before:{sizes[1]}}  {after:{sizes[2]}}  {look.dim(lines[0])}"
        for line in lines[1:]:
            yield " " * indent + look.dim(line)


def _modules(moved: list[Moved], pair: tuple[Subject, Subject], look: Style) -> Iterator[str]:
    yield look.bold("parameters that differ") if moved else look.bold("no parameters differ")
    if not moved:
        return
    room = max(len(one.path) for one in moved)
    yield f"  {'':{room}}  {pair[0].name:>15}  {pair[1].name:>15}"
    for one in moved:
        yield f"  {one.path:{room}}  {_count(one.before):>15}  {_count(one.after):>15}  {_change(one.before, one.after)}"
    yield f"  {'in all':{room}}  {pair[0].count:>15,}  {pair[1].count:>15,}  {_change(pair[0].count, pair[1].count)}"


def _costs(pair: tuple[Subject, Subject], length: int, look: Style) -> Iterator[str]:
    sums = [costs.totals(costs.terms(one, length)) for one in pair]
    yield ""
    yield look.bold(f"FLOPs of a token, forward, in sequences of {length:,}")
    for one, total in zip(pair, sums, strict=True):
        yield f"  {one.name:22} " + ", ".join(
            f"{amount(value)} {article(kind)} {kind}" for kind, value in total.items()
        )


def _format(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "-" if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _change(before: int | None, after: int | None) -> str:
    if not before:
        return "new"
    return "gone" if after is None else f"{after / before - 1:+.1%}"
