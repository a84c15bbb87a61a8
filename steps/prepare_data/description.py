"""Description of a corpus, `corpus.json`: rows read, rows left out by reason, and where they are from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from artifacts.corpus import SPLITS
from steps.prepare_data.accounts import SHORT, Account
from steps.prepare_data.documents import Cut
from steps.prepare_data.duplicates import EXACT, NEAR, REASONS

if TYPE_CHECKING:
    from steps.prepare_data.config import Config
    from steps.prepare_data.source import Source

LENGTHS = [0, 100, 200, 400, 800, 1600, 3200, 6400, 12800]  # characters, edges of the histogram


@dataclass
class Counts:
    """Counts of the rows that were read, by outcome."""

    read: int = 0
    parts: int = 0  # rows beyond the first that long texts became
    split: int = 0  # texts that became several rows
    bad: Counter[str] = field(default_factory=Counter)
    first_bad: str = ""
    rows_out: Account = field(default_factory=Account)
    labels_read: int = 0
    labels_out: Account = field(default_factory=Account)
    cut: Cut = field(default_factory=Cut)
    rows: Counter[str] = field(default_factory=Counter)
    labels: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in SPLITS})
    spans: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in SPLITS})
    given: list[str] = field(default_factory=list)  # splits that the data brings
    conflicts: dict[str, int] = field(default_factory=dict)
    repeated: int = 0  # rows of a given validation or test split that repeat another of it
    leaks: int = 0  # rows for training that repeat one of a given validation or test split, before they were removed
    first_leak: tuple[str, str] = ("", "")
    repeats: int = 0  # rows that repeat one of another split in the end: none unless leaks=keep
    alike: int = 0  # rows that are only like one of another split
    divided: int = 0  # documents whose parts are in several splits
    names_left: int = 0
    characters: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    image_shape: tuple[int, int, int] | None = None  # height, width, channels


def description(config: Config, source: Source, counts: Counts) -> dict[str, Any]:
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
        "read": counts.read, "too_short": counts.rows_out.out[SHORT],
        "quarantined": dict(sorted(counts.bad.items())),
        "duplicates": {"exact": counts.rows_out.out[REASONS[EXACT]], "near": counts.rows_out.out[REASONS[NEAR]],
                       "threshold": config.near_duplicate_threshold},
        "unlabelled_over_limit": counts.labels_out.out["over max_rows_per_label"],
        "leak_check": {"rows": total, "duplicates_across_splits": counts.repeats,
                       "rows_that_name_a_library": counts.names_left, **_alike(counts)},
        "content": source.content(config),
        **_accounts(counts),
        **_image(counts),
        **source.origin(config),
    }  # fmt: skip


def _alike(counts: Counts) -> dict[str, Any]:
    found: dict[str, Any] = {"alike_across_splits": counts.alike} if counts.alike else {}
    if counts.given:
        found["given_splits"] = counts.given
        found["repeated_within_given_splits"] = counts.repeated
        found["repeats_of_given_splits"] = counts.leaks
    if counts.leaks:
        found["first_repeat"] = list(counts.first_leak)
    return found


def _accounts(counts: Counts) -> dict[str, Any]:
    """Losses by reason, for corpus.json: keys only for those that occurred."""
    cut = {
        "texts": counts.cut.texts,
        "characters": counts.cut.characters,
        "spans": counts.cut.spans,
        "first": counts.cut.first,
    }
    found = {
        "rows_out": counts.rows_out.as_dict(),
        "labels_out": counts.labels_out.as_dict(),
        "labels_read": counts.labels_read if counts.labels_out.total else 0,
        "cut": cut if counts.cut.characters or counts.cut.spans else {},
        "long_texts": {"texts": counts.split, "rows_more": counts.parts} if counts.split else {},
        "conflicts": counts.conflicts,
        "divided_documents": counts.divided,
    }
    return {name: value for name, value in found.items() if value}


def _image(counts: Counts) -> dict[str, Any]:
    """Height, width and channels shared by all images."""
    if counts.image_shape is None:
        return {}
    return {"image": dict(zip(("height", "width", "channels"), counts.image_shape, strict=True))}


def summarize_changes(config: Config, counts: Counts) -> str:
    """One line on rows left out, cut or changed; an empty string if there are none."""
    parts = []
    if counts.rows_out.total:
        rows = counts.read + counts.parts
        parts.append(f"{counts.rows_out.total:,} of {rows:,} rows left out: {counts.rows_out.summary(config)}")
    if counts.labels_out.total:
        parts.append(
            f"{counts.labels_out.total:,} of {counts.labels_read:,} labels lost: {counts.labels_out.summary(config)}"
        )
    if counts.cut.characters:
        parts.append(
            f"{counts.cut.characters:,} characters and {counts.cut.spans:,} marked places cut off (first {counts.cut.first})"
        )
    if counts.leaks:
        kept = "" if config.leaks == "remove" else ", and stay (leaks=keep)"
        parts.append(
            f"{counts.leaks:,} rows repeat one of a given split{kept}: {counts.first_leak[0]} repeats {counts.first_leak[1]}"
        )
    if counts.repeats and not (counts.leaks and config.leaks == "keep"):
        parts.append(f"{counts.repeats:,} rows repeat one of another split, and stay")
    if counts.alike:
        parts.append(f"{counts.alike:,} rows are like one of another split")
    if "label" in counts.conflicts:
        parts.append(f"{counts.conflicts['label']:,} rows have a text that stands elsewhere with another label")
    parts += _kinds_missing(counts)
    if counts.divided:
        parts.append(f"{counts.divided:,} documents are in several splits, being too few to fill them")
    return "; ".join(parts)


def _kinds_missing(counts: Counts) -> list[str]:
    """Warnings about kinds of spans that a split lacks, which cannot be learned or not be evaluated."""
    kinds = set().union(*counts.spans.values())
    missing = [(split, sorted(kinds - set(counts.spans[split]))) for split in SPLITS]
    return [
        f"no marked place of kind {', '.join(map(repr, names[:5]))} in the split {split}"
        for split, names in missing
        if names
    ]
