"""Rows that are decoded together: of similar length, and as many as the cache has positions for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.decoding_options import Decoding
from training.ticks import tick

_POSITIONS = 16_384


def groups(lengths: Sequence[int], options: Decoding, positions: int = _POSITIONS) -> Iterator[list[int]]:
    """Places of rows with prompts (or sources) of these lengths, shortest first, each in one group.

    A group's cache has at most `positions` positions (of all its rows and all their hypotheses), or it is of one row.
    """
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    group: list[int] = []
    for place in order:
        needed = (lengths[place] + options.max_new_tokens) * options.rows * (len(group) + 1)
        if group and needed > positions:
            yield group
            tick(len(group))
            group = []
        group.append(place)
    if group:
        yield group
        tick(len(group))
