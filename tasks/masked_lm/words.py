"""Words, as the tasks that take some out of a text mean them: runs of two Latin letters and more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

WORD = re.compile(r"[A-Za-z]{2,}")


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Counts of the words in these texts."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(WORD.findall(text))
    return counts
