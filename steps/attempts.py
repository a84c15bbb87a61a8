"""Seconds that earlier attempts at the same work took, as far as their checkpoints are used: a resumed step took that long too."""

from __future__ import annotations

import time
from pathlib import Path

from artifacts import atomic

_FILE = "attempts.json"


def begin(work: Path) -> float:
    """Seconds from the start of each earlier attempt to its last checkpoint. Records that another attempt starts now."""
    seconds, started = _read(work / _FILE)
    saved = [path.stat().st_mtime for path in work.glob("update-*/manifest.json")]
    seconds = seconds + max(0.0, max(saved) - started) if saved and started else 0.0
    atomic.write_json(work / _FILE, {"seconds": round(seconds, 3), "started_at": time.time()})
    return seconds


def _read(path: Path) -> tuple[float, float]:
    try:
        kept = atomic.read_json(path)
        return float(kept["seconds"]), float(kept["started_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0, 0.0
