"""Text as it is compared."""

from __future__ import annotations

import unicodedata


def normal(text: str) -> str:
    """The text in NFC, with one space for each run of white space: equal for texts that are the same."""
    return " ".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split())
