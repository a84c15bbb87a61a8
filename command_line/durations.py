"""Durations as people read them."""

from __future__ import annotations


def duration(seconds: float, *, decimals: int = 1) -> str:
    """`8.3 s`, `2 min 05 s`, `1 h 02 min`; `decimals` of what is under a minute."""
    if round(seconds, decimals) < 60:
        return f"{seconds:.{decimals}f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
