"""All problems of a pipeline, reported together: one line each, without duplicates."""

from __future__ import annotations

from artifacts.errors import UserError

_MOST = 30  # lines


class Problems:
    """The problems found so far. One sentence about several nodes is one line."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._nodes)

    def add(self, sentence: str, pipeline: str = "", node: str = "") -> None:
        """A problem, of a node or of the whole."""
        nodes = self._nodes.setdefault((pipeline, sentence), [])
        if node and node not in nodes:
            nodes.append(node)

    def raise_if_any(self) -> None:
        """UserError (exit 2) that names them all."""
        if self:
            lines = [_line(pipeline, nodes, sentence) for (pipeline, sentence), nodes in self._nodes.items()]
            more = [f"and {len(lines) - _MOST} more problems"] if len(lines) > _MOST else []
            raise UserError("\n".join(lines[:_MOST] + more), 2)


def _line(pipeline: str, nodes: list[str], sentence: str) -> str:
    if not nodes:
        return sentence
    return f"{pipeline}: node{'s' if len(nodes) > 1 else ''} {', '.join(map(repr, nodes))}: {sentence}"
