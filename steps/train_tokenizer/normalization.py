"""What a tokenizer makes of characters before it cuts: rules that are part of the sentencepiece model, which gives the places of
pieces in the text as it was written."""

from __future__ import annotations

import string
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_UPPER, _LOWER = string.ascii_uppercase, string.ascii_lowercase
_AS_WRITTEN = {"normalization_rule_name": "identity", "add_dummy_prefix": False, "remove_extra_whitespaces": False}


def options_of(normalization: str, folder: Path) -> Mapping[str, Any]:
    """Options of sentencepiece's trainer; a file of rules is written into `folder`."""
    if normalization == "none":
        return _AS_WRITTEN
    if normalization == "casefold":
        return {"normalization_rule_name": "nmt_nfkc_cf"}
    file = folder / "rules.tsv"
    file.write_text("".join(f"{_codes(old)}\t{_codes(new)}\n" for old, new in sorted(identifier_rules())))
    return {"normalization_rule_tsv": str(file)}


def identifier_rules() -> Iterator[tuple[str, str]]:
    """Pairs of characters and what takes their place: letters become small, `getItem` and `get_item` become two words, `HTTPServer`
    too, and punctuation stands apart from words. The longest that fits is taken."""
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if not 0xD800 <= number < 0xE000 and character.casefold() != character:
            yield character, character.casefold()
    for second in _UPPER:
        for first in _LOWER + string.digits:
            yield first + second, f"{first} {second.lower()}"
        for first in _UPPER:
            for third in _LOWER:
                yield first + second + third, f"{first.lower()} {second.lower()}{third}"
    for mark in string.punctuation:
        yield mark, " " if mark == "_" else f" {mark} "
    for space in "\t\n\r":
        yield space, " "


def _codes(characters: str) -> str:
    return " ".join(f"{ord(character):X}" for character in characters)
