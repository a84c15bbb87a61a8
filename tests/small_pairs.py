"""Pairs whose targets a small network learns in seconds: numbers written backwards."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from artifacts import Artifact
from tests.prepared import prepare, write_jsonl

PAIRS: dict[str, Any] = {
    "text_column": "source",
    "target_column": "target",
    "min_characters": 1,
    "near_duplicate_threshold": 1.0,
    "validation_share": 0.1,
    "test_share": 0.2,
}


_WORDS = [
    "apple", "river", "stone", "cloud", "house", "green", "night", "table", "paper", "light", "train", "music",
    "water", "bread", "chair", "money", "jacket", "quiz", "vexed",
]  # fmt: skip


def pairs(count: int, seed: int = 0) -> list[dict[str, object]]:
    """A word and a number; the number with its digits in the other order. `kind` says whether it is short."""
    draw, numbers = random.Random(seed), dict[str, None]()
    while len(numbers) < count:
        numbers["".join(draw.choices("0123456789", k=draw.randint(1, 4)))] = None
    return [
        {"source": f"{draw.choice(_WORDS)} {n}", "target": n[::-1], "kind": "short" if len(n) < 4 else "long"}
        for n in numbers
    ]


def make_pairs(root: Path, rows: list[dict[str, object]] | None = None, **options: object) -> Artifact:
    """A corpus of them."""
    source = write_jsonl(root / "pairs.jsonl", pairs(2500) if rows is None else rows)
    return prepare(root, source, **{**PAIRS, **options})
