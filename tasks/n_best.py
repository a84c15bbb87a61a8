"""Several answers to each question as columns of a frame: the best in `prediction`, the next in `prediction_2`, and so on."""

from __future__ import annotations

from collections.abc import Sequence


def n_best_columns(answers: Sequence[Sequence[tuple[str, float]]], count: int) -> dict[str, list[str] | list[float]]:
    """The `count` best answers of each row, a text and a probability each; "" and 0 if a beam found fewer."""
    columns: dict[str, list[str] | list[float]] = {}
    for rank in range(count):
        name = f"_{rank + 1}" if rank else ""
        ways = [row[rank] if rank < len(row) else ("", 0.0) for row in answers]
        columns[f"prediction{name}"] = [text for text, _ in ways]
        columns[f"probability{name}"] = [round(probability, 6) for _, probability in ways]
    return columns
