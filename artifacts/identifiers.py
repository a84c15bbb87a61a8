"""Identifiers as words, for tokenizers with `normalization=identifiers`: `getItem`, `get_item` and `Get item` are cut alike.

A text is divided here, by spaces at the seams of words; rules of the sentencepiece model itself then make letters small.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

NAME = "identifiers"
PUNCTUATION = "".join(mark for mark in string.punctuation if mark != "_")
SPACES = "_\t\n\r\u2581"  # characters that become a space; the last is how sentencepiece writes one
_MARK = f"[{re.escape(PUNCTUATION)}]"
_ANY = r"[\s\S]"  # a text's beginning and end are no seams
# Between a small letter or digit and a capital; before the last of several capitals that begins a word; around punctuation.
SEAMS = f"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<={_ANY})(?={_MARK})|(?<={_MARK})(?={_ANY})"
_SEAMS = re.compile(SEAMS)


def divide(text: str) -> str:
    """The text with a space at each seam."""
    return _SEAMS.sub(" ", text)


def places_as_written(text: str) -> list[int]:
    """For each character of the divided text, and its end, the place in the text as written."""
    seams = {seam.start() for seam in _SEAMS.finditer(text)}
    return [place for place in range(len(text) + 1) for _ in range(1 + (place in seams))]


def rules() -> list[tuple[str, str]]:
    """Characters and what takes their place."""
    small = [(chr(number), chr(number).lower()) for number in range(0x110000) if not 0xD800 <= number < 0xE000]
    return [*((one, other) for one, other in small if one != other), *((one, " ") for one in SPACES)]


def restore(offsets: Sequence[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Offsets in the divided text as offsets in the text."""
    places = places_as_written(text)
    return [(places[begin], places[end]) for begin, end in offsets]
