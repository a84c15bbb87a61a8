"""A network as text: a tree, then FLOPs and memory. Colours on a terminal alone."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.config import ModelConfig
from models.show.flops import TRAINING, Term, totals
from models.show.memory import Need
from models.show.subject import Subject
from models.show.tree import Module

_TENSORS = 3  # of one module that stand on its line
_DEEPER = {"├─ ": "│  ", "└─ ": "   ", "": ""}


@dataclass(frozen=True)
class Style:
    """Terminal escape codes, or nothing if the output is not a terminal."""

    on: bool

    def dim(self, text: str) -> str:
        """Dimmed text, for details."""
        return f"\x1b[2m{text}\x1b[0m" if self.on and text else text

    def bold(self, text: str) -> str:
        """Bold text, for main figures."""
        return f"\x1b[1m{text}\x1b[0m" if self.on and text else text


def style() -> Style:
    """Style of this process's output; NO_COLOR (no-color.org) turns colours off."""
    import os

    return Style(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


def width() -> int:
    """Columns there are for text."""
    return max(80, shutil.get_terminal_size((118, 24)).columns)


def whole(
    subject: Subject, root: Module, found: Sequence[Term], needed: Sequence[Need], length: int, look: Style
) -> str:
    """All there is to say of one network."""
    config = subject.config
    published = f" (the paper says {subject.published})" if subject.published else ""
    parts = [
        f"{look.bold(subject.name)}  {subject.headline}",
        f"{config.network} {subject.part}, {_sizes(config)}: {look.bold(f'{subject.count:,}')} parameters{published}",
        "",
        *tree(root, subject.count, look),
        "",
        *flops(found, length, look),
        "",
        *memory(needed, look),
    ]
    return "\n".join(parts)


def tree(root: Module, count: int, look: Style) -> Iterator[str]:
    """The lines of the tree: module, tensors, parameters, their share, a note."""
    rows = list(_rows(root, "", "", 1))
    first = max(len(guide + name) for guide, name, *_ in rows)
    second = max(len(tensors) for _, _, tensors, *_ in rows)
    for guide, name, tensors, parameters, note in rows:
        label = look.dim(guide) + name + " " * (first - len(guide + name))
        share = f"{parameters:>15,}  {parameters / count if count else 0:>6.1%}"
        yield f"{label}  {tensors:{second}} {share}  {look.dim(note)}".rstrip()


def flops(found: Sequence[Term], length: int, look: Style) -> Iterator[str]:
    """The terms, and their sums."""
    yield look.bold(f"FLOPs of a token in sequences of {length:,}") + look.dim(
        "   (Kaplan et al. 2020, 2.1, and attention)"
    )
    of = len({term.of for term in found}) > 1
    for term in found:
        kind = f"{term.of}: " if of else ""
        yield f"  {term.what:22} {amount(term.flops):>8}  {look.dim(kind + term.formula)}"
    for kind, total in totals(list(found)).items():
        name = f" {article(kind)} {kind}" if of else ""
        yield f"  {'forward' + name:22} {look.bold(f'{amount(total):>8}')}"
        yield f"  {'training' + name:22} {look.bold(f'{amount(TRAINING * total):>8}')}  {look.dim('3 x: backward costs twice as much')}"


def memory(needed: Sequence[Need], look: Style) -> Iterator[str]:
    """Lines on the use of memory."""
    yield look.bold("memory, float32")
    for need in needed:
        yield f"  {need.what:22} {size(need.bytes):>8}  {look.dim(need.formula)}"


def amount(number: float) -> str:
    """A count with a decimal prefix, three digits."""
    for unit in ("", " k", " M", " G", " T"):
        if abs(number) < 1000:
            return f"{number:.3g}{unit}" if abs(number) < 99.95 or unit else f"{number:.0f}"
        number /= 1000
    return f"{number:,.0f} P"


def article(noun: str) -> str:
    """Indefinite article of a noun (a kind of token, or an image)."""
    return "an" if noun[0] in "aeiou" else "a"


def size(number: float) -> str:
    """Bytes with a binary prefix."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError


def wrap(text: str, room: int) -> list[str]:
    """Lines of at most `room` columns."""
    return textwrap.wrap(text, max(20, room)) or [""]


def _sizes(config: ModelConfig) -> str:
    data = f"{config.vocab_size:,} tokens"
    if config.image_height:
        data = f"images of {config.image_channels} x {config.image_height} x {config.image_width}"
    layers = "1 layer" if config.num_layers == 1 else f"{config.num_layers} layers"
    return f"{layers} of width {config.d_model}, {data}"


def _rows(module: Module, guide: str, below: str, times: int) -> Iterator[tuple[str, str, str, int, str]]:
    name = (module.name or "all") + (f" x {module.times}" if module.times > 1 else "")
    shown = module.tensors if len(module.tensors) <= _TENSORS else module.tensors[: _TENSORS - 1]
    tensors = ", ".join(f"{key} {_shape(shape)}" for key, shape in shown)
    if len(shown) < len(module.tensors):
        tensors += f" and {len(module.tensors) - len(shown)} more"
    yield guide, name, tensors, times * module.parameters, module.note
    for place, child in enumerate(module.children):
        turn = "└─ " if place == len(module.children) - 1 else "├─ "
        yield from _rows(child, below + turn, below + _DEEPER[turn], times * module.times)


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
