"""What was read, what became of it, and where it is from: `corpus.json`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from artifacts.corpus import SPLITS

if TYPE_CHECKING:
    from steps.preparation.sources import Source
    from steps.prepare_data import Config

LENGTHS = [0, 100, 200, 400, 800, 1600, 3200, 6400, 12800]  # characters, edges of the histogram


@dataclass
class Counts:
    """What was read and what became of it."""

    read: int = 0
    short: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    first_bad: str = ""
    exact: int = 0
    near: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    labels: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in SPLITS})
    spans: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in SPLITS})
    unlabelled_over_limit: int = 0
    names_left: int = 0
    characters: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    image_shape: tuple[int, int, int] | None = None  # height, width, channels


def description(config: Config, source: Source, counts: Counts, leaks: int) -> dict[str, Any]:
    total = sum(counts.rows.values())
    edges = [*LENGTHS, None]
    return {
        "labels": sorted(set().union(*counts.labels.values())),
        "rows": {split: counts.rows[split] for split in SPLITS},
        "rows_by_label": {split: dict(sorted(counts.labels[split].items())) for split in SPLITS},
        **({"spans_by_kind": {split: dict(sorted(counts.spans[split].items())) for split in SPLITS}}
           if source.content(config) == "spans" else {}),
        "characters": counts.characters,
        "lengths": [[edges[i - 1], edges[i], counts.lengths[i]] for i in range(1, len(edges)) if counts.lengths[i]],
        "read": counts.read, "too_short": counts.short,
        "quarantined": dict(sorted(counts.bad.items())),
        "duplicates": {"exact": counts.exact, "near": counts.near, "threshold": config.near_duplicate_threshold},
        "unlabelled_over_limit": counts.unlabelled_over_limit,
        "leak_check": {"rows": total, "duplicates_across_splits": leaks, "rows_that_name_a_library": counts.names_left},
        "content": source.content(config),
        **_image(counts),
        **source.origin(config),
    }  # fmt: skip


def _image(counts: Counts) -> dict[str, Any]:
    """Of images what all of them have in common."""
    if counts.image_shape is None:
        return {}
    return {"image": dict(zip(("height", "width", "channels"), counts.image_shape, strict=True))}
