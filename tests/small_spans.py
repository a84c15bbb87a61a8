"""A corpus of marked sentences: a verb, a number and a thing, where the number and the thing are to be found."""

from __future__ import annotations

import random
from pathlib import Path

from artifacts import Artifact
from tests.prepared import prepare, write_jsonl
from tests.small_corpus import COMMON, WORDS

THINGS = WORDS["a"].split()


def marked_row(number: random.Random, words: int = 14) -> dict[str, object]:
    """Common words with `<number>` and a thing among them: a NUMBER and a THING, of two words (`old apple`) at times."""
    text, spans = "", []
    at = sorted(number.sample(range(words), 2))
    for place in range(words):
        text += " " if text else ""
        start = len(text)
        if place == at[0]:
            text += f"<{number.randint(100, 999)}>"
            spans.append([start, len(text), "NUMBER"])
        elif place == at[1]:
            text += ("old " if number.random() < 0.5 else "") + number.choice(THINGS)
            spans.append([start, len(text), "THING"])
        else:
            text += number.choice(COMMON)
    return {"text": text, "spans": spans}


def make_marked(root: Path, rows: int = 240, seed: int = 0, **options: object) -> Artifact:
    """A corpus of such rows."""
    number = random.Random(seed)
    source = write_jsonl(root / "marked.jsonl", [marked_row(number) for _ in range(rows)])
    chosen = {"spans_column": "spans", "validation_share": 0.15, "test_share": 0.2} | options
    return prepare(root, source, **chosen)
