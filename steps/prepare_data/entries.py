"""Entries of a docstring: where it describes one parameter after another, in one of the three usual styles.

numpydoc   Parameters        Google   Args:                  Sphinx   :param int axis: ...
           ----------                     axis (int): ...              :type axis: int
           axis : int
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_SECTION = re.compile(r"([ \t]*)(?:Other |Keyword )?(?:Parameters|Arguments|Args|Params)[ \t]*(:?)[ \t]*$")
_UNDERLINE = re.compile(r"[ \t]*[-=]{3,}[ \t]*$")
_NAMES = r"(?P<names>[`*]{0,4}[A-Za-z_]\w*`{0,2}(?:,[ \t]*[`*]{0,4}[A-Za-z_]\w*`{0,2})*)"
_NUMPYDOC = re.compile(rf"[ \t]*{_NAMES}[ \t]*(?::[ \t]*(?P<type>.*))?$")
_GOOGLE = re.compile(rf"[ \t]*{_NAMES}[ \t]*(?:\((?P<type>[^()]*(?:\([^()]*\)[^()]*)*)\))?[ \t]*:(?=[ \t]|$)")
_FIELD = re.compile(
    r"[ \t]*:(?:(?:param|parameter|arg|argument|key|keyword|kwarg)[ \t]+(?:(?P<type>[^:\n]+?)[ \t]+)?|(?P<typed>type)[ \t]+)"
    r"(?P<names>[*\\]{0,4}\w+)[ \t]*:[ \t]*(?P<rest>.*)$"
)
_ALONE = re.compile(
    r"(?:(?:str|int|float|bool|bytes|dict|list|(?:List|Dict|Iterator)\[.+\]|:class:`\w+`)(?: \(optional\))?)$"
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_TYPE_ENDS = re.compile(
    r"[,;.]?[ \t]*[(\[]?\b(?:optional|required|defaults?|keyword|positional|shape=)\b.*", re.IGNORECASE
)
_MARKUP = re.compile(r"[ \t`*]*(?::(?:\w+:)+`)?~?[.]?")  # in front of a type
_LONGEST_TYPE = 60  # characters; more is a sentence

Line = tuple[int, str]


@dataclass(frozen=True)
class Entry:
    """The names it is about, each with its place; where the type stands, if it gives one; from where to where it goes."""

    names: dict[str, int]
    type: tuple[int, int] | None
    body: tuple[int, int]


def entries(text: str) -> list[Entry]:
    """All entries of a docstring, in its order."""
    lines, place = list[Line](), 0
    for line in text.splitlines(keepends=True):
        lines.append((place, line.rstrip("\r\n")))
        place += len(line)
    found = [*_fields(lines, len(text))]
    for number, (_, line) in enumerate(lines):
        section = _SECTION.match(line)
        if section is None:
            continue
        if number + 1 < len(lines) and _UNDERLINE.match(lines[number + 1][1]):
            found += _section_entries(lines, number + 2, len(section[1]), _NUMPYDOC, len(text))
        elif section[2]:
            first = next((line for _, line in lines[number + 1 :] if line.strip()), "")
            if _indent(first) > len(section[1]):
                found += _section_entries(lines, number + 1, _indent(first), _GOOGLE, len(text))
    return found


def _section_entries(lines: list[Line], first: int, indent: int, head: re.Pattern[str], length: int) -> Iterator[Entry]:
    """The entries of a section: each begins at its indent and ends at the next one."""
    entry: Entry | None = None
    for number in range(first, len(lines)):
        place, line = lines[number]
        if not line.strip() or _indent(line) > indent:
            continue
        if entry is not None:
            yield replace(entry, body=(entry.body[0], place))
        headed = number + 1 < len(lines) and _UNDERLINE.match(lines[number + 1][1])
        if headed or _indent(line) < indent:
            return
        found = head.match(line)
        entry = _entry(found, place) if found else None
    if entry is not None:
        yield replace(entry, body=(entry.body[0], length))


def _fields(lines: list[Line], length: int) -> Iterator[Entry]:
    for number, (place, line) in enumerate(lines):
        found = _FIELD.match(line)
        if found is None:
            continue
        end = next((at for at, after in lines[number + 1 :] if not after.strip() or after.lstrip()[0] == ":"), length)
        entry = replace(_entry(found, place), body=(place, end))
        typed = found["typed"] or (not entry.type and _ALONE.match(found["rest"]))  # `:param name: str` is a type too
        yield replace(entry, type=_type_span(found["rest"], place + found.start("rest"))) if typed else entry


def _entry(found: re.Match[str], place: int) -> Entry:
    start = place + found.start("names")
    names = {name[0]: start + name.start() for name in _NAME.finditer(found["names"])}
    kind = found["type"]
    return Entry(names, _type_span(kind, place + found.start("type")) if kind else None, (place, place + found.end()))


def _type_span(text: str, place: int) -> tuple[int, int] | None:
    """A type without its suffix (`, optional`) and markup; None if it is a sentence."""
    kind = _TYPE_ENDS.sub("", text, count=1).rstrip(" \t,;`*")
    lead = _MARKUP.match(kind).end()  # type: ignore[union-attr] # it matches the empty string
    kind = kind[lead:]
    if not any(c.isalpha() for c in kind) or len(kind) > _LONGEST_TYPE or kind.endswith((".", ":")):
        return None
    return place + lead, place + lead + len(kind)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
