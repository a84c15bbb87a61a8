"""Docstrings of functions that take arguments, with the places that speak of them; the signature is what says so.

    PARAMETER   the name of a parameter of the function's own
    TYPE        what an entry gives as its type, or a marked mention of what the signature has as its annotation
    VALUE       the parameter's own default value, within its entry, or as `name=value`

Whole words alone. A name that could be any word (`axis`, `x`) counts only where it stands out: as the head of an entry, in
backticks or asterisks, before `=`; one with an underscore or a digit counts anywhere in prose. Examples (`>>>`) are left
alone. A docstring in which nothing is found is left out: its style may be one that is not read here, and it would teach that
parameters are to be overlooked.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steps.prepare_data import docstrings
from steps.prepare_data.entries import Entry, entries
from steps.prepare_data.rows import Row
from steps.prepare_data.spans import Span, dump_spans

if TYPE_CHECKING:
    from telemetry import Observe

PARAMETER, TYPE, VALUE = "PARAMETER", "TYPE", "VALUE"

_OWN = {"self", "cls", "mcs"}
_TELLING = re.compile(r"(?=\w{3,}$)(?=.*[a-zA-Z].*[_0-9]|.*[_0-9].*[a-zA-Z])\w+$")  # names that are no ordinary words
_WRITTEN = r"""(?:'[^'\n]{0,40}'|"[^"\n]{0,40}"|-?\d[\w.+-]*\w|-?\d|[A-Za-z_][\w.]*\w|[A-Za-z_]|\(\)|\[\]|\{\})"""
_DEFAULT = re.compile(rf"\b[Dd]efaults?(?:\s+(?:value|is|to|of))*\s*[:=]?\s*\(?(`{{0,2}})({_WRITTEN})\1")
_STANDS_OUT = re.compile(rf"(?<![\w`])(`{{1,2}})({_WRITTEN})\1(?!`)")
_LITERAL = re.compile(r"(?<![\w.`'\"])(None|True|False)(?![\w`'\"])")
_MARKED = re.compile(r"(?<![\w`:*])(`{1,2}|\*)(\*{0,2})(\w+)\1(?![\w`*])|:(?:paramref|param|arg):`(\*{0,2})(\w+)`")
_ASSIGNED = re.compile(rf"(?<![\w.])(\w+)\s?=(?!=)\s?(`{{0,2}})({_WRITTEN})?")
_WORD = re.compile(r"(?<![\w.`'\"/\\-])\w+(?![\w(`'\"/-])")
_TYPED = re.compile(r":(?:class|obj|exc|data):`~?((?:\w+\.)*\w+)`|(?<![\w`:])(`{1,2})((?:\w+\.)*\w+)\2(?!`)")
_EXAMPLE = re.compile(r"^[ \t]*>>> .*(?:\n[ \t]*\S.*)*", re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """A parameter's default and annotation in the source; None if it has none."""

    default: ast.expr | None = None
    annotation: ast.expr | None = None


def read(chosen: str, workers: int, observe: Observe) -> Iterator[Row]:
    """Every docstring with a mention, in the order of library, file and line, whatever the number of workers.

    Groups are those of the source `docs`: with the same seed and shares a module is in the same split of both.
    """
    for _, file, found in docstrings.of_files(functions_with_mentions, chosen, workers, observe):
        for name, line, text, spans in found:
            yield Row(f"{file}:{line}:{name}", text, None, file, spans=spans)


def functions_with_mentions(path: str) -> list[tuple[str, int, str, str]]:
    """Qualified name, line, docstring and spans of each function of a file that has some; a class's are its `__init__`'s."""
    tree = docstrings.parse_file(path)
    found = []
    for name, node, text in docstrings.walk_docstrings(tree, "") if tree else []:
        parameters = parameters_of(node)
        spans = mentions(text, parameters) if parameters else []
        if spans:
            found.append((name, getattr(node, "lineno", 1), text, dump_spans(spans)))
    return found


def parameters_of(node: ast.AST) -> dict[str, Parameter]:
    """The parameters of a function, or of a class's `__init__`, by name."""
    if isinstance(node, ast.ClassDef):
        node = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), node)
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return {}
    arguments = node.args
    placed = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [*[None] * (len(placed) - len(arguments.defaults)), *arguments.defaults]
    every = [*zip(placed, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    every += [(more, None) for more in (arguments.vararg, arguments.kwarg) if more is not None]
    return {one.arg: Parameter(default, one.annotation) for one, default in every if one.arg not in _OWN}


def mentions(text: str, parameters: Mapping[str, Parameter]) -> list[Span]:
    """The places of a docstring that speak of these parameters, sorted; none of them overlaps another."""
    marks = _Marks(text)
    described = [entry for entry in entries(text) if any(name in parameters for name in entry.names)]
    for entry in described:
        for name, place in entry.names.items():
            if name in parameters:
                marks.add(place, place + len(name), PARAMETER)
        if entry.type:
            marks.add(*entry.type, TYPE)
    for entry in described:
        _mark_values(marks, entry, parameters)
    _mark_names(marks, parameters)
    _mark_types(marks, parameters)
    return sorted(marks.spans)


class _Marks:
    """Spans of a text; a place that is taken, or in an example, is taken no second time."""

    def __init__(self, text: str) -> None:
        self.text, self.spans = text, list[Span]()
        self._taken = bytearray(len(text))
        for example in _EXAMPLE.finditer(text):
            self._take(*example.span())

    def add(self, start: int, end: int, kind: str) -> None:
        if start < end and not any(self._taken[start:end]):
            self._take(start, end)
            self.spans.append((start, end, kind))

    def _take(self, start: int, end: int) -> None:
        self._taken[start:end] = b"\1" * (end - start)


def _mark_values(marks: _Marks, entry: Entry, parameters: Mapping[str, Parameter]) -> None:
    """The default values of an entry's parameters, after the word default, in backticks or quotes, or as a literal."""
    defaults = [parameters[name].default for name in entry.names if name in parameters]
    for pattern in (_DEFAULT, _STANDS_OUT, _LITERAL):
        for found in pattern.finditer(marks.text, *entry.body):
            _mark_value(marks, found.start(pattern.groups), found[pattern.groups], defaults)


def _mark_value(marks: _Marks, start: int, token: str, defaults: list[ast.expr | None]) -> None:
    token = token.rstrip(".")
    if any(default is not None and is_same(token, default) for default in defaults):
        quoted = len(token) > 2 and token[0] in "'\""
        if token.strip("'\" "):
            marks.add(start + quoted, start + len(token) - quoted, VALUE)


def is_same(token: str, default: ast.expr) -> bool:
    """Whether a word of a docstring says this default: `1e-3` is 0.001, but `1` is not True."""
    try:
        meant = ast.literal_eval(default)
    except (ValueError, SyntaxError, TypeError):
        return token == ast.unparse(default)
    if isinstance(meant, str):
        return token == meant or (token[:1] in "'\"" and token[1:-1] == meant)
    try:
        value = ast.literal_eval(token)
    except (ValueError, SyntaxError):
        return False
    number = (int, float)
    alike = type(value) is type(meant) or (type(value) in number and type(meant) in number)
    return alike and bool(value == meant)


def _mark_names(marks: _Marks, parameters: Mapping[str, Parameter]) -> None:
    for found in _MARKED.finditer(marks.text):
        number = 3 if found[3] else 5
        if found[number] in parameters:
            marks.add(*found.span(number), PARAMETER)
    for found in _ASSIGNED.finditer(marks.text):
        if found[1] in parameters and len(found[1]) > 1:
            marks.add(*found.span(1), PARAMETER)
            if found[3]:
                _mark_value(marks, found.start(3), found[3], [parameters[found[1]].default])
    for found in _WORD.finditer(marks.text):
        if found[0] in parameters and _TELLING.match(found[0]):
            marks.add(*found.span(), PARAMETER)


def _mark_types(marks: _Marks, parameters: Mapping[str, Parameter]) -> None:
    names = {name for parameter in parameters.values() for name in _names_in(parameter.annotation)}
    for found in _TYPED.finditer(marks.text) if names else ():
        number = 1 if found[1] else 3
        if found[number].rpartition(".")[2] in names:
            marks.add(*found.span(number), TYPE)


def _names_in(annotation: ast.expr | None) -> set[str]:
    """The types that an annotation names; `from __future__` or not, some are written as strings."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except (SyntaxError, ValueError):
            return set()
    nodes = ast.walk(annotation) if annotation is not None else ()
    return {n.attr if isinstance(n, ast.Attribute) else n.id for n in nodes if isinstance(n, ast.Attribute | ast.Name)}
